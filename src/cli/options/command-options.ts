import type { Command } from 'commander';
import { ROLE_NAMES } from '../../recipe/policy/roles.ts';
import { cache, debug, io, json, memory, progress, threads } from './common-options.ts';
import { choiceOption, flag, listOption, valueOption } from './options.ts';
import {
  addPolicyOptions,
  addSelectionOptions,
  addTokenOptions,
  dtypeOption,
  parseDistance,
  parsePoint,
  parseSteps,
  parseText,
  parseWholeNumber,
} from './run-options.ts';
import { addScheduleOptions } from './schedule-options.ts';
import { addEvaluationOptions, addForecastOptions, addSearchOptions, addSoupOptions, addStudyOptions } from './search-options.ts';
import { parseBytes, parseChoice, parseLayers, parsePath, parsePositiveInteger, parseWeights } from './values.ts';
import { addWatchOptions } from './watch-options.ts';

export function addMergeOptions(command: Command): Command {
  command.usage('INPUT... -o OUT [options]');
  command
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'what to make: a folder, or a file ending in .safetensors (required)', parsePath))
    .addOption(flag('-f, --force', 'replace an existing output, at once and only when the new one is complete'))
    .addOption(dtypeOption('input'))
    .addOption(
      valueOption('--like <path>', 'take shards, order, names and dtypes from this checkpoint (default: the newest input)', parsePath),
    )
    .addOption(choiceOption('--for <purpose>', 'resume: a start for more training, in F32 (default: inference)', ['inference', 'resume']))
    .addOption(
      choiceOption('--optimizer <what>', 'for resume: drop, or newest: copy the optimizer state of the newest input (default: drop)', [
        'drop',
        'newest',
      ]),
    )
    .addOption(valueOption('--base-model-id <id>', "Hugging Face id for the model card's base_model, as org/name", parseText));
  addSelectionOptions(command);
  addTokenOptions(command);
  addScheduleOptions(command.optionsGroup('Weights:'))
    .addOption(
      valueOption('-w, --weights <list>', 'one number for each input, as 0.2,0.3,0.5; negative ones too, used as given', parseWeights),
    )
    .addOption(flag('--normalize', 'divide the weights by their sum'));
  addPolicyOptions(command)
    .optionsGroup('Checks:')
    .addOption(flag('--allow-mixed-dtypes', 'accept a tensor that is stored in different float dtypes'));
  return addExecutionOptions(command);
}

/** How a merge is carried out and reported, whatever is merged. */
export function addExecutionOptions(command: Command): Command {
  return command
    .optionsGroup('Checks:')
    .addOption(flag('--fail-nonfinite', 'fail when an input holds NaN or infinity, or a sum overflows (default: warn)'))
    .optionsGroup('Machine:')
    .addOption(threads())
    .addOption(memory())
    .addOption(io())
    .addOption(cache())
    .optionsGroup('Interruption:')
    .addOption(flag('--resume', 'go on with what an interrupted run of the same merge left'))
    .addOption(flag('--no-keep', 'leave nothing to resume when interrupted'))
    .optionsGroup('Reporting:')
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the paths of the outputs'))
    .addOption(progress())
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}

export function addWatch(command: Command): Command {
  addWatchOptions(command);
  addTokenOptions(command);
  // A window here is of the run: extrapolation, which has windows of its own, is for recipes.
  addScheduleOptions(command.optionsGroup('Weights:'), ['extrapolate']);
  return addPolicyOptions(command, { fixed: false })
    .optionsGroup('Merges:')
    .addOption(dtypeOption('member'))
    .addOption(valueOption('--base-model-id <id>', "Hugging Face id for the model cards' base_model, as org/name", parseText))
    .addOption(flag('--allow-mixed-dtypes', 'accept a tensor that is stored in different float dtypes'))
    .addOption(flag('--fail-nonfinite', 'leave out checkpoints that hold NaN or infinity (default: warn)'))
    .addOption(threads())
    .addOption(memory())
    .addOption(io())
    .addOption(cache())
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
    .addOption(flag('--experts', 'show a map of layers and experts too'))
    .optionsGroup('Checkpoints, where the input is a run folder:')
    .addOption(valueOption('--last <n>', 'the newest so many (default: all that are complete)', parsePositiveInteger))
    .addOption(valueOption('--every <distance>', 'spaced like this, counted back from the newest: 8B, 1000steps', parseDistance))
    .addOption(valueOption('--from <point>', 'from this step or token count on: 12000, 500B', parsePoint))
    .addOption(valueOption('--to <point>', 'up to this step or token count', parsePoint))
    .addOption(valueOption('--steps <list>', 'exactly these steps, as 1000,2000', parseSteps))
    .optionsGroup('Machine:')
    .addOption(threads())
    .addOption(valueOption('--memory <size>', 'bound of buffers (default: 256MiB)', parseBytes))
    .addOption(io());
  return addPageOptions(command);
}

export function addRouters(command: Command): Command {
  command
    .usage('RUN-or-CHECKPOINTS... [options]')
    .optionsGroup('Choice of experts:')
    .addOption(valueOption('--hidden <file>', 'compare on these hidden states (.safetensors) instead of on synthetic inputs', parsePath))
    .addOption(valueOption('--probes <n>', 'inputs a layer (default: by the size of the routers)', parsePositiveInteger))
    .addOption(
      valueOption('--seed <n>', 'decides synthetic inputs, and which parts of experts are compared (default: 0)', parseWholeNumber),
    );
  addEvaluationOptions(command, { optional: true, of: 'the merge with averaged, newest and oldest routers' });
  addSelectionOptions(command, { sliding: false });
  addTokenOptions(command);
  addScheduleOptions(command.optionsGroup('Weights:'))
    .addOption(
      valueOption('-w, --weights <list>', 'one number for each input, as 0.2,0.3,0.5; negative ones too, used as given', parseWeights),
    )
    .addOption(flag('--normalize', 'divide the weights by their sum'))
    .optionsGroup('Machine:')
    .addOption(threads())
    .addOption(valueOption('--memory <size>', 'bound of buffers of the merges (default: 256MiB)', parseBytes));
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
  command.usage("RUN --eval 'COMMAND {model}' [options]").optionsGroup('Output:');
  addForecastOptions(addStudyOptions(command, { folder: 'RUN.forecast in the current folder', output: false }));
  // A window here is of the run: extrapolation, which has windows of its own, is for recipes.
  addScheduleOptions(command, ['extrapolate']);
  return addStudiedMerges(addEvaluationOptions(command));
}

/** The output of a command that looks for the best recipe. */
function addBestOutput(command: Command): Command {
  command
    .usage("RUN --eval 'COMMAND {model}' -o OUT [options]")
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'merge of the best recipe: a folder, or a file ending in .safetensors', parsePath));
  return addStudyOptions(command);
}

/** How the merges of a study are made, and its reports. */
function addStudiedMerges(command: Command): Command {
  addSelectionOptions(command, { sliding: false, preset: false });
  addTokenOptions(command);
  return addPolicyOptions(command, { fixed: false })
    .optionsGroup('Merges:')
    .addOption(dtypeOption('member'))
    .addOption(valueOption('--like <path>', 'take shards, order, names and dtypes from this checkpoint', parsePath))
    .addOption(flag('--allow-mixed-dtypes', 'accept a tensor that is stored in different float dtypes'))
    .addOption(flag('--fail-nonfinite', 'fail when an input holds NaN or infinity, or a sum overflows (default: warn)'))
    .addOption(threads())
    .addOption(memory())
    .addOption(io())
    .addOption(cache())
    .optionsGroup('Reporting:')
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
