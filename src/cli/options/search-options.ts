import type { Command } from 'commander';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { parseMetric } from '../../checkpoints/results/metric.ts';
import { parseBranch } from '../../search/forecast/calibrate.ts';
import { KERNELS } from '../../search/gaussian-process/names.ts';
import { ACQUISITIONS, SAMPLERS } from '../../search/sampler/names.ts';
import { choiceOption, flag, listOption, timeoutOption, valueOption } from './options.ts';
import { addStudyServer } from './serve-options.ts';
import { badValue, duration, parseNumber, parsePath, parsePositiveInteger, parseText, parseWholeNumber, wholeNumber } from './values.ts';

/**
 * How models are scored, for every command that scores them.
 * @param optional where something else may score, or nothing @param of what the command scores
 */
export function addEvaluationOptions(
  command: Command,
  { optional = false, of = 'a model', keep = 'leave the merges there' } = {},
): Command {
  return addEvaluatorOptions(command, { optional, of })
    .addOption(
      valueOption('--parallel <n>', 'evaluations at a time, of merges made in one read (default: 1)', wholeNumber(1, MOST.parallel)),
    )
    .addOption(
      valueOption(
        '--work <path>',
        'folder for the merges until they are scored (default: in memory where they fit; with --launcher in the folder of the trials)',
        parsePath,
      ),
    )
    .addOption(flag('--keep', keep));
}

/** How a watch scores what it merges. */
export function addWatchScoreOptions(command: Command): Command {
  return addStudyServer(
    addEvaluatorOptions(command, { optional: true, of: 'each merge and each new checkpoint, beside the merging', timeout: false })
      .addOption(valueOption('--parallel <n>', 'evaluations at a time (default: 1)', wholeNumber(1, MOST.parallel)))
      .addOption(
        valueOption(
          '--scores <path>',
          'folder of results that another pipeline writes, NAME.json or a folder NAME of lm-eval or lighteval, by the name of each merge and checkpoint; instead of --eval',
          parsePath,
        ),
      )
      .addOption(calibrateOption())
      .addOption(logOption())
      .addOption(
        valueOption(
          '--dir <path>',
          'folder of scores, logs and the page live.html (default: scores in the folder of the merges)',
          parsePath,
        ),
      )
      .addOption(
        valueOption(
          '--work <path>',
          "folder for copies that an evaluator can load, of what is no safetensors (default: --dir's)",
          parsePath,
        ),
      ),
  );
}

/** The command that scores, and how its score is read. @param timeout whether it has one of its own */
function addEvaluatorOptions(
  command: Command,
  { optional, of, timeout = true }: { optional: boolean; of: string; timeout?: boolean },
): Command {
  command
    .optionsGroup('Evaluation (docs/evaluators.md):')
    .addOption(
      valueOption(
        '--eval <command>',
        `shell command that scores ${of}, "$MERGE_MODEL" in it, which may use MERGE_OUT, MERGE_TRIAL, MERGE_RESULT …, or {model}, {out}, {trial}, {gpu}${optional ? '' : ' (required)'}`,
        parseText,
      ),
    )
    .addOption(
      listOption(
        '--metric <name...>',
        "which score, as 'hellaswag/acc_norm,none'; several with weights as NAME=0.5 are summed",
        parseMetric,
      ),
    )
    .addOption(
      choiceOption('--goal <which>', 'better scores are the larger: maximize, or the smaller: minimize (default: as the evaluator says)', [
        'maximize',
        'minimize',
      ]),
    )
    .addOption(valueOption('--metric-file <glob>', 'read the score from this file; --metric is then a JSON pointer in it', parseText))
    .addOption(valueOption('--metric-regex <regex>', 'read the score from the last match in what the command prints', parseText));
  if (timeout) command.addOption(timeoutOption('an evaluation'));
  return command
    .addOption(valueOption('--eval-setup <command>', 'run once before the first evaluation', parseText))
    .addOption(valueOption('--eval-cancel <command>', 'run when an evaluation is ended early, as scancel for a Slurm job', parseText))
    .addOption(valueOption('--eval-server <url>', 'load each merge into this running SGLang server first', parseText))
    .addOption(valueOption('--gpus <list>', 'devices for {gpu}, one for each evaluation at a time: 0,1,2,3', parseList));
}

/** How the outputs of a grid are scored. */
export function addScoringOptions(command: Command): Command {
  const keep = 'with --eval: make the grid in its folder first, and leave it there (default: merges are removed once they are scored)';
  return addStudyServer(addValidationOptions(addEvaluationOptions(command, { optional: true, of: 'each output', keep })))
    .addOption(
      valueOption(
        '--scores <path>',
        'folder of results that another pipeline wrote, NAME.json or a folder NAME of lm-eval or lighteval for each output; instead of --eval',
        parsePath,
      ),
    )
    .addOption(
      valueOption(
        '--dir <path>',
        'folder of trials, logs and the report of scores (default: DIR.scores; of --scores DIR.given)',
        parsePath,
      ),
    )
    .addOption(logOption())
    .addOption(
      flag(
        '--submit',
        'print a Slurm script that scores what was made with the command of --eval, as a job array: $MERGE_MODEL, $MERGE_NAME',
      ),
    );
}

