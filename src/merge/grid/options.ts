import { keysOf, omit } from '../../base/pick.ts';
import { refuse } from '../../base/problems.ts';
import { checkGiven, OF_MACHINE } from '../../recipe/given.ts';
import { PARAMETER_AXES, TREATMENT_AXES } from '../../recipe/grid/axes.ts';
import { gridProblems } from '../../recipe/grid/check.ts';
import { GRID } from '../../recipe/grid/options.ts';
import type { Grid } from '../../recipe/grid/types.ts';
import { RECIPE, SELECT } from '../../recipe/options.ts';
import type { GridOptions } from './types.ts';

/** Its values are looked at by the grid itself. */
const AXIS = { kind: 'anything' } as const;

/** What a grid takes, in the library. */
export const OF_GRID = {
  run: { kind: 'path', needed: true },
  output: { kind: 'path', needed: true },
  windows: AXIS,
  endpoints: AXIS,
  strides: AXIS,
  controls: AXIS,
  members: AXIS,
  memberScores: GRID.memberScores,
  memberMetrics: GRID.memberMetrics,
  memberGoal: GRID.memberGoal,
  stageStarts: AXIS,
  policies: AXIS,
  method: AXIS,
  ...Object.fromEntries([...PARAMETER_AXES, ...TREATMENT_AXES].map((name) => [name, AXIS])),
  stage: SELECT.stage,
  ...RECIPE,
  ...OF_MACHINE,
  yesAll: { kind: 'flag' },
} as const;

/**
 * The grid among what a call is given.
 * @param call the name of the function @throws MergeError E_OPTION with every problem
 */
export function gridOf(call: string, options: GridOptions): Grid {
  checkGiven(call, options, OF_GRID);
  const grid = omit(options, ['output', 'yesAll', ...keysOf(OF_MACHINE)]) as Grid;
  const problems = gridProblems(grid);
  refuse(problems, { several: (count) => `${count} things are wrong with the grid` });
  return grid;
}
