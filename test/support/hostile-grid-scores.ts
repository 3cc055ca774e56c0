import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { runCli } from './run-cli.ts';
import { SCORE_WEIGHTS, weightedRun } from './weighted-run.ts';

type Setup = (folder: string) => HostileSetup | Promise<HostileSetup>;

const GRID = ['grid', 'run', '--windows', '200steps', '--method', 'wma', '-o', 'grid'];
const UP = ['--goal', 'maximize'];
const GIVEN = ['--scores', 'scores', ...UP];
const EVAL = ['--eval', `${SCORE_WEIGHTS} 0.5,0.5`, '--goal', 'maximize'];

/** A result of all that is scored. */
const ALL = { 'step400-w200steps-wma.json': '0.6', 'step400.json': '0.5', 'step400-w200steps-sma.json': '0.55' };
const NANS = { ...ALL, 'step400.json': '{"score": NaN}', 'step400-w200steps-sma.json': 'nan' };
const TORN_GOALS = {
  'step400.json': '0.5',
  'step400-w200steps-sma.json': '{"score": 0.5, "higher_is_better": false}',
  'step400-w200steps-wma.json': '{"score": 0.5, "higher_is_better": true}',
};

/** Options beside a grid of one output, over four saves. */
const line =
  (args: readonly string[], says: string, leaves?: string): Setup =>
  (folder) => {
    weightedRun(join(folder, 'run'), 4);
    return { args: [...GRID, ...args], says, ...(leaves !== undefined && { leaves }) };
  };

/** A folder of results, by name of the file. */
const given =
  (files: Readonly<Record<string, string>>, args: readonly string[], says: string): Setup =>
  (folder) => {
    weightedRun(join(folder, 'run'), 4);
    mkdirSync(join(folder, 'scores'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'scores', name), text);
    return { args: [...GRID, '--scores', 'scores', ...args], says };
  };

/** With a file of the user's in the folder for the report. */
const beside =
  (name: string, args: readonly string[], says: string): Setup =>
  (folder) => {
    weightedRun(join(folder, 'run'), 4);
    for (const name of ['scores', 'own']) mkdirSync(join(folder, name));
    for (const [name, text] of Object.entries(ALL)) writeFileSync(join(folder, 'scores', name), text);
    writeFileSync(join(folder, 'own', name), '{"mine": true}');
    return { args: [...GRID, ...args, '--dir', 'own'], says, leaves: 'own/.lock' };
  };

/** After a study in the folder of scores. */
const after =
  (first: readonly string[], args: readonly string[], says: string): Setup =>
  async (folder) => {
    weightedRun(join(folder, 'run'), 4);
    const { code, stderr } = await runCli(first, { cwd: folder });
    if (code !== 0) throw new Error(stderr);
    rmSync(join(folder, 'grid.scores', '.lock'), { recursive: true });
    return { args: [...GRID, ...args], says, leaves: 'grid.scores/.lock' };
  };

/** Beside a grid that is made. */
const made =
  (args: readonly string[], says: string): Setup =>
  async (folder) => {
    weightedRun(join(folder, 'run'), 4);
    const { code, stderr } = await runCli(GRID, { cwd: folder });
    if (code !== 0) throw new Error(stderr);
    return { args: [...GRID, ...args], says };
  };