/** Where a study is kept, and going on with it. */
export function addStudyOptions(command: Command, { folder = 'OUT.search', output = true } = {}): Command {
  return command
    .addOption(valueOption('--dir <path>', `folder of trials, logs and reports (default: ${folder})`, parsePath))
    .addOption(flag('-f, --force', `begin anew where there is a study${output ? ', and replace an existing output' : ''}`))
    .addOption(flag('--resume', 'go on with what is in the folder'))
    .addOption(logOption());
}

/** Where scores go as they come. */
const logOption = () =>
  listOption(
    '--log <kind>',
    'log scores as they come, may be repeated: csv, jsonl, tensorboard (beside the trials, or KIND=PATH), wandb, mlflow',
    parseText,
  );

export function addSearchOptions(command: Command): Command {
  command
    .optionsGroup('Space:')
    .addOption(
      valueOption(
        '--space <name>',
        'pairwise, schedule, weights, or a YAML file (default: pairwise for two checkpoints, else schedule)',
        parsePath,
      ),
    )
    .addOption(
      valueOption('--alpha <number>', 'pairwise: least weight of the newer checkpoint, at least 0 and below 1 (default: 0.5)', parseAlpha),
    )
    .addOption(listOption('--separate <role...>', 'pairwise, weights: these get weights of their own, as routers', parseText))
    .addOption(flag('--pairwise-chain', 'an independent search between each two neighbours'))
    .optionsGroup('Search:')
    .addOption(valueOption('--trials <n>', 'recipes to score, newest and uniform mean among them (default: 12)', parsePositiveInteger))
    .addOption(choiceOption('--sampler <name>', 'gp: Gaussian process; grid, random, sobol (default: gp)', SAMPLERS))
    .addOption(
      choiceOption('--acquisition <name>', 'of gp: hedge, logei, ei, pi, ucb (default: hedge in one dimension, else logei)', ACQUISITIONS),
    )
    .addOption(choiceOption('--kernel <name>', 'of gp: matern52, matern32, rbf (default: matern52)', KERNELS))
    .addOption(valueOption('--sampler-cmd <command>', 'a sampler of your own: JSON lines on its stdin and stdout', parseText))
    .addOption(flag('--ask-tell', 'be driven by JSON lines on stdin and stdout, by Optuna, Ax or code of your own'))
    .addOption(valueOption('--seed <n>', 'decides everything that is drawn (default: 0)', parseWholeNumber))
    .addOption(budgetOption())
    .addOption(valueOption('--patience <n>', 'end after so many trials without a better score', parsePositiveInteger))
    .addOption(flag('--all-trials', 'try all of them, also where the scores show no differences (gp ends there)'))
    .addOption(
      valueOption(
        '--anchor-every <n>',
        'score the newest checkpoint again after each so many trials, to tell an evaluator that drifts (default: never)',
        parsePositiveInteger,
      ),
    );
  return addNoiseOptions(command).addOption(flag('--score-members', 'score every single checkpoint too'));
}

/** A soup has no space, and what it tries follows from the scores. */
export function addSoupOptions(command: Command): Command {
  return addNoiseOptions(command.optionsGroup('Soup:').addOption(budgetOption()));
}

export function addForecastOptions(command: Command): Command {
  return command
    .optionsGroup('Windows:')
    .addOption(
      valueOption(
        '--window <n>',
        'checkpoints in each, one window for every checkpoint that ends one (default: 10, of fewer checkpoints half)',
        parsePositiveInteger,
      ),
    )
    .addOption(calibrateOption());
}

const calibrateOption = () =>
  listOption(
    '--calibrate <step=score...>',
    'real decays: the step at which each left the run, and its score; says what part of their gain merging recovers',
    parseBranch,
  );

function addNoiseOptions(command: Command): Command {
  return addValidationOptions(
    command
      .optionsGroup('Noise and conclusion:')
      .addOption(
        valueOption('--repeats <n>', 'score each recipe so often, which measures the noise (default: 1)', wholeNumber(1, MOST.repeats)),
      )
      .addOption(
        choiceOption(
          '--noise <kind>',
          'errors that the evaluator gives are of items all trials share: shared, or of each trial: independent (default: shared)',
          ['shared', 'independent'],
        ),
      ),
  );
}

/** A second set. */
function addValidationOptions(command: Command): Command {
  return command
    .addOption(valueOption('--validate <command>', 'score the best recipes and the baselines on a second set', parseText))
    .addOption(listOption('--validate-metric <name...>', 'which score of the second set (default: as --metric)', parseMetric));
}

const budgetOption = () => valueOption('--budget <duration>', 'begin no trial that would end later: 6h, 90m', duration(MOST.budget));

function parseAlpha(text: string, option: string): number {
  const value = parseNumber(text);
  if (!(value >= 0 && value < 1)) {
    const help = 'It is the least weight of the newer checkpoint; at 1 that one alone is left, and there is nothing to search.';
    throw badValue(option, text, 'a number of at least 0 and below 1', help);
  }
  return value;
}

function parseList(text: string, option: string): readonly string[] {
  const words = text.split(',').map((word) => word.trim());
  if (words.some((word) => word === '')) throw badValue(option, text, 'a list such as 0,1,2,3');
  const twice = words.find((word, i) => words.indexOf(word) < i);
  if (twice !== undefined) throw new MergeError('E_OPTION', `${option} names ${twice} twice`, { help: 'Name each device once.' });
  return words;
}
