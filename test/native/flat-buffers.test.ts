import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { decodeFloats } from '../../src/base/numbers/decode.ts';
import { ByteReader } from '../../src/base/store/byte-reader.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { readTensor } from '../../src/checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../src/checkpoints/types.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { differences, goldensIn, readOracle } from '../support/containers.ts';
import { bucketOf, mastersOf, WEIGHTS, writeFlat } from '../support/flat-buffers.ts';

/**
 * Merges that training goes on from, of optimizers that keep their state in buffers of many weights: against
 * what Megatron-core itself writes once its masters and moments are means (`oracle/mean.safetensors`).
 */

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const golden = goldensIn(folder);
let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

/** Four buckets, two layers and two tensor-parallel ranks; experts, whose optimizer is another one. */
const RUNS = ['megatron-buckets', 'megatron-buckets-moe'] as const;
const stepsOf = (name: string): string[] => ['100', '200'].map((step) => join(golden(name), `iter_0000${step}`));
const whole = (name: string, path: string): string => join(golden(name), 'oracle', path);
const MOMENT = /\.exp_avg(?:_sq)?$/;

async function floatsOf(checkpoint: Checkpoint, name: string): Promise<number[]> {
  const place = checkpoint.locate(name)!;
  const reader = new ByteReader();
  const bytes = await readTensor(reader, checkpoint, place);
  await reader.close();
  return [...decodeFloats(checkpoint.shards[place.shard]!.tensors.info(place.row).dtype as 'F32', bytes)];
}

describe.each(RUNS)('%s', (name) => {
  it('with --optimizer average is what the trainer writes of the means, byte for byte', async () => {
    const output = fresh();
    const { warnings } = await average({ inputs: stepsOf(name), output, for: 'resume', optimizer: 'average' });
    expect(await differences(await openCheckpoint(output), readOracle(whole(name, 'mean.safetensors')))).toEqual([]);
    // What pads the buffers is NaN there, and of no weight.
    expect(warnings.map(({ code }) => code)).not.toContain('W_NONFINITE');
    expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
  });

  it('with --optimizer newest has the means of weights and masters, and the moments of the newest', async () => {
    const output = fresh();
    await average({ inputs: stepsOf(name), output, for: 'resume' });
    const expected = readOracle(whole(name, 'mean.safetensors'));
    for (const [tensor, own] of readOracle(whole(name, '200.safetensors'))) if (MOMENT.test(tensor)) expected.set(tensor, own);
    expect(await differences(await openCheckpoint(output), expected)).toEqual([]);
    expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
  });

  it('of the model alone has weights from masters where that is asked for', async () => {
    const output = fresh();
    await average({ inputs: stepsOf(name), output, format: 'safetensors', weightsFrom: 'master' });
    const expected = [...readOracle(whole(name, 'mean.safetensors'))].filter(([tensor]) => !tensor.includes('optimizer.'));
    expect(await differences(await openCheckpoint(output), new Map(expected))).toEqual([]);
    expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
  });
});

const box = { start: [0], size: [1] };

async function resumed(inputs: readonly string[], more: Partial<AverageOptions> = {}): Promise<Checkpoint> {
  const output = fresh();
  await average({ inputs, output, for: 'resume', optimizer: 'average', ...more });
  return openCheckpoint(output);
}

/** Weights are the means of masters in float64, rounded to float32 and then to bfloat16. */
async function expectMeans(merged: Checkpoint, weights: readonly [number, number] = [0.5, 0.5]): Promise<void> {
  const [first, second] = [mastersOf(1), mastersOf(2)];
  for (const { name } of WEIGHTS) {
    const mean = Float32Array.from(first.get(name)!, (value, i) => value * weights[0] + second.get(name)![i]! * weights[1]);
    const rounded = [...new Uint32Array(mean.buffer)].map((bits) => ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) << 16);
    expect(await floatsOf(merged, name), name).toEqual([...new Float32Array(Uint32Array.from(rounded).buffer)]);
  }
}

it('buffers that other data-parallel ranks cut are alike all the same', async () => {
  const inputs = [writeFlat(join(folder, 'cuts/1'), 1, { cut: 131 }), writeFlat(join(folder, 'cuts/2'), 2)];
  await expectMeans(await resumed(inputs));
});

