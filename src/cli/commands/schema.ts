import { recipeJsonSchema } from '../../index.ts';
import { type Context, writeJson } from '../context.ts';

/** `merge schema`. */
export async function run(context: Context): Promise<number> {
  writeJson(context, await recipeJsonSchema());
  return 0;
}
