import { recipeJsonSchema } from '../../index.ts';
import { type Context, writeJson } from '../terminal/context.ts';

/** `merge schema`. */
export async function run(context: Context, _args: readonly unknown[], { space }: { readonly space?: boolean }): Promise<number> {
  writeJson(context, space ? (await import('../../search/space/schema.ts')).spaceJsonSchema() : await recipeJsonSchema());
  return 0;
}
