import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canBeAnother, fifo, giveAway, pictureOf, secretIn } from '../support/attacker.ts';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { run } from '../support/faults-merge.ts';
import { weightedRun } from '../support/weighted-run.ts';

const base = mkdtempSync(join(tmpdir(), 'ckpt-merge-planted-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

interface Place {
  readonly folder: string;
  readonly merges: string;
  /** A merge of this user's outside the watch's folder, with the digest of one inside. */
  readonly other: string;
  readonly secret: string;
}

interface State {
  merges: { output: string; digest: string }[];
  trash: { output: string; digest: string }[];
  pins: string[];
  accumulator: unknown;
  pending: unknown;
}

let first: string;
let count = 0;
const words = (merges: string, folder: string) => [
  'watch',
  join(folder, 'run'),
  '--once',
  '--poll',
  '0.02',
  '--settle',
  '0.05',
  '-o',
  merges,
  '--json',
];

beforeAll(async () => {
  first = join(base, 'first');
  weightedRun(join(first, 'run'), 4);
  const { code } = await run(...words(join(first, 'merges'), first));
  expect(code).toBe(0);
});

/** A copy of a run and its watch, which has been through all checkpoints. */
function place(): Place {
  const folder = join(base, String(++count));
  cpSync(first, folder, { recursive: true, preserveTimestamps: true });
  chmodSync(join(folder, 'merges', '.merge-watch'), 0o700);
  const merges = join(folder, 'merges');
  const [made] = readdirSync(merges).filter((name) => name.startsWith('merged-'));
  const other = join(folder, 'other');
  cpSync(join(merges, made!), other, { recursive: true });
  return { folder, merges, other, secret: secretIn(folder) };
}

const stateFile = ({ merges }: Place) => join(merges, '.merge-watch', 'state.json');

async function watched(where: Place) {
  const outside = () => ({ ...pictureOf(dirname(where.secret)), ...pictureOf(where.other) });
  const before = outside();
  const { code, stdout, stderr } = await run(...words(where.merges, where.folder));
  expect(outside()).toEqual(before);
  return { code, stderr, said: JSON.parse(stdout) as { code?: string; message?: string } };
}

const BAD_NAMES = ['../other', 'x/../../other', '', '.', '..', 'sub/other', 'a\\b', 'a\0b'];
const WAYS: Readonly<Record<string, (state: State, made: { output: string; digest: string }) => void>> = {
  'a merge': (state, made) => void state.merges.unshift(made),
  'what is on its way out': (state, made) => void state.trash.push(made),
  'a pin': (state, { output }) => void state.pins.push(output),
  'the accumulator': (state, made) => {
    state.accumulator = { ...made, fingerprint: 'f', step: 1, tokens: null };
  },
  'the round in work': (state, made) => {
    const record = { time: '', checkpoint: 'c', step: 1, tokens: 1, members: [], output: made.output, seconds: 1, hook: null, error: null };
    state.pending = { signature: 's', outputs: [made], record };
  },
};

/** Puts something where something was. */
function instead(path: string, make: (path: string) => void): void {
  rmSync(path, { recursive: true });
  make(path);
}

describe('the state of a watch', () => {
  it.each(Object.keys(WAYS))(
    'that names a place outside as %s is refused before anything is removed',
    async (way) => {
      for (const name of [...BAD_NAMES, '/absolute']) {
        const where = place();
        const output = name === '/absolute' ? where.other : name;
        const state = JSON.parse(readFileSync(stateFile(where), 'utf8')) as State;
        const made = state.merges[0]!;
        const there = pictureOf(join(where.merges, made.output));
        WAYS[way]!(state, { output, digest: made.digest });
        writeFileSync(stateFile(where), JSON.stringify(state));
        const { said } = await watched(where);
        expect([name, said.code]).toEqual([name, 'E_WATCH_STATE']);
        expect(said.message).toContain('state.json');
        expect(pictureOf(join(where.merges, made.output))).toEqual(there);
      }
    },
    CAMPAIGN_MS,
  );

  it.skipIf(!canBeAnother()).each<[string, string[], (where: Place, hidden: string) => void]>([
    ['a folder of a stranger', ['E_OTHER_USER'], (_, hidden) => giveAway(hidden)],
    ['a folder that all may write to', ['E_OTHER_USER'], (_, hidden) => chmodSync(hidden, 0o777)],
    ['a folder that the group may write to', ['E_OTHER_USER'], (_, hidden) => chmodSync(hidden, 0o770)],
    ['a link', ['E_OTHER_USER'], ({ secret }, hidden) => instead(hidden, (path) => symlinkSync(dirname(secret), path))],
    ['a file', ['E_OTHER_USER'], (_, hidden) => instead(hidden, (path) => writeFileSync(path, ''))],
    ['a FIFO', ['E_OTHER_USER'], (_, hidden) => instead(hidden, fifo)],
    ['with a link for a state', ['E_WATCH_STATE'], (where) => instead(stateFile(where), (path) => symlinkSync(where.secret, path))],
    ['with a FIFO for a state', ['E_WATCH_STATE'], (where) => instead(stateFile(where), fifo)],
  ])(
    'that is %s is refused',
    async (_, codes, plant) => {
      const where = place();
      plant(where, join(where.merges, '.merge-watch'));
      const { said } = await watched(where);
      process.stdout.write(`${said.code}: ${said.message}\n`);
      expect(codes).toContain(said.code);
    },
    CAMPAIGN_MS,
  );
});

describe.skipIf(!canBeAnother())('the folder of a watch', () => {
  it.each<[string, (path: string, where: Place) => void]>([
    ['a link', (path, { secret }) => symlinkSync(secret, path)],
    ['a link to nothing', (path, { secret }) => symlinkSync(join(dirname(secret), 'new'), path)],
    ['a FIFO', fifo],
    [
      'of a stranger',
      (path) => {
        writeFileSync(path, '');
        giveAway(path);
      },
    ],
  ])(
    'with a history that is %s: nothing is written elsewhere',
    async (what, plant) => {
      const where = place();
      const history = join(where.merges, 'history.jsonl');
      rmSync(history);
      // A round is due.
      rmSync(join(where.merges, '.merge-watch'), { recursive: true });
      for (const name of readdirSync(where.merges)) if (name.startsWith('merged-')) rmSync(join(where.merges, name), { recursive: true });
      plant(history, where);
      const { said, code } = await watched(where);
      process.stdout.write(`history that is ${what}: ${code} ${said.code} ${said.message}\n`);
      expect(said.code).toMatch(/^E_(OUTPUT_KIND|OTHER_USER)$/);
    },
    CAMPAIGN_MS,
  );

  it(
    'with partials of a stranger: they are left alone, and merges are made',
    async () => {
      const where = place();
      rmSync(join(where.merges, '.merge-watch'), { recursive: true });
      const names = readdirSync(where.merges).filter((name) => name.startsWith('merged-'));
      const planted = names.map((name, i) => {
        const path = join(where.merges, `.${name}.partial-00000000000${i}`);
        mkdirSync(join(path, 'payload'), { recursive: true, mode: 0o777 });
        symlinkSync(where.secret, join(path, 'payload', 'model.safetensors'));
        writeFileSync(join(path, 'owner.json'), '{}');
        giveAway(path);
        rmSync(join(where.merges, name), { recursive: true });
        return path;
      });
      const before = planted.map((path) => pictureOf(path));
      const { code } = await watched(where);
      expect(code).toBe(0);
      for (const name of names) expect(lstatSync(join(where.merges, name)).uid).toBe(process.getuid!());
      expect(planted.map((path) => pictureOf(path))).toEqual(before);
      expect(existsSync(join(where.merges, 'history.jsonl'))).toBe(true);
    },
    CAMPAIGN_MS,
  );
});
