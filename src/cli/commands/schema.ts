import { gridJsonSchema, recipeJsonSchema } from '../../index.ts';
import { type Context, writeJson } from '../terminal/context.ts';

interface SchemaFlags {
  readonly space?: boolean;
  readonly grid?: boolean;
}

/** `merge schema`. */
export async function run(context: Context, _args: readonly unknown[], { space, grid }: SchemaFlags): Promise<number> {
  const schema = space
    ? (await import('../../search/space/schema.ts')).spaceJsonSchema()
    : await (grid ? gridJsonSchema() : recipeJsonSchema());
  writeJson(context, schema);
  return 0;
}
