import { join } from 'node:path';
import { keysOf, pick } from '../../base/pick.ts';
import { RECIPE } from '../options.ts';
import type { Recipe, RecipeOutput } from '../types.ts';
import type { Grid, GridArm } from './types.ts';

/** An output of a grid as a recipe has it: its members are named one by one, so that it stays what it is. */
function armOutput({ name, members, treatment }: GridArm, { stage }: Grid, folder: string): RecipeOutput {
  return {
    path: join(folder, name),
    select: { steps: members.map(({ step }) => step), ...(stage !== undefined && { stage }) },
    ...treatment,
  };
}

/** The recipe that makes these merges of a grid: any of its outputs is the same when it is made alone. */
export function armsRecipe(grid: Grid, arms: readonly GridArm[], folder: string): Recipe {
  return { inputs: [grid.run], ...pick(grid, keysOf(RECIPE)), outputs: arms.map((arm) => armOutput(arm, grid, folder)) };
}
