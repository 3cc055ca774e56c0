import { Argument, Command } from 'commander';
import { ROLE_NAMES } from '../policy/roles.ts';
import { examplesText, exitCodesText } from './help-text.ts';
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
import type { Colors } from './terminal.ts';
import { parseBytes, parseChoice, parseFraction, parseLayers, parsePath, parsePositiveInteger, parseWeights } from './values.ts';
import { addWatchOptions } from './watch-options.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export const PROGRESS_MODES = ['auto', 'tty', 'lines', 'json', 'none'] as const;

export type CommandName =
  | 'average'
  | 'plan'
  | 'run'
  | 'schema'
  | 'watch'
  | 'ls'
  | 'inspect'
  | 'diff'
  | 'routers'
  | 'search'
  | 'soup'
  | 'forecast'
  | 'report'
  | 'verify'
  | 'bench'
  | 'doctor'
  | 'demo'
  | 'completion';
/** Called with the command that was chosen, its positional arguments and its options. */
export type Dispatch = (command: CommandName, args: readonly (string | readonly string[])[], options: object) => Promise<void>;

/**
 * The command tree: parsing, help, completion and docs/cli.md all come from it. It loads no implementation.
 * @param version of the package
 * @param name as the user calls the program
 */
export function buildProgram(version: string, name: string, dispatch: Dispatch): Command {
  const program = new Command(name)
    .description('Merge the checkpoints of a training run: exact, whole or not at all, at the speed of the disk.')
    .usage('COMMAND [options]')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'help for a command')
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  const more = `\nHelp for one command, with its examples: ${name} COMMAND --help`;
  program.addHelpText('after', () => section('Examples', examplesText('merge', name)) + section('Exit codes', exitCodesText()) + more);

  const add = (command: CommandName, description: string, args: readonly Argument[]): Command => {
    const sub = program.command(command).description(description);
    for (const argument of args) sub.addArgument(argument);
    sub.addHelpText('after', () => section('Examples', examplesText(command, name)));
    return sub.action((...given) => dispatch(command, given.slice(0, args.length), sub.opts()));
  };

  const inputs = () =>
    new Argument('<input...>', 'checkpoints (folders or .safetensors files; PATH:WEIGHT gives one its weight), or run folders');
  addMergeOptions(add('average', 'merge checkpoints into one', [inputs()])).addOption(
    flag('-n, --dry-run', 'print the plan, write nothing'),
  );
  addMergeOptions(add('plan', 'show what average would do: members, weights, bytes, memory, space', [inputs()]));

  const recipe = add('run', 'make the outputs of a recipe, all in one read of the inputs', [new Argument('<recipe>', 'YAML file')])
    .usage('RECIPE [options]')
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'what to make instead of what a recipe of one output says', parsePath))
    .addOption(flag('-f, --force', 'replace existing outputs, each at once and only when the new one is complete'))
    .addOption(flag('-n, --dry-run', 'print the plan, write nothing'));
  addExecutionOptions(recipe);
  add('schema', 'print the JSON Schema of recipes, for editors that complete and check YAML', []).addOption(debug());

  addWatch(add('watch', 'merge each time a checkpoint of a run becomes complete', [new Argument('<run>', 'run folder')]));

  addTokenOptions(
    add('ls', "a run's checkpoints: steps, tokens, sizes, loss, and what is left out and why", [
      new Argument('<run...>', "folders that hold a run's checkpoints, or repositories in the Hub's cache"),
    ])
      .addOption(flag('-a, --all', 'show every row of a long list'))
      .addOption(json())
      .addOption(debug()),
  );

  add('inspect', 'what a checkpoint holds: parameters by role, layers, experts, dtypes, and what is wrong with it', [
    new Argument('<checkpoint>', 'folder or .safetensors file'),
  ])
    .addOption(flag('--tensors', 'list every tensor with dtype, shape, size and role'))
    .addOption(flag('-s, --summary', 'leave the list of tensors out of --json'))
    .addOption(json())
    .addOption(debug());

  addDiff(
    add('diff', 'how far checkpoints are apart, by role, layer and expert, and what stands out', [
      new Argument('<input...>', 'checkpoints in order (folders or .safetensors files), or a run folder'),
    ]),
  );

  addRouters(add('routers', 'whether averaging the routers of a mixture-of-experts run is safe, by evidence', [inputs()]));

  addSearch(
    add('search', 'choose the weights of a merge by the scores that your evaluator gives: Bayesian optimisation', [
      new Argument('<input...>', 'a run folder, or its checkpoints'),
    ]),
  );
  addSoup(
    add('soup', 'the greedy soup: checkpoints from the best score to the worst, each kept where the mean gains by it', [
      new Argument('<input...>', 'a run folder, its checkpoints, or several runs from one start'),
    ]),
  );
  addForecast(
    add('forecast', 'the score of merges along a run beside that of each checkpoint alone, and what it says of a decay', [
      new Argument('<input...>', 'a run folder, or its checkpoints'),
    ]),
  );
  add('report', 'make the page of a search, soup or forecast again from its trials', [
    new Argument('<trials>', 'trials.jsonl, or the folder that it lies in'),
  ])
    .addOption(valueOption('-o, --out <path>', 'write the page here (default: report.html beside the trials)', parsePath))
    .addOption(flag('-f, --force', 'replace an existing page'))
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the path of the page'))
    .addOption(debug());

  add('verify', 'check a merge: checksums, structure, recomputation from its inputs', [
    new Argument('<checkpoint>', 'folder or file that average wrote'),
  ])
    .addOption(flag('--full', 'recompute every element'))
    .addOption(
      valueOption('--sample <fraction>', 'part of the elements to recompute, from 0 (checksums only) to 1 (default: 0.01)', parseFraction),
    )
    .addOption(
      listOption('--input <path...>', 'where the inputs lie now, in any order (default: where they lay, relative to the merge)', parsePath),
    )
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print nothing; the exit code says it'))
    .addOption(progress())
    .addOption(debug());

  add('bench', "this machine's read and write limits, and how near a merge comes to them", [])
    .addOption(valueOption('--dir <path>', 'folder for the temporary files (default: the system temp folder)', parsePath))
    .addOption(valueOption('--size <size>', 'size of one input (default: 256MiB)', parseBytes))
    .addOption(valueOption('--inputs <n>', 'checkpoints to merge (default: 4)', parsePositiveInteger))
    .addOption(valueOption('--rounds <n>', 'rounds, of which the best counts (default: 5)', parsePositiveInteger))
    .addOption(threads())
    .addOption(io())
    .addOption(json())
    .addOption(debug());

  add('doctor', 'what could go wrong on this machine, and what to do about it', [
    new Argument('[folder]', 'where merges will be written (default: the current folder)'),
  ])
    .addOption(json())
    .addOption(debug());

  add('demo', 'merge a real training run that comes with the package, and measure the gain; `demo search` searches for the best merge', [
    new Argument('[what]', 'search: Bayesian optimisation of the merge, in two minutes').choices(['search']),
  ])
    .addOption(valueOption('-o, --output <path>', 'keep the merged checkpoint here (default: it is removed)', parsePath))
    .addOption(debug());

  add('completion', 'print a completion script', [new Argument('<shell>', 'bash, zsh or fish').choices(SHELLS)]).addOption(debug());
  return program;
}

