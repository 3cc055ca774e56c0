import type { Command } from 'commander';
import { MOST } from '../../base/limits.ts';
import { ROLE_NAMES } from '../../recipe/policy/roles.ts';
import { addGridOptions } from './grid-options.ts';
import { addOptions, addPolicyOptions, addScheduleOptions, addSelectionOptions, addTokenOptions, mergeOption } from './merge-options.ts';
import { debug, flag, json, listOption, progress, valueOption } from './options.ts';
import {
  addEvaluationOptions,
  addForecastOptions,
  addScoringOptions,
  addSearchOptions,
  addSoupOptions,
  addStudyOptions,
} from './search-options.ts';
import { addStudyServer } from './serve-options.ts';
import { parseChoice, parseLayers, parsePath, parseWholeNumber, wholeNumber } from './values.ts';
import { addWatchOptions } from './watch-options.ts';

/** How fast and with how much of the machine. */
const MACHINE = ['threads', 'memory', 'io', 'ioDepth', 'maxRead', 'cache'] as const;

export function addMergeOptions(command: Command): Command {
  command.usage('INPUT... -o OUT [options]');
  command
    .optionsGroup('Output:')
    .addOption(
      valueOption(
        '-o, --output <path>',
        'what to make: a folder, or a file ending in .safetensors, or .pt of torch.save (required)',
        parsePath,
      ),
    );
  addOptions(command, [
    'force',
    'dtype',
    'like',
    'format',
    'names',
    'config',
    'shardSize',
    'files',
    'for',
    'optimizer',
    'extraState',
    'weightsFrom',
    'baseModelId',
  ]);
  addSelectionOptions(command, { scored: true });
  addTokenOptions(command);
  addWeightOptions(command);
  addOptions(addPolicyOptions(command).optionsGroup('Checks:'), ['allowMixedDtypes']);
  return addExecutionOptions(command);
}

export function addConvert(command: Command): Command {
  command
    .usage('CHECKPOINT -o OUT [options]')
    .optionsGroup('Output:')
    .addOption(
      valueOption(
        '-o, --output <path>',
        'what to make: a folder, or of a file a file ending in .safetensors, or .pt of torch.save (required)',
        parsePath,
      ),
    )
    .addOption(mergeOption('force'))
    .addOption(
      mergeOption('dtype', {
        default: 'bytes as they are',
        help: 'round floats of another dtype to BF16, F16, F32 or F64, and dequantise weights; same: bytes as they are',
      }),
    );
  addOptions(command, ['format', 'names', 'config', 'shardSize', 'files', 'baseModelId']);
  command.addOption(flag('-n, --dry-run', 'print the plan, write nothing'));
  command
    .optionsGroup('Checks:')
    .addOption(mergeOption('allowUnknown', { help: 'with --dtype: convert scales that belong to no codes like other floats' }));
  return addExecutionOptions(command);
}

/** A schedule with its parameters, or explicit weights. */
function addWeightOptions(command: Command): Command {
  return addOptions(addScheduleOptions(command.optionsGroup('Weights:')), ['weights', 'normalize']);
}

/** How a merge is carried out and reported, whatever is merged. */
export function addExecutionOptions(command: Command): Command {
  addOptions(command.optionsGroup('Checks:'), ['strict', 'failNonfinite', 'followLinks']);
  addOptions(command.optionsGroup('Several machines:'), ['ranks', 'rankTimeout', 'launcher']);
  return addOptions(command.optionsGroup('Machine:'), MACHINE)
    .optionsGroup('Interruption:')
    .addOption(mergeOption('resume'))
    .addOption(flag('--no-keep', 'leave nothing to resume when interrupted'))
    .optionsGroup('Reporting:')
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the paths of the outputs'))
    .addOption(progress())
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}

export function addGrid(command: Command): Command {
  return addExecutionOptions(addScoringOptions(addGridOptions(command)));
}