const CASES: readonly (readonly [code: ErrorCode, exit: number, place: string, make: Setup])[] = [
  ['E_OPTION', 2, '--eval and --scores', line([...EVAL, '--scores', 'scores'], 'leave out one of them')],
  ['E_OPTION', 2, '--scores with --keep', given(ALL, ['--keep'], '--keep is about merges that are scored')],
  ['E_OPTION', 2, '--scores with --resume', given(ALL, ['--resume'], '--resume is about merges that are scored')],
  ['E_OPTION', 2, '--scores with --metric-regex', given(ALL, ['--metric-regex', 'acc (.*)'], '--metric-regex is about an evaluator')],
  ['E_OPTION', 2, '--scores with --validate', given(ALL, ['--validate', 'true'], '--validate is about an evaluator')],
  ['E_OPTION', 2, '--validate-metric without --validate', line([...EVAL, '--validate-metric', 'x'], '--validate-metric')],
  ['E_OPTION', 2, '--for with --eval', line([...EVAL, '--for', 'resume'], '--for decides what a trainer goes on from')],
  ['E_OPTION', 2, '--optimizer with --eval', line([...EVAL, '--optimizer', 'drop'], '--optimizer decides what a trainer goes on from')],
  ['E_OPTION', 2, '--for with --eval and --dry-run', line([...EVAL, '--for', 'resume', '-n'], '--for decides what a trainer goes on from')],
  [
    'E_OPTION',
    2,
    '--for with --submit',
    line([...EVAL.slice(0, 2), '--submit', '--for', 'resume'], '--for decides what a trainer goes on'),
  ],
  ['E_OPTION', 2, '--files with --eval', line([...EVAL, '--files', '2'], '--files is about outputs that stay')],
  ['E_OPTION', 2, '--format with --eval', line([...EVAL, '--format', 'dcp'], '--format is about outputs that stay')],
  ['E_USAGE', 2, '--ranks with --eval', line([...EVAL, '--ranks', '0/2'], '--ranks is of ranks that make a grid together')],
  ['E_USAGE', 2, '--no-keep with --eval', line([...EVAL, '--no-keep'], '--no-keep is of a grid that is made and not scored')],
  [
    'E_USAGE',
    2,
    '--submit with --dry-run',
    line([...EVAL.slice(0, 2), '--submit', '-n'], '--submit and --dry-run cannot be used together'),
  ],
  ['E_USAGE', 2, '--submit with --json', made([...EVAL.slice(0, 2), '--submit', '--json'], '--submit and --json cannot be used together')],
  ['E_USAGE', 2, '--print-recipe with --json', made(['--print-recipe', '--json'], '--print-recipe and --json cannot be used together')],
  ['E_USAGE', 2, '--metric without --eval', line(['--metric', 'x/acc'], '--metric is about an evaluator')],
  ['E_USAGE', 2, '--keep without --eval', line(['--keep'], '--keep is about an evaluator')],
  ['E_USAGE', 2, '--dir without --eval', line(['--dir', 'x'], '--dir is about an evaluator')],
  ['E_USAGE', 2, '--progress with --eval', line([...EVAL, '--progress', 'json'], '--progress')],
  ['E_USAGE', 2, '--submit without --eval', line(['--submit'], '--submit')],
  ['E_USAGE', 2, '--submit with --dir', line([...EVAL.slice(0, 2), '--submit', '--dir', 'x'], '--dir is of a scoring')],
  ['E_NOT_FOUND', 3, '--submit before anything is made', line([...EVAL.slice(0, 2), '--submit'], 'there is no step400-w200steps-wma')],
  ['E_OPTION', 2, '--gpus that are too few', line([...EVAL, '--parallel', '2', '--gpus', '0'], '--gpus')],
  [
    'E_EVALUATOR',
    1,
    '--eval that fails',
    line(['--eval', 'false {model}', '--goal', 'maximize'], 'the first evaluation failed', 'grid.scores'),
  ],
  ['E_GOAL', 2, '--eval without a goal', line(['--eval', `${SCORE_WEIGHTS} 0.5,0.5`], '--goal', 'grid.scores')],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, '--dir inside a checkpoint', line([...EVAL, '--dir', 'run/checkpoint-400/x'], 'lies in the checkpoint')],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, '--dir inside a save that is no member', line([...EVAL, '--dir', 'run/checkpoint-100/x'], 'lies in the')],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, '--scores with --dir in a save', given(ALL, [...UP, '--dir', 'run/checkpoint-100'], 'lies in the')],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, '--scores with --dir as the run', given(ALL, [...UP, '--dir', 'run'], 'is the run itself')],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, '--scores with --dir in a merge', made([...GIVEN, '--dir', 'grid/step400-w200steps-wma'], 'lies in the')],
  ['E_OUTPUT_EXISTS', 4, "--scores over a user's report", beside('report.html', GIVEN, 'own/report.html is none of this')],
  ['E_OUTPUT_EXISTS', 4, "--eval over a user's result", beside('result.json', EVAL, 'own/result.json is none of this')],
  ['E_OUTPUT_EXISTS', 4, 'scores that are there', after([...GRID, ...EVAL], EVAL, 'holds a grid with 3 scored trials')],
  [
    'E_OUTPUT_EXISTS',
    4,
    '--scores into a study',
    after([...GRID, ...EVAL], ['--scores', 'x', '--goal', 'maximize', '--dir', 'grid.scores'], 'holds trials'),
  ],
  [
    'E_SEARCH_STATE',
    2,
    'another evaluator than before',
    after([...GRID, ...EVAL], ['--eval', `${SCORE_WEIGHTS} 0.1,0.9`, '--goal', 'maximize', '--resume'], 'evaluator'),
  ],
  [
    'E_SEARCH_STATE',
    2,
    'a study of another kind in the folder',
    after(['forecast', 'run', '--window', '2', '--dir', 'grid.scores', ...EVAL], [...EVAL, '--resume'], 'kind: forecast then, grid now'),
  ],
  ['E_NOT_FOUND', 3, '--scores that is not there', line(['--scores', 'nowhere', '--goal', 'maximize'], 'nowhere')],
  [
    'E_SCORES',
    3,
    '--scores without an output',
    given({ 'step400.json': '0.5' }, ['--goal', 'maximize'], 'no result of step400-w200steps-wma'),
  ],
  [
    'E_SCORES',
    3,
    '--scores without anything to compare with',
    given({ 'step400-w200steps-wma.json': '0.6' }, ['--goal', 'maximize'], 'neither the newest checkpoint alone (step400)'),
  ],
  ['E_SCORES', 3, '--scores of no result', given({ ...ALL, 'step400.json': '{"a": []}' }, ['--goal', 'maximize'], 'step400.json')],
  [
    'E_SCORES',
    3,
    '--scores with a key twice',
    given({ ...ALL, 'step400.json': '{"score": 0.5, "score": 0.7}' }, UP, 'step400.json: "score" is there twice'),
  ],
  ['E_SCORES', 3, '--scores of NaN alone', given(NANS, UP, 'a plain mean (step400-w200steps-sma) has a score')],
  [
    'E_SCORES',
    3,
    '--scores with an error below 0',
    given({ ...ALL, 'step400-w200steps-wma.json': '{"score": 0.5, "stderr": -1}' }, UP, 'step400-w200steps-wma.json: "stderr" is -1'),
  ],
  ['E_SCORES', 3, '--scores of outputs that are NaN', given({ ...ALL, 'step400-w200steps-wma.json': 'nan' }, UP, 'no output has a score')],
  ['E_GOAL', 2, '--scores of which some are better larger', given(TORN_GOALS, [], 'step400-w200steps-wma.json says that larger scores')],
  [
    'E_METRIC',
    2,
    '--scores with a metric that is none',
    given({ ...ALL, 'step400.json': '{"metrics": {"acc": 1}}' }, ['--goal', 'maximize', '--metric', 'f1'], 'f1'),
  ],
  ['E_GOAL', 2, '--scores without a goal', given(ALL, [], '--goal')],
];

/** What bad requests for the scores of a grid get. */
export const HOSTILE_GRID_SCORES: readonly HostileCase[] = CASES.map(([code, exit, place, make]) => ({
  code,
  exit,
  place: `grid scores: ${place}`,
  what: place,
  make,
}));
