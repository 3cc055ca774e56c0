import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { runCli } from './run-cli.ts';
import { writeRun } from './run-trees.ts';

type Setup = (folder: string) => HostileSetup | Promise<HostileSetup>;

/** Eight saves of 25B tokens each, with a constant rate, and what a case changes about them. */
function run(folder: string, { tokens = true, names = (i: number) => `checkpoint-${i * 1000}`, count = 8 } = {}): void {
  writeRun(
    join(folder, 'run'),
    Array.from({ length: count }, (_, i) => ({
      name: names(i + 1),
      step: (i + 1) * 1000,
      ...(tokens && { tokens: (i + 1) * 25e9 }),
    })),
  );
}

/** A command line over the run as it is. */
const line =
  (args: string, says: string): Setup =>
  (folder) => {
    run(folder);
    return { args: `grid run ${args} -o grid`.split(' '), says };
  };

/** Any words over a run that differs from it. */
const words =
  (args: string, says: string, changes: Parameters<typeof run>[1] = {}): Setup =>
  (folder) => {
    run(folder, changes);
    return { args: args.split(' '), says };
  };

/** A grid file over it. */
const file =
  (text: string, says: string): Setup =>
  (folder) => {
    run(folder);
    writeFileSync(join(folder, 'grid.yaml'), text);
    return { args: ['grid', 'grid.yaml', '-o', 'grid'], says };
  };

/** One of whose outputs is there, and what becomes of it. */
const made =
  (change: (folder: string) => void, args: string, says: string): Setup =>
  async (folder) => {
    run(folder);
    await runCli(['grid', 'run', '--windows', '50B', '-o', 'grid', '-q'], { cwd: folder });
    change(folder);
    return { args: `grid run ${args} -o grid`.split(' '), says };
  };