export function addWatch(command: Command): Command {
  addWatchOptions(command);
  addTokenOptions(command);
  // A window here is of the run: extrapolation, which has windows of its own, is for recipes.
  addScheduleOptions(command.optionsGroup('Weights:'), ['extrapolate']);
  addOptions(addPolicyOptions(command, { fixed: false }).optionsGroup('Merges:'), [
    'dtype',
    'format',
    'names',
    'config',
    'shardSize',
    'for',
    'optimizer',
    'extraState',
    'weightsFrom',
    'baseModelId',
    'allowMixedDtypes',
  ]);
  command.addOption(mergeOption('failNonfinite', { help: 'leave out checkpoints that hold NaN or infinity' }));
  addOptions(command, ['strict', 'followLinks']);
  command
    .optionsGroup('Several machines:')
    .addOption(mergeOption('ranks', { help: 'with --once: which of several ranks this process is' }));
  addOptions(command, ['rankTimeout', 'launcher']);
  return addOptions(command.optionsGroup('Machine:'), MACHINE)
    .optionsGroup('Reporting:')
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the paths of the merges'))
    .addOption(progress())
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}

export function addDiff(command: Command): Command {
  command
    .usage('A B [C...] [options]')
    .optionsGroup('Tensors:')
    .addOption(listOption('--role <role...>', `only tensors of these roles: ${ROLE_NAMES.join(', ')}`, parseChoice(ROLE_NAMES)))
    .addOption(valueOption('--layers <list>', 'only these layers, as 0-3,12, or -1 for the last', parseLayers))
    .addOption(flag('--experts', 'show a map of layers and experts too'));
  addOptions(command.optionsGroup('Checkpoints, where the input is a run folder:'), ['last', 'every', 'from', 'to', 'steps', 'strict']);
  addOptions(command.optionsGroup('Machine:'), ['threads', 'memory', 'io']);
  return addPageOptions(command);
}

export function addRouters(command: Command): Command {
  command
    .usage('RUN-or-CHECKPOINTS... [options]')
    .optionsGroup('Choice of experts:')
    .addOption(valueOption('--hidden <file>', 'compare on these hidden states (.safetensors) instead of on synthetic inputs', parsePath))
    .addOption(valueOption('--probes <n>', 'inputs a layer (default: by the size of the routers)', wholeNumber(1, MOST.probes)))
    .addOption(
      valueOption('--seed <n>', 'decides synthetic inputs, and which parts of experts are compared (default: 0)', parseWholeNumber),
    );
  addEvaluationOptions(command, { optional: true, of: 'the merge with averaged, newest and oldest routers' });
  addOptions(addSelectionOptions(command, { sliding: false }), ['allowUnknown']);
  addTokenOptions(command);
  addOptions(addWeightOptions(command).optionsGroup('Machine:'), ['strict', 'followLinks', 'threads', 'memory']);
  return addPageOptions(command);
}

export function addSearch(command: Command): Command {
  addEvaluationOptions(addSearchOptions(addBestOutput(command)), { optional: true });
  return addStudiedMerges(command);
}

export function addSoup(command: Command): Command {
  return addStudiedMerges(addEvaluationOptions(addSoupOptions(addBestOutput(command))));
}

export function addForecast(command: Command): Command {
  command.usage('RUN --eval COMMAND [options]').optionsGroup('Output:');
  addForecastOptions(addStudyOptions(command, { folder: 'RUN.forecast in the current folder', output: false }));
  // A window here is of the run: extrapolation, which has windows of its own, is for recipes.
  addScheduleOptions(command, ['extrapolate']);
  return addStudiedMerges(addEvaluationOptions(command));
}

/** The output of a command that looks for the best recipe. */
function addBestOutput(command: Command): Command {
  command
    .usage('RUN --eval COMMAND -o OUT [options]')
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'merge of the best recipe: a folder, or a file ending in .safetensors', parsePath));
  return addStudyOptions(command);
}

/** How the merges of a study are made, and its reports. */
function addStudiedMerges(command: Command): Command {
  addSelectionOptions(command, { sliding: false, preset: false });
  addTokenOptions(command);
  addOptions(addPolicyOptions(command, { fixed: false }).optionsGroup('Merges:'), [
    'dtype',
    'like',
    'names',
    'config',
    'shardSize',
    'allowMixedDtypes',
    'strict',
    'failNonfinite',
    'followLinks',
  ]);
  addOptions(command, ['launcher', ...MACHINE]);
  return addStudyServer(command.optionsGroup('Reporting:'))
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the path of the result'))
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}

/** What a command that writes a page has at its end. */
function addPageOptions(command: Command): Command {
  return command
    .optionsGroup('Reporting:')
    .addOption(valueOption('-o, --out <path>', 'write the report as one HTML page too', parsePath))
    .addOption(flag('-f, --force', 'replace an existing page'))
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the path of the page'))
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}
