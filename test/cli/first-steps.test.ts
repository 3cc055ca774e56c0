import { cpSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { runHere } from '../support/fake-terminal.ts';

const RUNS = fileURLToPath(new URL('../../demo/runs/', import.meta.url));

let folder: ReturnType<typeof temporaryFolder>;
beforeAll(() => {
  folder = temporaryFolder();
  for (const [name, steps] of [
    ['dense', [5600, 5800, 6000]],
    ['moe', [5800, 6000]],
    ['alone', [6000]],
  ] as const) {
    for (const step of steps) {
      const from = join(RUNS, name === 'moe' ? 'moe' : 'dense', `checkpoint-${step}`);
      cpSync(from, join(folder.path, name, `checkpoint-${step}`), { recursive: true });
    }
  }
});
afterAll(() => folder.remove());

/** The commands that are printed for a path. */
async function commandsFor(path: string): Promise<string[]> {
  const { code, stdout, stderr } = await runHere([path], folder.path);
  expect(`${code} ${stderr}`).toBe('0 ');
  const commands = stdout.split('\n').flatMap((line) => (line.startsWith('  merge ') ? [line.slice('  merge '.length)] : []));
  expect(commands).toHaveLength(3);
  return commands;
}

/** Runs commands as they were printed; what people have to fill in is some checkpoint. */
async function runAll(commands: readonly string[]) {
  for (const command of commands) {
    const words = command.split(' ').map((word) => word.replace(/^(OTHER|CHECKPOINT)$/, 'dense/checkpoint-5600'));
    const { code, stderr } = await runHere(words, folder.path);
    expect(code, `${command}\n${stderr}`).toBe(0);
  }
}

it('a run that goes on is watched, and one that has ended is looked at', async () => {
  const young = await commandsFor('dense');
  expect(young).toEqual(['ls dense', 'average dense --last 3 -o merged --dry-run', 'watch dense --window 10 -o merges']);
  await runAll(young.slice(0, 2));
  for (const step of readdirSync(join(folder.path, 'dense'))) {
    for (const name of readdirSync(join(folder.path, 'dense', step))) utimesSync(join(folder.path, 'dense', step, name), 1e9, 1e9);
  }
  const old = await commandsFor('dense/');
  expect(old[2]).toBe('diff dense/ --last 3 --out diff.html');
  await runAll(old);
});

it('of a mixture of experts the routers are looked at', async () => {
  for (const step of ['checkpoint-5800', 'checkpoint-6000']) {
    for (const name of readdirSync(join(folder.path, 'moe', step))) utimesSync(join(folder.path, 'moe', step, name), 1e9, 1e9);
  }
  const commands = await commandsFor('moe');
  expect(commands[2]).toBe('routers moe --last 2 --out routers.html');
  await runAll(commands);
});

it('one checkpoint, a merge, a recipe and a study have commands that run', async () => {
  await runAll(await commandsFor('dense/checkpoint-6000'));
  await runAll(['average dense/checkpoint-5800 dense/checkpoint-6000 -o two -q']);
  const ofMerge = await commandsFor('two');
  expect(ofMerge[0]).toBe('verify two --full');
  await runAll(ofMerge);
  writeFileSync(join(folder.path, 'recipe.yaml'), 'inputs: [dense]\noutputs:\n  - { path: made, select: { last: 2 } }\n');
  await runAll(await commandsFor('recipe.yaml'));
  writeFileSync(join(folder.path, 'grid.yaml'), 'run: dense\nwindows: [400steps]\noutput: grid\n');
  expect((await commandsFor('grid.yaml')).map((command) => command.split(' ')[0])).toEqual(['grid', 'grid', 'grid']);
  const words = ['search', 'dense', '--last', '2', '--eval', 'echo 1 # {model}', '--trials', '3', '--goal', 'minimize', '-o', 'best', '-q'];
  expect((await runHere(words, folder.path)).code).toBe(0);
  const study = readdirSync(folder.path).find((name) => name.startsWith('best.'))!;
  const ofStudy = await commandsFor(study);
  expect(ofStudy[0]).toBe(`report ${study}`);
  await runAll(ofStudy.slice(0, 2));
});

it('a run of one checkpoint is waited for', async () => {
  expect(await commandsFor('alone')).toEqual(['ls alone', 'inspect alone/checkpoint-6000', 'watch alone --window 10 -o merges']);
});

it('what is no checkpoint is told as such, and words after a path are a forgotten command', async () => {
  writeFileSync(join(folder.path, 'notes.txt'), 'x');
  const { code, stderr } = await runHere(['notes.txt'], folder.path);
  expect([code, stderr.split(':')[0]]).toEqual([3, 'error[E_NO_CHECKPOINT]']);
  const forgotten = await runHere(['dense', '-o', 'x'], folder.path);
  expect([forgotten.code, forgotten.stderr]).toEqual([2, expect.stringContaining('merge average dense -o x')]);
});