function addMergeOptions(command: Command): Command {
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
function addExecutionOptions(command: Command): Command {
  return command
    .optionsGroup('Checks:')
    .addOption(flag('--fail-nonfinite', 'fail when an input holds NaN or infinity, or a sum overflows (default: warn)'))
    .optionsGroup('Machine:')
    .addOption(threads())
    .addOption(valueOption('--memory <size>', 'bound of buffers: bytes, 256M (10^6), 256MiB (2^20) (default: 256MiB)', parseBytes))
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

function addWatch(command: Command): Command {
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
    .addOption(valueOption('--memory <size>', 'bound of buffers: bytes, 256M (10^6), 256MiB (2^20) (default: 256MiB)', parseBytes))
    .addOption(io())
    .addOption(cache())
    .optionsGroup('Reporting:')
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the paths of the merges'))
    .addOption(progress())
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}

function addDiff(command: Command): Command {
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

function addRouters(command: Command): Command {
  command
    .usage('RUN-or-CHECKPOINTS... [options]')
    .optionsGroup('Choice of experts:')
    .addOption(valueOption('--hidden <file>', 'compare on these hidden states (.safetensors) instead of on synthetic inputs', parsePath))
    .addOption(valueOption('--probes <n>', 'inputs a layer (default: by the size of the routers)', parsePositiveInteger))
    .addOption(
      valueOption('--seed <n>', 'decides synthetic inputs, and which parts of experts are compared (default: 0)', parseWholeNumber),
    )
    .optionsGroup('Scores:')
    .addOption(
      valueOption(
        '--eval <command>',
        'score the merge with averaged, newest and oldest routers: a shell command, {model} in it',
        parseText,
      ),
    )
    .addOption(choiceOption('--goal <which>', 'scores that are better: lower, higher (default: lower)', ['lower', 'higher']))
    .addOption(valueOption('--timeout <seconds>', 'end an evaluation that takes longer (default: never)', parsePositiveInteger))
    .addOption(valueOption('--work <path>', 'folder for the three merges (default: the current folder)', parsePath))
    .addOption(flag('--keep', 'leave the merges there'));
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

function addSearch(command: Command): Command {
  addEvaluationOptions(addSearchOptions(addBestOutput(command)), { optional: true });
  return addStudiedMerges(command);
}

function addSoup(command: Command): Command {
  return addStudiedMerges(addEvaluationOptions(addSoupOptions(addBestOutput(command))));
}

function addForecast(command: Command): Command {
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
    .addOption(valueOption('--memory <size>', 'bound of buffers: bytes, 256M (10^6), 256MiB (2^20) (default: 256MiB)', parseBytes))
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

const json = () => flag('--json', 'print one JSON document, also for errors');
const debug = () => flag('--debug', 'show the stack of an error');
const threads = () =>
  valueOption('-t, --threads <n>', 'compute threads (default: CPUs allowed by affinity, cgroup and Slurm)', parsePositiveInteger);
const io = () => choiceOption('--io <mode>', 'how inputs are read: map, read (default: auto, by file system)', ['auto', 'map', 'read']);
const cache = () =>
  choiceOption('--cache <mode>', 'page cache behind the work: keep, drop (default: auto, by memory)', ['auto', 'keep', 'drop']);
const progress = () => choiceOption('--progress <mode>', `on stderr: ${PROGRESS_MODES.join(', ')} (default: auto)`, PROGRESS_MODES);

function section(title: string, body: string): string {
  return body === '' ? '' : `\n${title}:\n${body}\n`;
}

function argumentTerm(argument: Argument): string {
  const term = `${argument.name().toUpperCase()}${argument.variadic ? '...' : ''}`;
  return argument.required ? term : `[${term}]`;
}

/** Writes help through the given colours and width, whichever stream it goes to. */
export function styleHelp(program: Command, colors: Colors, columns: number): void {
  for (const command of [program, ...program.commands]) {
    command.configureHelp({
      helpWidth: Math.min(columns, 120),
      // Every command has options, and every description names its choices.
      subcommandTerm: (sub) => [sub.name(), ...sub.registeredArguments.map(argumentTerm)].join(' '),
      optionDescription: (option) => option.description,
      argumentDescription: (argument) => argument.description,
      styleTitle: (text) => colors.bold(text),
      styleCommandText: (text) => colors.cyan(text),
      styleSubcommandText: (text) => colors.cyan(text),
      styleOptionText: (text) => colors.green(text),
    });
  }
}
