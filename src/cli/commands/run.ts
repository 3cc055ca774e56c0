import { MergeError } from '../../base/errors.ts';
import { type MachineOptions, planRecipe, type Recipe, readRecipe, runRecipe } from '../../index.ts';
import type { Context } from '../terminal/context.ts';
import { type ReportFlags, reportMerge, showPlan } from './average.ts';

interface RunFlags extends ReportFlags, MachineOptions {
  readonly output?: string;
  readonly debug?: boolean;
}

/** `merge run`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: RunFlags): Promise<number> {
  const { output, dryRun, json, quiet, progress, debug, ...options } = flags;
  const recipe = withOutput(await readRecipe(args[0] as string), output);
  if (dryRun) return showPlan(context, await planRecipe(recipe, options), flags);
  return reportMerge(context, flags, (reporting) => runRecipe(recipe, { ...options, ...reporting }));
}

/** The recipe with its one output in another place. */
function withOutput(recipe: Recipe, path: string | undefined): Recipe {
  if (path === undefined) return recipe;
  const [only, ...others] = recipe.outputs;
  if (others.length > 0) {
    throw new MergeError('E_USAGE', `--output is for recipes of one output, and this one has ${recipe.outputs.length}`, {
      help: 'Change the paths in the recipe.',
    });
  }
  return { ...recipe, outputs: [{ ...only!, path }] };
}
