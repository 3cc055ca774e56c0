import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { namedClasses } from '../../../src/checkpoints/containers/pickle/named-classes.ts';
import { Global } from '../../../src/checkpoints/containers/pickle/values.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { mergeError } from '../../support/safetensors.ts';
import { dictOf, op, pickle, tensor, torchFiles, tupleOf, zipOf } from '../../support/torch-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
const path = join(folder, 'step-100.pt');
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(path, { force: true });
});

/** Beside the weights an object of somebody's class, which holds a tensor, and a call. */
function ofATrainer(module: string, name: string, ...args: readonly Uint8Array[]): void {
  const object = Buffer.concat([op.global(module, name), tupleOf(...args), op.reduce]);
  writeFileSync(path, zipOf(torchFiles(pickle(dictOf({ config: object, w: tensor() })))));
}

it('a class of somebody is refused by name, with what lets it be named', async () => {
  ofATrainer('mylib.args', 'TrainArgs', tensor());
  const error = await mergeError(() => openCheckpoint(path));
  expect(error.code).toBe('E_PICKLE_CLASS');
  expect(error.details).toMatchObject({ file: path, class: 'mylib.args.TrainArgs' });
  expect(error.help).toContain('CKPT_MERGE_CLASSES=mylib.args.TrainArgs');
});

it.each(['mylib.args.TrainArgs', 'mylib.*', 'other.Thing, mylib.args.*', '*'])('%s lets it be named: it is passed over', async (named) => {
  ofATrainer('mylib.args', 'TrainArgs', tensor());
  vi.stubEnv('CKPT_MERGE_CLASSES', named);
  const { shards } = await openCheckpoint(path);
  expect([...shards[0]!.tensors.names]).toEqual(['w']);
});

it('what else has to be named is told with what is named already', async () => {
  ofATrainer('mylib.args', 'TrainArgs', op.global('other', 'Thing'));
  vi.stubEnv('CKPT_MERGE_CLASSES', 'mylib.*');
  expect((await mergeError(() => openCheckpoint(path))).help).toContain('CKPT_MERGE_CLASSES=mylib.*,other.Thing');
});

it('paths and times in arguments are data', async () => {
  ofATrainer('pathlib', 'PosixPath', op.text('/'), op.text('data'));
  const { shards } = await openCheckpoint(path);
  expect([...shards[0]!.tensors.names]).toEqual(['w']);
});

it('what is named is not run', async () => {
  const canary = join(folder, 'canary');
  ofATrainer('os', 'system', op.text(`touch ${canary}`));
  expect((await mergeError(() => openCheckpoint(path))).code).toBe('E_PICKLE_CLASS');
  vi.stubEnv('CKPT_MERGE_CLASSES', '*');
  const { shards } = await openCheckpoint(path);
  expect([...shards[0]!.tensors.names]).toEqual(['w']);
  expect(existsSync(canary)).toBe(false);
});

it.each([
  ['mylib.args', 'args', 'TrainArgs', false],
  ['mylib.args', 'mylib.args', 'TrainArgs', false],
  ['mylib.args.TrainArgs', 'mylib.args', 'TrainArgsOfMine', false],
  ['mylib_args.*', 'mylib.args', 'TrainArgs', false],
  ['mylib.args.Train*', 'mylib.args', 'TrainArgs', true],
  ['', 'mylib.args', 'TrainArgs', false],
  [' , ,', 'mylib.args', 'TrainArgs', false],
])('%j and %s.%s: %s', (named, module, name, allowed) => {
  expect(namedClasses({ CKPT_MERGE_CLASSES: named })(new Global(module, name))).toBe(allowed);
});

it('the variable may be of any length, and stars do not multiply the work', () => {
  const named = namedClasses({ CKPT_MERGE_CLASSES: `${'x'.repeat(100_000)},${'(*a'.repeat(30_000)}*b,lib.*.Args*` });
  expect(['lib.args.Args', 'lib.x.ArgsOf', 'lib.Args', 'xx'].map((path) => named(new Global(...splitName(path))))).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

const splitName = (path: string): [string, string] => [
  path.slice(0, Math.max(0, path.lastIndexOf('.'))),
  path.slice(path.lastIndexOf('.') + 1),
];