const CASES: readonly (readonly [code: ErrorCode, exit: number, place: string, make: Setup])[] = [
  // Axes that cannot be
  ['E_USAGE', 2, 'no folder', words('grid run --windows 50B', '-o DIR')],
  ['E_USAGE', 2, '--windows twice', line('--windows 50B --windows 75B', '--windows is given twice')],
  [
    'E_USAGE',
    2,
    'axes beside a grid file',
    (folder) => {
      run(folder);
      writeFileSync(join(folder, 'grid.yaml'), 'run: run\nwindows: 50B\n');
      return { args: ['grid', 'grid.yaml', '--strides', '2', '-o', 'grid'], says: '--strides' };
    },
  ],
  ['E_USAGE', 2, '--launcher of a rank', line('--windows 50B --launcher env --ranks 0/2', '--launcher')],
  ['E_OPTION', 2, '--windows missing', line('--strides 2', '--windows is missing')],
  ['E_OPTION', 2, '--windows 0', line('--windows 50B,0', 'over 0')],
  ['E_OPTION', 2, '--windows unit', line('--windows 50Q', "'50Q'")],
  ['E_OPTION', 2, '--windows of one value twice', line('--windows 50B,50000M', 'names 50000M twice')],
  ['E_OPTION', 2, '--strides 0', line('--windows 50B --strides 0', '--strides')],
  ['E_OPTION', 2, '--endpoints word', line('--windows 50B --endpoints newst', 'did you mean newest?')],
  ['E_OPTION', 2, '--endpoints every without its colon', line('--windows 50B --endpoints every-20B', 'did you mean every:20B?')],
  ['E_USAGE', 2, '--members on a command line', line('--windows 50B --members top:3', 'stands in a grid file')],
  ['E_USAGE', 2, '--last, as of a merge', line('--windows 50B --last 3', '--windows 3ckpt or 50B')],
  ['E_USAGE', 2, '--schedule', line('--windows 50B --schedule wsm', '--method wsm --decay')],
  ['E_OPTION', 2, '--endpoints every so many saves', line('--windows 50B --endpoints every:3ckpt', 'counts saves')],
  ['E_OPTION', 2, '--endpoints every nothing', line('--windows 50B --endpoints every:0', 'over 0')],
  ['E_OPTION', 2, '--controls word', line('--windows 50B --controls revers', 'reverse and scramble-seeds')],
  ['E_OPTION', 2, '--controls seeds backwards', line('--windows 50B --controls scramble-seeds:3-1', 'scramble-seeds:3-1')],
  ['E_OPTION', 2, '--stage-starts in saves', line('--windows 50B --stage-starts 3ckpt', 'a step or a token count')],
  ['E_OPTION', 2, '--method extrapolate', line('--windows 50B --method extrapolate', 'extrapolate')],
  ['E_OPTION', 2, '--alpha of two methods', line('--windows 50B --alpha 0.1', 'belongs to ema and ema-normalized')],
  ['E_OPTION', 2, '--alpha of none of the methods', line('--windows 50B --method sma,wma --alpha 0.1', 'has no meaning for sma, wma')],
  ['E_OPTION', 2, '--alpha and --half-life', line('--windows 50B --method ema --alpha 0.1 --half-life 5B', 'cannot be used together')],
  ['E_OPTION', 2, '--method lr-curve without its curve', line('--windows 50B --method lr-curve', '--lr-curve')],
  ['E_OPTION', 2, '--optimizer without --for', line('--windows 50B --optimizer newest', '--for resume')],
  [
    'E_OPTION',
    2,
    '--decay-file of one name in two folders',
    (folder) => {
      run(folder);
      for (const [name, text] of [
        ['a', '0.5\n'],
        ['b', '0.4\n'],
      ] as const) {
        mkdirSync(join(folder, name));
        writeFileSync(join(folder, name, 'decay.txt'), text);
      }
      return {
        args: 'grid run --windows 2ckpt --decay-file a/decay.txt,b/decay.txt -o grid'.split(' '),
        says: 'would be called step8000-w2ckpt-wsm-decay',
      };
    },
  ],
  [
    'E_DECAY',
    2,
    '--decay-file that fits some windows',
    (folder) => {
      run(folder);
      writeFileSync(join(folder, 'decay.txt'), '0.5\n');
      return { args: 'grid run --windows 2ckpt,3ckpt --decay-file decay.txt -o grid'.split(' '), says: 'decay.txt' };
    },
  ],
  // Grids that are too large
  [
    'E_GRID_SIZE',
    2,
    'thousands',
    line('--windows 1ckpt,2ckpt,3ckpt --endpoints all --controls scramble-seeds:1-500', 'the grid has 12024 outputs'),
  ],
  [
    'E_GRID_SIZE',
    2,
    'millions, --yes-all or not',
    line('--yes-all --windows 1ckpt,2ckpt --endpoints all --controls scramble-seeds:1-9999', '160000 outputs'),
  ],
  // Runs that do not have what is asked for
  ['E_NO_MEMBERS', 3, '--windows wider than the run', line('--windows 50B,3T', 'the window 3T fits at no endpoint')],
  ['E_NO_MEMBERS', 3, '--windows of more saves than there are', line('--windows 9ckpt', 'fewer than 9 saves')],
  ['E_NO_MEMBERS', 3, '--endpoints between saves', line('--windows 50B --endpoints 1500', 'no save is at step 1500')],
  ['E_NO_MEMBERS', 3, '--endpoints beyond the run', line('--windows 50B --endpoints 3T', 'no save is at 3T tokens')],
  ['E_NO_MEMBERS', 3, '--stage', line('--windows 50B --stage 2', 'no checkpoint of stage 2')],
  ['E_NO_TOKENS', 2, '--windows in tokens', words('grid run --windows 50B -o grid', '--windows 50B is in tokens', { tokens: false })],
  [
    'E_STAGES',
    3,
    'run in stages',
    (folder) => {
      run(folder, { names: (i) => `stage${i > 4 ? 2 : 1}-step${i * 1000}` });
      return { args: 'grid run --windows 2ckpt -o grid'.split(' '), says: '--stage' };
    },
  ],
  [
    'E_SIBLINGS',
    2,
    'run of ingredients',
    (folder) => {
      run(folder, { names: (i) => `stage2-ingredient${1 + (i % 2)}-step${i * 1000}` });
      return { args: 'grid run --windows 2ckpt -o grid'.split(' '), says: 'several trainings' };
    },
  ],
  [
    'E_NO_POSITION',
    2,
    '--half-life in tokens',
    words('grid run --windows 3ckpt --half-life 5B -o grid', 'a half-life in tokens', { tokens: false }),
  ],
  ['E_NO_RUN', 3, 'a checkpoint', words('grid run/checkpoint-1000 --windows 50B -o grid', 'run/checkpoint-1000', { count: 1 })],
  ['E_NOT_FOUND', 3, 'no run', () => ({ args: 'grid nowhere --windows 50B -o grid'.split(' '), says: 'nowhere' })],
  // Grid files
  ['E_NOT_FOUND', 3, 'no grid file', () => ({ args: 'grid nowhere.yaml -o grid'.split(' '), says: 'nowhere.yaml' })],
  ['E_GRID', 2, 'grid file: key', file('run: run\nwindow: 50B\nwindows: 50B\n', 'did you mean `windows`?')],
  ['E_GRID', 2, 'grid file: value', file('run: run\nwindows: 50B\nstrides: [two]\n', 'strides')],
  [
    'E_GRID',
    2,
    'grid file: a list as on a command line',
    file('run: run\nwindows: 50B\nstrides: 1,2\n', 'a list is written strides: [1, 2]'),
  ],
  ['E_GRID', 2, 'grid file: amounts as on a command line', file('run: run\nwindows: 50B,75B\n', 'windows: [50B, 75B]')],
  ['E_GRID', 2, 'grid file: contradiction', file('run: run\nwindows: 50B\nmethod: [ema]\nalpha: 0.1\nhalf-life: 5B\n', 'grid.yaml:5:12')],
  ['E_GRID', 2, 'grid file: name of a set of policies', file('run: run\nwindows: 50B\npolicies: { a/b: [] }\n', '"a/b"')],
  ['E_GRID', 2, 'grid file: a recipe', file('inputs: run\noutputs: [{ path: a }]\n', 'a recipe has it: `merge run`')],
  [
    'E_POLICY_UNUSED',
    2,
    'grid file: a policy that fits nothing',
    file('run: run\nwindows: 50B\npolicies: { a: [{ role: routers, use: newest }] }\n', 'routers'),
  ],
  ['E_GRID', 2, 'grid file: members', file('run: run\nwindows: 50B\nmembers: [all, best]\n', 'takes all, or top:K')],
  ['E_GRID', 2, 'grid file: members without scores', file('run: run\nwindows: 50B\nmembers: top:2\n', 'needs member-scores')],
  ['E_GRID', 2, 'grid file: scores without members', file('run: run\nwindows: 50B\nmember-scores: s.csv\n', 'only with members')],
  [
    'E_GRID',
    2,
    'grid file: goal of members',
    file('run: run\nwindows: 50B\nmembers: top:2\nmember-scores: s.csv\nmember-goal: up\n', 'member-goal'),
  ],
  ['E_NOT_FOUND', 3, 'grid file: no scores', file('run: run\nwindows: 50B\nmembers: top:2\nmember-scores: s.csv\n', 's.csv')],
  [
    'E_SCORES',
    3,
    'grid file: scores that are none',
    (folder) => {
      run(folder);
      writeFileSync(join(folder, 's.csv'), 'step,acc\nsoon,high\n');
      writeFileSync(join(folder, 'grid.yaml'), 'run: run\nwindows: 50B\nmembers: top:2\nmember-scores: s.csv\n');
      return { args: ['grid', 'grid.yaml', '-o', 'grid'], says: 's.csv' };
    },
  ],
  ['E_NOT_FOUND', 3, 'no weights file', line('--windows 2ckpt --weights-file none.json', 'none.json')],
  [
    'E_WEIGHTS',
    2,
    'a weights file for other windows',
    (folder) => {
      run(folder);
      writeFileSync(join(folder, 'w.json'), '{"*": [0.5, 0.5]}');
      return { args: 'grid run --windows 3ckpt --weights-file w.json -o grid'.split(' '), says: '3' };
    },
  ],
  // Schedules of the whole run
  ['E_OPTION', 2, '--half-life-fraction 0', line('--windows 3ckpt --method ema --half-life-fraction 0', '--half-life-fraction')],
  ['E_OPTION', 2, '--half-life-fraction over 1', line('--windows 3ckpt --method ema --half-life-fraction 20', '--half-life-fraction')],
  [
    'E_OPTION',
    2,
    '--half-life-fraction and --alpha',
    line('--windows 3ckpt --method ema --half-life-fraction 0.1 --alpha 0.1', 'together'),
  ],
  ['E_OPTION', 2, '--half-life-fraction of the mean', line('--windows 3ckpt --method sma --half-life-fraction 0.1', 'no meaning for sma')],
  ['E_OPTION', 2, '--origin alone', line('--windows 3ckpt --method ema --origin 5B', '--origin')],
  ['E_OPTION', 2, '--origin after the saves', line('--windows 3ckpt --method ema --half-life-fraction 0.1 --origin 3T', 'origin')],
  // What is there
  [
    'E_OUTPUT_EXISTS',
    4,
    'a merge of another plan',
    made(
      (folder) => {
        // The same step of another training.
        writeRun(join(folder, 'run'), [{ name: 'checkpoint-7000', step: 7000, tokens: 7 * 25e9, seed: 99 }]);
      },
      '--windows 50B',
      'step8000-w50B-sma',
    ),
  ],
  [
    'E_OUTPUT_EXISTS',
    4,
    'a merge that lost a file',
    made((folder) => rmSync(join(folder, 'grid/step8000-w50B-sma/model.safetensors')), '--windows 50B', 'damaged since'),
  ],
  [
    'E_OUTPUT_EXISTS',
    4,
    'a merge of another dtype',
    made(
      (folder) => {
        // Under the name of one that is stored as it is.
        rmSync(join(folder, 'grid'), { recursive: true });
        mkdirSync(join(folder, 'grid/step8000-w50B-sma'), { recursive: true });
        writeFileSync(join(folder, 'grid/step8000-w50B-sma/notes.txt'), 'mine');
      },
      '--windows 50B',
      'step8000-w50B-sma',
    ),
  ],
  [
    'E_OUTPUT_KIND',
    2,
    '--force over somebody’s folder',
    made(
      (folder) => {
        rmSync(join(folder, 'grid'), { recursive: true });
        mkdirSync(join(folder, 'grid/step8000-w50B-sma'), { recursive: true });
        writeFileSync(join(folder, 'grid/step8000-w50B-sma/notes.txt'), 'mine');
      },
      '--windows 50B --force',
      'notes.txt',
    ),
  ],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, 'the folder of a save', words('grid run --windows 50B -o run/checkpoint-8000', 'checkpoint-8000')],
  [
    'E_STRICT',
    3,
    'a save that is cut short',
    (folder) => {
      run(folder);
      writeFileSync(join(folder, 'run/checkpoint-7000/model.safetensors'), 'cut');
      return { args: 'grid run --windows 75B --strict -o grid'.split(' '), says: 'checkpoint-7000' };
    },
  ],
];

export const HOSTILE_GRIDS: readonly HostileCase[] = CASES.map(([code, exit, place, make]) => ({
  code,
  exit,
  place: `grid: ${place}`,
  what: place,
  make,
}));
