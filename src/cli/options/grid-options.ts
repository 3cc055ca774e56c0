import type { Command } from 'commander';
import { axisOption, PARAMETER_AXES, TREATMENT_AXES } from '../../recipe/grid/axes.ts';
import { GRID } from '../../recipe/grid/options.ts';
import { addOptions, addTokenOptions, listedOption, mergeOption } from './merge-options.ts';
import { flag, valueOption } from './options.ts';
import { parsePath } from './values.ts';

/** Axes of a grid, which a grid file has in its own place. */
export const AXIS_NAMES: readonly string[] = [
  'windows',
  'endpoints',
  'strides',
  'controls',
  'stageStarts',
  'method',
  ...PARAMETER_AXES,
  ...TREATMENT_AXES,
];

/** What grid files alone have: beside a grid, scores on the command line are those of its outputs. */
const IN_FILES: ReadonlySet<string> = new Set(['members', 'memberScores', 'memberMetrics', 'memberGoal']);

/** What a grid has of a recipe, which a grid file has as well. */
export const RECIPE_NAMES = [
  ...(['like', 'format', 'names', 'config', 'shardSize', 'files', 'baseModelId', 'allowMixedDtypes', 'allowUnknown'] as const),
  ...(['allowPermuted', 'allowConfigs', 'tokensPerStep', 'batchSchedule', 'tokensFile', 'stage'] as const),
] as const;

/** What is made, of which axes, and what is printed instead. */
export function addGridOptions(command: Command): Command {
  command
    .usage('RUN-or-GRID.yaml -o DIR [options]')
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'folder for the merges, each under a name that says what it is (required)', parsePath))
    .addOption(mergeOption('force', { help: 'replace merges of other grids that are in the way; what is there of this one stays' }))
    .addOption(flag('-n, --dry-run', 'print the table of what would be made, write nothing'))
    .addOption(flag('--print-recipe', 'print the recipe that the grid stands for, write nothing'))
    .addOption(flag('--yes-all', 'make more than a thousand merges'));
  addOptions(command, ['like', 'format', 'names', 'config', 'shardSize', 'files', 'baseModelId']);
  command.optionsGroup('Axes, several values with commas between (or in a grid file):');
  for (const [name, option] of Object.entries(GRID)) if (!IN_FILES.has(name)) command.addOption(listedOption(name, option));
  for (const name of ['method', ...PARAMETER_AXES, ...TREATMENT_AXES] as const) command.addOption(listedOption(name, axisOption(name)));
  addTokenOptions(command.addOption(mergeOption('stage')));
  return addOptions(command.optionsGroup('Checks:'), ['allowMixedDtypes', 'allowUnknown', 'allowPermuted', 'allowConfigs']);
}