it('weights of the same values, on one rank or on several, have the same masters or one of their own', async () => {
  // All ones, masters too: either norm's master is the other's.
  const ones = (name: string, values: Float32Array): void => {
    if (/norm/.test(name)) values.fill(1);
  };
  const inputs = [1, 2].map((step) => writeFlat(join(folder, `ones/${step}`), step, { masters: ones }));
  const merged = await resumed(inputs);
  for (const { name } of WEIGHTS.filter(({ name }) => /norm/.test(name))) expect(await floatsOf(merged, name)).toEqual([1, 1, 1, 1, 1, 1]);
});

it('a number that a longer weight has as well, where ranks share it, is found in its own place', async () => {
  const held = [...WEIGHTS, { name: 'decoder.layers.0.scale.weight', shape: [1], boxes: [[box], [box]] }];
  // In each step they are the same in bfloat16, whose numbers from 1 on are 2^-7 apart, and their means are not.
  const steps = [
    [0.49, -0.1],
    [1.49, 0.6],
  ] as const;
  const inputs = steps.map(([gate, scale], i) => {
    const masters = (name: string, values: Float32Array): void => {
      if (name.includes('fc1')) values[6] = 1 + gate * 2 ** -7;
      if (name.includes('scale')) values[0] = 1 + scale * 2 ** -7;
    };
    return writeFlat(join(folder, `scale/${i + 1}`), i + 1, { held, masters, cut: 70 });
  });
  const merged = await resumed(inputs, { allowUnknown: true });
  expect(await floatsOf(merged, 'decoder.layers.0.scale.weight')).toEqual([1]);
  expect((await floatsOf(merged, WEIGHTS[1]!.name))[6]).toBe(1 + 2 ** -7);
});

it('of copies on several ranks that are not quite the same, the weight is made of the first', async () => {
  const copies = (_: string, values: Float32Array): void => values.set(values.map((value) => value * (1 + 2 ** -22)));
  const inputs = [1, 2].map((step) => writeFlat(join(folder, `copies/${step}`), step, { copies }));
  await expectMeans(await resumed(inputs));
});

it('a tensor that is in no buffer, as one that was not trained, is averaged by itself', async () => {
  const inputs = [1, 2].map((step) =>
    writeFlat(join(folder, `frozen/${step}`), step, {}, (tensors) => {
      const bytes = Buffer.from(Float32Array.from([step, 2, 3, 4, 5, 6, 7, 8 + step]).buffer);
      tensors['decoder.layers.0.mlp.router.weight'] = { shape: [2, 4], parts: [{ start: [0, 0], size: [2, 4], stored: { bytes } }] };
    }),
  );
  const merged = await resumed(inputs);
  await expectMeans(merged);
  expect(await floatsOf(merged, 'decoder.layers.0.mlp.router.weight')).toEqual([1.5, 2, 3, 4, 5, 6, 7, 9.5]);
});

it('weights that are not negative may differ between members, and negative ones where moments are copied', async () => {
  const inputs = [1, 2].map((step) => writeFlat(join(folder, `weighted/${step}`), step));
  await expectMeans(await resumed(inputs, { weights: [0.25, 0.75] }), [0.25, 0.75]);
  await expectMeans(await resumed(inputs, { weights: [-0.5, 1.5], optimizer: 'newest' }), [-0.5, 1.5]);
});

it('several outputs of one read have each their own weights', async () => {
  const inputs = [1, 2].map((step) => writeFlat(join(folder, `several/${step}`), step));
  const outputs = [fresh(), fresh()];
  const all = ([0, 1] as const).map((k) => ({ path: outputs[k]!, for: 'resume' as const, weights: k === 0 ? [0.5, 0.5] : [0.25, 0.75] }));
  await runRecipe({ inputs, outputs: all });
  await expectMeans(await openCheckpoint(outputs[0]!));
  await expectMeans(await openCheckpoint(outputs[1]!), [0.25, 0.75]);
});

it('buffers of which nothing is proven are left out with --optimizer drop', async () => {
  const ahead = { weights: (_: string, values: Float32Array) => values.set([3], 1) };
  const inputs = [1, 2].map((step) => writeFlat(join(folder, `dropped/${step}`), step, ahead));
  const merged = await resumed(inputs, { optimizer: 'drop' });
  expect(merged.locate(`${bucketOf(0)}.param`)).toBeUndefined();
});
