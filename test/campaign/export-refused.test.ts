import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { exportScores } from '../../src/index.ts';
import { mergeError } from '../support/safetensors.ts';
import { eventFileIn, freshRuns, WatchedRun } from '../support/watched-run.ts';

const fresh = freshRuns();
const at = (...parts: string[]) => fresh().at(...parts);
const _save = (first: number, last?: number) => fresh().save(first, last);
/** A watch that scored, made once, and copied to where each test works. */
const made = new WatchedRun();
beforeAll(() => made.score());
afterAll(() => made.folder.remove());
function copied(): void {
  for (const name of ['run', 'merges']) cpSync(made.at(name), at(name), { recursive: true });
}
const watched = (log: readonly string[]) => fresh().score({ log });
const scores = (...names: string[]) => fresh().scores(...names);
const _lines = () => fresh().lines();
const eventFile = (place = scores('tensorboard')) => eventFileIn(place);

const told: [place: string, code: string, message: string][] = [];
afterAll(() => {
  for (const [place, code, message] of told) console.log(`  ${place.padEnd(46)} ${code.padEnd(16)} ${message.slice(0, 120)}`);
  expect(new Set(told.map(([place, code]) => `${code} ${place}`)).size).toBe(told.length);
});

const CASES: readonly [
  place: string,
  code: string,
  message: string,
  prepare: () => void | Promise<void>,
  to: () => readonly string[],
  trials?: () => string,
][] = [
  [
    'an unknown kind',
    'E_OPTION',
    "takes csv, jsonl, tensorboard, wandb, mlflow, each alone or with =PATH, and not 'tensorbord'",
    () => {},
    () => ['tensorbord'],
  ],
  ['a kind without its path', 'E_OPTION', 'csv= names no path', () => {}, () => ['csv=']],
  ['a path of a tracker', 'E_OPTION', 'wandb has no path', () => {}, () => ['wandb=x']],
  ['one kind twice', 'E_OPTION', 'names csv twice', () => {}, () => ['csv', 'csv']],
  ['no kind', 'E_OPTION', 'nothing says what to export to', () => {}, () => []],
  ['wandb without a run', 'E_OPTION', 'WANDB_RUN_ID does not name one', () => {}, () => ['wandb']],
  ['mlflow without a run', 'E_OPTION', 'MLFLOW_RUN_ID does not name one', () => {}, () => ['mlflow']],
  ['no trials', 'E_NOT_FOUND', 'there are no trials', () => {}, () => ['csv'], () => at('nowhere')],
  [
    'a file that is none of trials',
    'E_TRIALS',
    'line 1',
    () => writeFileSync(at('x.jsonl'), '{"a":1}\n'),
    () => ['csv'],
    () => at('x.jsonl'),
  ],
  [
    'a file of somebody',
    'E_OUTPUT_EXISTS',
    'is no log of scores',
    () => writeFileSync(at('my.csv'), 'a,b\n1,2\n'),
    () => [`csv=${at('my.csv')}`],
  ],
  [
    'a CSV of another study',
    'E_OUTPUT_EXISTS',
    'holds the scores of another study',
    () => writeFileSync(at('my.csv'), 'study,trial,kind\r\n0123456789ab,0,single\r\n'),
    () => [`csv=${at('my.csv')}`],
  ],
  [
    'JSON lines of another study',
    'E_OUTPUT_EXISTS',
    'holds the scores of another study',
    () => writeFileSync(at('my.jsonl'), '{"study":"0123456789ab","trial":0}\n'),
    () => [`jsonl=${at('my.jsonl')}`],
  ],
  [
    'an event file of another run',
    'E_OUTPUT_EXISTS',
    'has an event file of another run',
    () => {
      mkdirSync(at('tb'));
      writeFileSync(at('tb', 'events.out.tfevents.1700000000.host.1.0'), 'x');
    },
    () => [`tensorboard=${at('tb')}`],
  ],
  [
    'an event file that was changed',
    'E_OUTPUT_EXISTS',
    'does not go on with these trials',
    async () => {
      await exportScores({ trials: at('merges', 'scores'), to: [`tensorboard=${at('tb')}`] });
      const file = eventFile(at('tb'));
      const bytes = readFileSync(file);
      bytes[40]! ^= 1;
      writeFileSync(file, bytes);
    },
    () => [`tensorboard=${at('tb')}`],
  ],
  [
    'an event file that is a link',
    'E_OUTPUT_KIND',
    'tfevents',
    async () => {
      await exportScores({ trials: at('merges', 'scores'), to: [`tensorboard=${at('tb')}`] });
      mkdirSync(at('linked'));
      symlinkSync(eventFile(at('tb')), at('linked', eventFile(at('tb')).split('/').at(-1)!));
    },
    () => [`tensorboard=${at('linked')}`],
  ],
  ['a folder in the place of a CSV', 'E_NOT_READABLE', 'my.csv', () => mkdirSync(at('my.csv')), () => [`csv=${at('my.csv')}`]],
  ['a folder that is not there', 'E_IO', 'nowhere', () => {}, () => [`csv=${at('nowhere', 'x.csv')}`]],
  ['a file in the place of a folder', 'E_OUTPUT_KIND', 'tb', () => writeFileSync(at('tb'), ''), () => [`tensorboard=${at('tb')}`]],
  [
    'no Python',
    'E_LOG',
    'could not be started',
    () => void Object.assign(process.env, { CKPT_MERGE_PYTHON: at('no-python') }),
    () => ['wandb'],
  ],
  [
    'a hook that fails',
    'E_LOG',
    'it ended with exit code 3: No module named wandb',
    () => {
      writeFileSync(at('python'), '#!/bin/sh\necho "No module named wandb" >&2\nexit 3\n');
      chmodSync(at('python'), 0o755);
      process.env.CKPT_MERGE_PYTHON = at('python');
    },
    () => ['wandb'],
  ],
];

