import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { makeFifo } from '../support/safetensors.ts';
import { weightedRun } from '../support/weighted-run.ts';

/** A command that waits for something takes for ever; the slowest of these a tenth of it. */
const SOON_MS = 20_000;

let root: string;
let base: string;
const servers: Server[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'irregular-'));
  base = join(root, 'base');
  weightedRun(join(base, 'run'), 2);
  for (const step of [100, 200]) {
    const folder = join(base, `run/checkpoint-${step}`);
    for (const name of ['tokenizer.json', 'README.md', 'generation_config.json']) writeFileSync(join(folder, name), '{}');
  }
  const { code, err } = await merge(base, 'average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'merged');
  expect([code, err.includes('error')]).toEqual([0, false]);
}, SOON_MS);
afterAll(() => {
  for (const server of servers) server.close();
  rmSync(root, { recursive: true, force: true });
});

/** Runs a command line in this process, with the words that are paths made absolute. */
async function merge(folder: string, ...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const terminal = fakeTerminal();
  const names = new Set(readdirSync(folder));
  const argv = words.map((word, i) => (names.has(word.split('/')[0]!) || words[i - 1] === '-o' ? join(folder, word) : word));
  const code = await main(argv, terminal);
  return { code, ...terminal.written };
}

/** Puts something in the place of a file. */
type Fault = (path: string) => unknown;

const FAULTS: Readonly<Record<string, Fault>> = {
  FIFO: (path) => makeFifo(path),
  'link to a FIFO': (path) => {
    makeFifo(`${path}.fifo`);
    symlinkSync(`${path}.fifo`, path);
  },
  socket: (path) => servers.push(createServer().listen(path)),
  folder: (path) => mkdirSync(path),
  'link to nothing': (path) => symlinkSync(`${path}.nothing`, path),
  'huge file': (path) => {
    writeFileSync(path, '');
    truncateSync(path, 2 ** 42);
  },
};

let count = 0;

/** A copy of the sample with something in the place of one of its files. */
function faulty(file: string, fault: string): string {
  const folder = join(root, String(++count));
  cpSync(base, folder, { recursive: true });
  const path = join(folder, file);
  rmSync(path, { force: true });
  mkdirSync(dirname(path), { recursive: true });
  FAULTS[fault]!(path);
  return folder;
}

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  inspect: ['inspect', 'run/checkpoint-200'],
  ls: ['ls', 'run'],
  plan: ['plan', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out'],
  average: ['average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out', '--dtype', 'BF16'],
  diff: ['diff', 'run/checkpoint-100', 'run/checkpoint-200'],
  routers: ['routers', 'run/checkpoint-100', 'run/checkpoint-200'],
  verify: ['verify', 'merged'],
};

const FILES = [
  'config.json',
  'README.md',
  'trainer_state.json',
  'checkpoint_metadata.json',
  'metadata.json',
  'tokenizer.json',
  'generation_config.json',
].map((name) => `run/checkpoint-200/${name}`);

/** What each command does about a file that it reads; others do not look at it. */
const NAMED: readonly (readonly [file: string, command: string, code: number | null])[] = [
  ['config.json', 'inspect', 0],
  ['config.json', 'plan', 3],
  ['config.json', 'average', 3],
  ['trainer_state.json', 'inspect', 0],
  ['trainer_state.json', 'ls', 0],
  ['trainer_state.json', 'average', 0],
];

describe.each(Object.keys(FAULTS))('a %s in the place of a file of a checkpoint', (fault) => {
  it.each(FILES)(
    '%s: every command ends, and an error names the file',
    async (file) => {
      const folder = faulty(file, fault);
      for (const [command, words] of Object.entries(COMMANDS)) {
        const { code, out, err } = await merge(folder, ...words);
        const said = `${out}${err}`;
        // This model has no routers to look at, and no disk has room for a copy of a huge file.
        const named = said.includes(file.split('/').at(-1)!) || /E_NO_ROUTERS|E_NO_SPACE/.test(said);
        expect([command, said.includes('E_INTERNAL'), code === 0 || named]).toEqual([command, false, true]);
        const row = NAMED.find(([name, by]) => file.endsWith(`/${name}`) && by === command);
        // A link to nothing is no file at all, as far as reading goes; a folder is none of the name either.
        if (row === undefined || fault === 'link to nothing') continue;
        expect([command, code, named]).toEqual([command, row[2], true]);
        rmSync(join(folder, 'out'), { recursive: true, force: true });
      }
    },
    SOON_MS * 7,
  );
});

/** Files that are not of a checkpoint: who reads them, and the code of the refusal. */
const OTHERS: readonly (readonly [file: string, words: readonly string[], code: string])[] = [
  ['merged/merge_provenance.json', ['verify', 'merged'], 'E_PROVENANCE'],
  ['recipe.yaml', ['run', 'recipe.yaml'], 'E_'],
  ['space.yaml', ['search', 'run', '--space', 'space.yaml', '--eval', 'true', '-o', 'out'], 'E_'],
  ['decay.txt', ['average', 'run', '-o', 'out', '--method', 'wsm', '--decay-file', 'decay.txt'], 'E_'],
  ['tokens.csv', ['ls', 'run', '--tokens-file', 'tokens.csv'], 'E_'],
  ['study/trials.jsonl', ['report', 'study'], 'E_'],
];

describe.each(Object.keys(FAULTS))('a %s in the place of another file', (fault) => {
  it.each(OTHERS)(
    '%s is refused by name',
    async (file, words, code) => {
      const folder = faulty(file, fault);
      const { code: exit, err } = await merge(folder, ...words);
      expect(exit).not.toBe(0);
      expect(err).toContain(`error[${code}`);
      expect(err).not.toContain('E_INTERNAL');
      expect(err).toContain(fault === 'folder' && file === 'study/trials.jsonl' ? 'study' : file.split('/').at(-1)!);
    },
    SOON_MS,
  );
});

it('a link to a regular file is one', async () => {
  const folder = join(root, 'regular');
  cpSync(base, folder, { recursive: true });
  copyFileSync(join(folder, 'run/checkpoint-100/config.json'), join(folder, 'elsewhere.json'));
  rmSync(join(folder, 'run/checkpoint-200/config.json'));
  symlinkSync(join(folder, 'run/checkpoint-100/config.json'), join(folder, 'run/checkpoint-200/config.json'));
  expect((await merge(folder, ...COMMANDS.average!)).code).toBe(0);
});
