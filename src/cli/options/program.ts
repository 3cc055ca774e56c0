import { Argument, Command } from 'commander';
import { parseByteSize } from '../../base/byte-size.ts';
import { MOST } from '../../base/limits.ts';
import type { Colors } from '../../render/colors.ts';
import {
  addConvert,
  addDiff,
  addExecutionOptions,
  addForecast,
  addGrid,
  addMergeOptions,
  addRouters,
  addSearch,
  addSoup,
  addWatch,
} from './command-options.ts';
import { examplesText, exitCodesText } from './help-text.ts';
import { addKeepOptions } from './keep-options.ts';
import { addTokenOptions, mergeOption } from './merge-options.ts';
import { debug, flag, json, listOption, progress, valueOption } from './options.ts';
import { addServe } from './serve-options.ts';
import { addSubmit, SCHEDULERS } from './submit-options.ts';
import { parseFraction, parsePath, parseText, wholeNumber } from './values.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** Called with the command that was chosen, its positional arguments and its options. */
export type Dispatch = (command: string, args: readonly (string | readonly string[])[], options: object) => Promise<void>;

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
  const more = [
    `\nHelp for one command, with its examples: ${name} COMMAND --help`,
    `What lies at a path, and the three commands that fit it: ${name} PATH`,
  ].join('\n');
  program.addHelpText('after', () => section('Examples', examplesText('merge', name)) + section('Exit codes', exitCodesText()) + more);

  const add = (command: string, description: string, args: readonly Argument[]): Command => {
    const sub = program.command(command).description(description);
    for (const argument of args) sub.addArgument(argument);
    sub.addHelpText('after', () => section('Examples', examplesText(command, name)));
    return sub.action((...given) => dispatch(command, given.slice(0, args.length), sub.opts()));
  };

  const inputs = () =>
    new Argument(
      '<input...>',
      'checkpoints (folders; .safetensors, .pt, .pth or .bin files; PATH:WEIGHT gives one its weight), or run folders',
    );
  addMergeOptions(add('average', 'merge checkpoints into one', [inputs()])).addOption(
    flag('-n, --dry-run', 'print the plan, write nothing'),
  );
  addMergeOptions(add('plan', 'show what average would do: members, weights, bytes, memory, space; needs no -o', [inputs()]));

  const recipe = add('run', 'make the outputs of a recipe, all in one read of the inputs', [new Argument('<recipe>', 'YAML file')])
    .usage('RECIPE [options]')
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'what to make instead of what a recipe of one output says', parsePath))
    .addOption(mergeOption('force'))
    .addOption(mergeOption('shardSize', { help: 'bytes of tensors in a file of the outputs at most', default: 'as the recipe says' }))
    .addOption(flag('-n, --dry-run', 'print the plan, write nothing'));
  addExecutionOptions(recipe);
  addGrid(
    add('grid', 'make every combination of windows, schedules, strides and controls of a run, in as few reads as can be', [
      new Argument('<run>', 'run folder, or a YAML file with the axes of a grid'),
    ]),
  );
  addConvert(
    add('convert', 'one checkpoint of any container as safetensors: the names that it has, its bytes copied', [
      new Argument('<checkpoint...>', 'a folder (DCP, torch_dist, safetensors …) or a file (.pt, .bin, .safetensors); one'),
    ]),
  );
  add('schema', 'print the JSON Schema of recipes, for editors that complete and check YAML', [])
    .addOption(flag('--space', 'that of the files of `merge search --space`'))
    .addOption(flag('--grid', 'that of the files of `merge grid`'))
    .addOption(debug());

  add('names', 'print a table of names for --names, to begin a file of your own with; without one, those that there are', [
    new Argument('[table]', 'torchtitan, torchtitan-qwen3, olmo-core or megatron'),
  ]).addOption(debug());

  addWatch(add('watch', 'merge each time a checkpoint of a run becomes complete', [new Argument('<run>', 'run folder')]));

  addSubmit(
    add('submit', 'hand average, run, convert or verify --full to a scheduler, so that many machines make one merge', [
      new Argument('<scheduler>', 'slurm; k8s: Kubernetes, printed for kubectl').choices(SCHEDULERS),
      new Argument('<command...>', 'what to run there, after --: average run --last 10 -o merged'),
    ]),
  );

  addTokenOptions(
    add('ls', "a run's checkpoints: steps, tokens, sizes, loss, and what is left out and why", [
      new Argument('<run...>', "folders that hold a run's checkpoints, or repositories in the Hub's cache"),
    ])
      .addOption(flag('-a, --all', 'show every row of a long list'))
      .addOption(
        valueOption(
          '--metrics <path>',
          'show metrics beside the loss: a CSV with a column step, or a log of Megatron-LM or torchtitan',
          parsePath,
        ),
      )
      .addOption(json())
      .addOption(debug()),
  );

  addKeepOptions(
    add('keep', 'which saves of a run to keep so that windows can be merged later; deletes nothing', [new Argument('<run>', 'run folder')]),
  );

  add('inspect', 'what a checkpoint holds: who wrote it, parameters by role, layers, experts, dtypes, and what is wrong with it', [
    new Argument('<checkpoint>', 'folder, or .safetensors, .pt, .pth, .bin or .ckpt file'),
  ])
    .addOption(flag('--tensors', 'list every tensor with dtype, shape, size and role'))
    .addOption(flag('--chunks', 'list every tensor with the parts that it is stored in: first element, size, file, byte'))
    .addOption(listOption('--tensor <name...>', 'list these tensors so; * is any text, ? one character', parseText))
    .addOption(flag('-s, --summary', 'leave the list of tensors out of --json'))
    .addOption(json())
    .addOption(debug());

  addDiff(
    add('diff', 'how far checkpoints are apart, by role, layer and expert, and what stands out', [
      new Argument('<input...>', 'checkpoints in order (folders; .safetensors, .pt, .pth or .bin files), or a run folder'),
    ]),
  );

  addRouters(add('routers', 'whether averaging the routers of a mixture-of-experts run is safe, by evidence', [inputs()]));

  addSearch(
    add('search', 'choose the weights of a merge by the scores that your evaluator gives: Bayesian optimisation', [
      new Argument('<input...>', 'a run folder, or its checkpoints'),
    ]),
  );
  addSoup(
    add('soup', 'the greedy soup: checkpoints from the best score to the worst, each kept where the mean with it scores no worse', [
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

  addServe(
    add('serve', 'serve the pages of a folder to browsers: read-only, this machine alone unless a token is given', [
      new Argument('<folder>', 'folder of a study, or one with such folders in it'),
    ]),
  ).addOption(debug());

  add('export', 'log the scores of a search, soup, forecast, grid or watch to files and dashboards', [
    new Argument('<trials>', 'trials.jsonl, or the folder that it lies in'),
  ])
    .addOption(
      listOption(
        '--to <kind>',
        'csv, jsonl, tensorboard (beside the trials, or KIND=PATH), wandb, mlflow: may be repeated (required)',
        parseText,
      ),
    )
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only paths'))
    .addOption(debug());

  add('verify', "check a merge: checksums, structure, recomputation from its inputs; or a checkpoint by its writer's own checksums", [
    new Argument('<checkpoint>', 'folder or file that a merge wrote, or a checkpoint with an integrity.json (Megatron-core)'),
  ])
    .addOption(flag('--full', 'recompute every element'))
    .addOption(
      valueOption('--sample <fraction>', 'part of the elements to recompute, from 0 (checksums only) to 1 (default: 0.01)', parseFraction),
    )
    .addOption(
      listOption(
        '--input <path...>',
        'where the inputs lie now, or the run that holds them, in any order (default: where they lay, relative to the merge)',
        parsePath,
      ),
    )
    .addOption(mergeOption('ranks', { help: 'with --full: which of several ranks this process is: auto, off, array, 0/8' }))
    .addOption(mergeOption('rankTimeout'))
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print nothing; the exit code says it'))
    .addOption(progress())
    .addOption(debug());

  add('bench', "this machine's read and write limits, and how near a merge comes to them", [])
    .addOption(valueOption('--dir <path>', 'folder for the temporary files (default: the system temp folder)', parsePath))
    .addOption(valueOption('--size <size>', 'size of one input (default: 256MiB)', parseByteSize))
    .addOption(valueOption('--inputs <n>', 'checkpoints to merge (default: 4)', wholeNumber(1, MOST.benchInputs)))
    .addOption(valueOption('--rounds <n>', 'rounds, of which the best counts (default: 5)', wholeNumber(1, MOST.benchRounds)))
    .addOption(mergeOption('threads'))
    .addOption(mergeOption('io'))
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
