import { dirname } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { speakTo } from '../../base/option-words.ts';
import { type MachineOptions, planRecipe, type Recipe, readRecipe, runRecipe } from '../../index.ts';
import { LAUNCH, MACHINE, PUBLICATION, RANKS, TRUST } from '../../recipe/options.ts';
import { pathsOutside } from '../../recipe/outside.ts';
import { parameterLabel } from '../../recipe/schedule/parameters.ts';
import type { Context } from '../terminal/context.ts';
import { type ReportFlags, reportMerge, showPlan } from './average.ts';

/**
 * Options that stand on the command line, whatever the recipe: its keys are the others, and have no dashes.
 */
export const BESIDE_RECIPES: readonly string[] = [
  ...Object.keys({ ...MACHINE, ...TRUST, ...PUBLICATION, ...RANKS, ...LAUNCH }).map(parameterLabel),
  ...['output', 'shard-size', 'dry-run', 'no-keep', 'json', 'quiet', 'progress', 'debug', 'help'],
];

export interface RunFlags extends ReportFlags, MachineOptions {
  readonly output?: string;
  readonly shardSize?: number;
  readonly debug?: boolean;
}

/** `merge run`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: RunFlags): Promise<number> {
  const { recipe, options } = await recipeRequest(args[0] as string, flags);
  if (flags.dryRun) return showPlan(context, await planRecipe(recipe, options), flags);
  return reportMerge(context, flags, (reporting) => runRecipe(recipe, { ...options, ...reporting }));
}

/** A recipe file and the command line as the library takes them; from here on messages speak of recipes. */
export async function recipeRequest(file: string, flags: RunFlags): Promise<{ recipe: Recipe; options: MachineOptions }> {
  const { output, shardSize, dryRun, json, quiet, progress, debug, ...options } = flags;
  speakTo('recipe', BESIDE_RECIPES);
  const read = await readRecipe(file);
  const recipe = { ...withOutput(read, output), ...(shardSize !== undefined && { shardSize }) };
  // An output of the command line is not the recipe's.
  const outside = pathsOutside(read, dirname(file)).filter(({ what }) => what !== 'outputs' || output === undefined);
  return { recipe, options: { ...options, outside } };
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