describe('what an export refuses', () => {
  const before = { ...process.env };
  afterEach(() => {
    for (const name of ['CKPT_MERGE_PYTHON', 'WANDB_RUN_ID', 'MLFLOW_RUN_ID']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });

  it.each(CASES)('%s', async (place, code, message, prepare, to, trials = () => at('merges', 'scores')) => {
    copied();
    await prepare();
    if (code === 'E_LOG') process.env.WANDB_RUN_ID = 'abc';
    const was = readFileSync(scores('trials.jsonl'));
    const error = await mergeError(() => exportScores({ trials: trials(), to: to() }));
    told.push([place, error.code, error.message.replaceAll(at(), '')]);
    expect(`${error.code}: ${error.message}`).toContain(message);
    expect(error.code).toBe(code);
    expect(readFileSync(scores('trials.jsonl')).equals(was)).toBe(true);
    expect(existsSync(scores('logged-wandb.json'))).toBe(false);
  });

  it('tells a tracker of each row once, and of one whose gain came later again', async () => {
    writeFileSync(at('python'), `#!/bin/sh\ncat >> '${at('rows.jsonl')}'\n`);
    chmodSync(at('python'), 0o755);
    Object.assign(process.env, { CKPT_MERGE_PYTHON: at('python'), WANDB_RUN_ID: 'abc' });
    await watched(['wandb']);
    await exportScores({ trials: at('merges', 'scores'), to: ['wandb'] });
    const rows = readFileSync(at('rows.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows.map(({ trial }) => trial)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    // Another run knows nothing of them yet.
    process.env.WANDB_RUN_ID = 'other';
    await exportScores({ trials: at('merges', 'scores'), to: ['wandb'] });
    expect(readFileSync(at('rows.jsonl'), 'utf8').trimEnd().split('\n')).toHaveLength(18);
  });
});
