import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { discoverRun } from '../../../src/checkpoints/run/discover.ts';
import { NO_STEP } from '../../../src/checkpoints/run/reasons.ts';
import { sectionOf } from '../../../src/checkpoints/tensors/section.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeDcp } from '../../support/dcp-files.ts';
import { dictOf, number, op, pickle, tensor, torchFiles, zipOf } from '../../support/torch-files.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

let made = 0;
/** A place of its own. No numbers: they would be steps. */
function place(name: string): string {
  const path = join(folder.path, [...String(made++)].map((digit) => 'abcdefghij'[Number(digit)]).join(''));
  mkdirSync(path);
  return join(path, name);
}

const WEIGHTS = dictOf({ w: tensor() });
const int64 = (step: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(step));
  return bytes;
};
const FOUR = Buffer.from(Float32Array.of(4).buffer);
/** A tensor of no dimensions in storage 1. */
const scalar = (kind: string): Buffer => tensor({ key: op.text('1'), class: kind, numel: 1, shape: [], stride: [] });
function saved(name: string, entries: Readonly<Record<string, Uint8Array>>, one: Uint8Array = int64(0)): string {
  const path = place(name);
  const storages = { 0: Buffer.alloc(16), 1: one };
  writeFileSync(path, zipOf(torchFiles(pickle(dictOf({ model: WEIGHTS, ...entries })), storages)));
  return path;
}
const stepOf = async (path: string): Promise<number | null> => (await openCheckpoint(path)).step;

describe('the step inside a file of torch.save', () => {
  it.each(['step', 'global_step', 'iteration', 'iter', 'num_steps', 'iter_num'])('is the number under %s', async (key) => {
    expect(await stepOf(saved('last.pt', { [key]: number(40) }))).toBe(40);
  });

  it.each(['app', 'train_state', 'trainer'])('may stand under %s', async (around) => {
    expect(await stepOf(saved('last.pt', { [around]: dictOf({ step: number(40) }) }))).toBe(40);
  });

  it('may be a tensor of one element', async () => {
    expect(await stepOf(saved('last.pt', { step: scalar('LongStorage') }, int64(40)))).toBe(40);
    expect(await stepOf(saved('last.pt', { step: scalar('FloatStorage') }, Buffer.from(Float32Array.of(40).buffer)))).toBe(40);
    expect(await stepOf(saved('last.pt', { step: scalar('FloatStorage') }, Buffer.from(Float32Array.of(0.5).buffer)))).toBeNull();
  });

  it.each(['optimizer', 'scheduler', 'lr_scheduler', 'model', 'ema'])('is none that %s counts', async (key) => {
    expect(await stepOf(saved('last.pt', { [key]: dictOf({ w: tensor(), step: number(40) }) }))).toBeNull();
  });

  it('counts only where the name gives neither step nor epoch', async () => {
    const step = { step: number(7) };
    expect(await stepOf(saved('step40.pt', step))).toBe(40);
    expect(await stepOf(saved('epoch-3.pt', step))).toBeNull();
  });

  it('is none where it is no count', async () => {
    for (const value of [number(-1), op.text('40'), op.none]) expect(await stepOf(saved('last.pt', { step: value }))).toBeNull();
  });
});

describe('the step inside of DCP', () => {
  const model = { w: { shape: [2], parts: [{ start: [0], size: [2] }] } };
  const counted = (key: string, step: number) => ({
    tensors: {
      ...model,
      [key]: { dtype: 'int64', shape: [], parts: [{ start: [], size: [], stored: { class: 'LongStorage', bytes: int64(step) } }] },
    },
  });

  it.each(['step', 'app.step', 'trainer.global_step'])('is the tensor %s', async (key) => {
    const path = place('last');
    writeDcp(path, counted(key, 40));
    expect(await stepOf(path)).toBe(40);
  });

  it.each(['optimizer.step', 'app.optim.step', 'scheduler.step'])('is not %s', async (key) => {
    const path = place('last');
    writeDcp(path, counted(key, 40));
    expect(await stepOf(path)).toBeNull();
  });

  it('orders a run whose names say nothing', async () => {
    const run = place('run');
    for (const [name, step] of [
      ['a', 30],
      ['b', 10],
      ['c', 20],
    ] as const)
      writeDcp(join(run, name), counted('app.step', step));
    const { checkpoints } = await discoverRun(run);
    expect(checkpoints.map(({ path, step }) => [basename(path), step])).toEqual([
      ['b', 10],
      ['c', 20],
      ['a', 30],
    ]);
  });
});

describe('a step or a measure that is a tensor', () => {
  const sectionsIn = async (path: string) => {
    const { shards } = await openCheckpoint(path);
    return shards.flatMap(({ tensors }) => tensors.names.map((name, row) => [name, sectionOf(tensors, row)]));
  };

  it('is no weight beside a model', async () => {
    const path = saved('last.pt', { step: scalar('LongStorage') }, int64(40));
    expect(await sectionsIn(path)).toEqual([
      ['model.w', 'model'],
      ['step', 'blob'],
    ]);
    const dcp = place('last');
    writeDcp(dcp, {
      tensors: {
        'app.model.w': { shape: [2], parts: [{ start: [0], size: [2] }] },
        'app.step': { dtype: 'int64', shape: [], parts: [{ start: [], size: [], stored: { class: 'LongStorage', bytes: int64(40) } }] },
      },
    });
    expect(Object.fromEntries(await sectionsIn(dcp))).toEqual({ 'app.model.w': 'model', 'app.step': 'blob' });
  });

  it.each(['best_val_loss', 'best_acc1', 'tokens_seen', 'trainer.epoch', 'best'])('and neither is %s', async (name) => {
    const value = scalar('FloatStorage');
    const [around, key] = name.includes('.') ? name.split('.') : [null, name];
    const path = saved('last.pt', around === null ? { [key!]: value } : { [around]: dictOf({ [key!]: value }) }, FOUR);
    expect(Object.fromEntries(await sectionsIn(path))).toEqual({ 'model.w': 'model', [name]: 'blob' });
    const dcp = place('last');
    const stored = { class: 'FloatStorage', bytes: FOUR };
    writeDcp(dcp, {
      tensors: {
        'model.w': { shape: [2], parts: [{ start: [0], size: [2] }] },
        [name]: { shape: [], parts: [{ start: [], size: [], stored }] },
      },
    });
    expect(Object.fromEntries(await sectionsIn(dcp))).toEqual({ 'model.w': 'model', [name]: 'blob' });
  });

  it.each(['logit_scale', 'temperature', 'loss_scale_head'])('but %s, beside what holds the model, is a weight', async (key) => {
    const path = saved('last.pt', { [key]: scalar('FloatStorage') }, FOUR);
    expect(Object.fromEntries(await sectionsIn(path))).toEqual({ 'model.w': 'model', [key]: 'model' });
  });

  it('may be a buffer of a model alone', async () => {
    const path = place('last.pt');
    writeFileSync(
      path,
      zipOf(torchFiles(pickle(dictOf({ w: tensor(), step: scalar('LongStorage') })), { 0: Buffer.alloc(16), 1: int64(4) })),
    );
    expect(Object.fromEntries(await sectionsIn(path))).toEqual({ w: 'model', step: 'model' });
  });
});

it('of a run of files without a step in name or state says so', async () => {
  const run = place('run');
  mkdirSync(run);
  const file = (step: number | null) => zipOf(torchFiles(pickle(dictOf({ model: WEIGHTS, ...(step !== null && { step: number(step) }) }))));
  writeFileSync(join(run, 'first.pt'), file(10));
  writeFileSync(join(run, 'second.pt'), file(20));
  writeFileSync(join(run, 'other.pt'), file(null));
  const { checkpoints, excluded } = await discoverRun(run);
  expect(checkpoints.map(({ step }) => step)).toEqual([10, 20]);
  expect(excluded).toMatchObject([{ reason: NO_STEP }]);
});
