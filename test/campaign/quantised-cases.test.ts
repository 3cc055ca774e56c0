import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Recomputation } from '../../src/analysis/verify/recompute.ts';
import { dequantise, type QuantisedMember, requantiseReference } from '../../src/analysis/verify/twin/requantise.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { openCheckpoint as openMember } from '../../src/checkpoints/open.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { executePlan } from '../../src/merge/engine/execute.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, generator, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

const f32 = (...values: number[]) => new Uint8Array(new Float32Array(values).buffer);
const WEIGHT = 'model.layers.0.mlp.down_proj.weight';

/** Finite E4M3 codes, the same for the same seed. */
function codes(count: number, seed: number): Uint8Array {
  const next = generator(seed);
  return Uint8Array.from({ length: count }, () => {
    const code = next() & 0xff;
    return (code & 0x7f) === 0x7f ? 0 : code;
  });
}

/** A matrix of FP8 codes in blocks, and its scales. */
function fp8(name: string, [rows, cols]: readonly [number, number], scales: readonly [number, number], seed: number): FixtureTensor[] {
  const next = generator(seed + 1000);
  const values = Array.from({ length: scales[0] * scales[1] }, () => 0.001 + (next() % 1000) / 1e6);
  return [
    { name, dtype: 'F8_E4M3', shape: [rows, cols], data: codes(rows * cols, seed) },
    { name: `${name}_scale${scales[0] * scales[1] === 1 ? '' : '_inv'}`, dtype: 'F32', shape: scales, data: f32(...values) },
  ];
}

const norm = (seed: number): FixtureTensor => ({
  name: 'model.norm.weight',
  dtype: 'BF16',
  shape: [6],
  data: Uint8Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? seed * 16 : 0x3f)),
});

async function bytesOf(path: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const { path: file, header } of (await openCheckpoint(path)).shards) {
    const bytes = readFileSync(file);
    for (const [row, name] of header.tensors.names.entries()) {
      const { begin, end } = header.tensors.info(row);
      found.set(name, bytes.subarray(header.dataStart + begin, header.dataStart + end));
    }
  }
  return found;
}

const member = (tensors: readonly FixtureTensor[], weight: number): QuantisedMember => ({
  encoding: 'F8_E4M3',
  codes: tensors[0]!.data!,
  scales: { dtype: 'F32', bytes: tensors[1]!.data! },
  weight,
});

const merge = (inputs: string[], options: Partial<AverageOptions> = {}) => average({ inputs, output: at('out'), ...options });

describe('quantised weights in every place', () => {
  it('one scale for more rows than a strip has is made from all of them', async () => {
    const shape = [1030, 1040] as const;
    const own = [1, 2].map((seed) => fp8(WEIGHT, shape, [1, 1], seed));
    const inputs = own.map((tensors, i) => writeCheckpoint(at(`step-${i}`), [tensors], i));
    await merge(inputs, { weights: [0.5, 0.5] });
    const twin = requantiseReference(
      { rows: 1030, cols: 1040, blockRows: 1030, blockCols: 1040 },
      own.map((t) => member(t, 0.5)),
      { encoding: 'F8_E4M3', scaleDtype: 'F32', powerOfTwo: false, newest: 1 },
    );
    const found = await bytesOf(at('out'));
    expect(found.get(`${WEIGHT}_scale`)).toEqual(Buffer.from(twin.scales));
    expect(found.get(WEIGHT)!.equals(twin.codes)).toBe(true);
    const { rounding } = JSON.parse(readFileSync(at('out', 'merge_provenance.json'), 'utf8'));
    expect(rounding[0].ratio).toBeCloseTo(Math.sqrt(twin.error / twin.change), 10);
  });

  it('strips that are alike in all members are not copied where the rest of their block differs', async () => {
    const shape = [1030, 1040] as const;
    const [a, b] = [fp8(WEIGHT, shape, [1, 1], 1), fp8(WEIGHT, shape, [1, 1], 1)];
    b[0]!.data![1029 * 1040 + 5] = a[0]!.data![1029 * 1040 + 5] === 3 ? 4 : 3;
    // Whatever the largest value becomes, it is not 448 times the old scale.
    for (const tensors of [a, b]) tensors[0]!.data!.set(tensors[0]!.data!.map((code) => ((code & 0x7f) > 0x70 ? 0x70 : code)));
    const inputs = [a, b].map((tensors, i) => writeCheckpoint(at(`step-${i}`), [tensors], i));
    await merge(inputs, { weights: [0.5, 0.5] });
    const twin = requantiseReference(
      { rows: 1030, cols: 1040, blockRows: 1030, blockCols: 1040 },
      [a, b].map((t) => member(t, 0.5)),
      { encoding: 'F8_E4M3', scaleDtype: 'F32', powerOfTwo: false, newest: 1 },
    );
    const found = await bytesOf(at('out'));
    expect(found.get(`${WEIGHT}_scale`)).toEqual(Buffer.from(twin.scales));
    expect(found.get(`${WEIGHT}_scale`)).not.toEqual(Buffer.from(a[1]!.data!));
    expect(found.get(WEIGHT)!.equals(twin.codes)).toBe(true);
  });

  it('scales in other shards than codes, and differently in each member, give the same tensors', async () => {
    const parts = (seed: number) => [
      ...fp8(WEIGHT, [140, 130], [2, 2], seed),
      ...fp8('model.layers.0.mlp.up_proj.weight', [20, 30], [1, 1], seed + 9),
      norm(seed),
    ];
    const [one, two] = [parts(1), parts(2)];
    const pick = (tensors: FixtureTensor[], ...groups: number[][]) => groups.map((g) => g.map((i) => tensors[i]!));
    writeCheckpoint(at('a1'), [one], 1);
    writeCheckpoint(at('a2'), [two], 2);
    writeCheckpoint(at('b1'), pick(one, [1, 3], [4, 0], [2]), 1);
    writeCheckpoint(at('b2'), pick(two, [3, 0, 4], [1], [2]), 2);
    await merge([at('a1'), at('a2')], { output: at('a') });
    await merge([at('b1'), at('b2')], { output: at('b') });
    const [a, b] = [await bytesOf(at('a')), await bytesOf(at('b'))];
    expect([...b.keys()].sort()).toEqual([...a.keys()].sort());
    for (const [name, bytes] of a) expect(b.get(name), name).toEqual(bytes);
    await verify(at('b'), { full: true });
  });

  it('is the same in one file, and each output of several is what it is alone', async () => {
    const inputs = [1, 2, 3].map((seed) =>
      writeCheckpoint(at(`step-${seed}`), [[norm(seed), ...fp8(WEIGHT, [140, 130], [2, 2], seed)]], seed),
    );
    const files = inputs.map((path) => join(path, 'model.safetensors'));
    await average({ inputs: files, output: at('one.safetensors'), method: 'wma' });
    await average({ inputs, output: at('alone'), method: 'wma' });
    const outputs = [
      { path: at('first'), method: 'sma' as const, members: [0, 1] },
      { path: at('second'), method: 'wma' as const },
    ];
    for await (const _ of executePlan(await buildPlan({ inputs, outputs, ordered: true }))) void _;
    const alone = await bytesOf(at('alone'));
    expect(await bytesOf(at('one.safetensors'))).toEqual(alone);
    expect(await bytesOf(at('second'))).toEqual(alone);
    for (const path of ['one.safetensors', 'first', 'second']) await verify(at(path), { full: true });
  });

  it('FP8 and floats together, when that is asked for', async () => {
    const tensors = fp8(WEIGHT, [140, 130], [2, 2], 1);
    const values = dequantise({ rows: 140, cols: 130, blockRows: 128, blockCols: 128 }, member(tensors, 1));
    writeCheckpoint(at('step-1'), [[{ name: WEIGHT, dtype: 'F64', shape: [140, 130], data: new Uint8Array(values.buffer) }]], 1);
    writeCheckpoint(at('step-2'), [tensors], 2);
    const inputs = [at('step-1'), at('step-2')];
    await expect(merge(inputs)).rejects.toMatchObject({ code: 'E_MIXED_QUANTISATION' });
    // The same values in two forms: their mean is these values.
    const { outputs } = await merge(inputs, { allowMixedDtypes: true });
    expect((await openCheckpoint(at('out'))).shards[0]!.header.tensors.info(0).dtype).toBe('F8_E4M3');
    expect(outputs[0]!.rounding[0]!.ratio).toBeNull();
    await verify(at('out'), { full: true });
    await merge(inputs, { allowMixedDtypes: true, like: at('step-1'), output: at('floats') });
    expect((await bytesOf(at('floats'))).get(WEIGHT)!.equals(Buffer.from(values.buffer))).toBe(true);
    await verify(at('floats'), { full: true });
  });

  it('a policy takes the codes and scales of one member, or leaves them out', async () => {
    const up = 'model.layers.0.mlp.up_proj.weight';
    const inputs = [1, 2, 3].map((seed) =>
      writeCheckpoint(
        at(`step-${seed}`),
        [[norm(seed), ...fp8(WEIGHT, [40, 30], [1, 1], seed), ...fp8(up, [40, 30], [1, 1], seed + 5)]],
        seed,
      ),
    );
    await merge(inputs, {
      policies: [
        { name: WEIGHT, use: 'oldest' },
        { name: up, use: 'drop' },
      ],
    });
    const [out, oldest] = [await bytesOf(at('out')), await bytesOf(inputs[0]!)];
    for (const name of [WEIGHT, `${WEIGHT}_scale`]) expect(out.get(name), name).toEqual(oldest.get(name));
    expect([...out.keys()].filter((name) => name.startsWith(up))).toEqual([]);
    await verify(at('out'), { full: true });
  });

  it('activation scales are the newest ones, and said to be', async () => {
    const scale = (value: number): FixtureTensor => ({
      name: 'model.layers.0.mlp.down_proj.input_scale',
      dtype: 'F32',
      shape: [],
      data: f32(value),
    });
    const inputs = [1, 2].map((seed) => writeCheckpoint(at(`step-${seed}`), [[...fp8(WEIGHT, [40, 30], [1, 1], seed), scale(seed)]], seed));
    const { warnings } = await merge(inputs);
    expect((await bytesOf(at('out'))).get('model.layers.0.mlp.down_proj.input_scale')).toEqual(Buffer.from(f32(2)));
    expect(warnings.map((w) => w.code)).toContain('W_ACTIVATION_SCALES');
    await verify(at('out'), { full: true });
  });
});

describe('verify', () => {
  it('finds a code and a scale that are not what the inputs give', async () => {
    const inputs = [1, 2].map((seed) => writeCheckpoint(at(`step-${seed}`), [fp8(WEIGHT, [140, 130], [2, 2], seed)], seed));
    await merge(inputs);
    const members = await Promise.all(inputs.map((path) => openMember(path)));
    const treated = { copied: false, of: () => [0.5, 0.5] };
    const checkWith = async (tensor: string, element: number, flip: (bytes: Buffer, at: number) => void) => {
      const { path, header } = (await openCheckpoint(at('out'))).shards[0]!;
      const bytes = readFileSync(path);
      const row = header.tensors.rowOf(tensor);
      const { begin, dtype } = header.tensors.info(row);
      flip(bytes, header.dataStart + begin + element * (dtype === 'F32' ? 4 : 1));
      writeFileSync(at('changed.safetensors'), bytes);
      const recomputation = await Recomputation.of(await openMember(at('changed.safetensors')), members, treated);
      try {
        return await recomputation.check({ shard: 0, row, from: element, to: element + 1 });
      } finally {
        await recomputation.close();
      }
    };
    const code = (bytes: Buffer, place: number) => bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
    const scale = (bytes: Buffer, place: number) => bytes.writeFloatLE(bytes.readFloatLE(place) * (1 + 2 ** -23), place);
    const nothing = () => {};
    for (const element of [0, 129, 130 * 139 + 3]) {
      expect(await checkWith(WEIGHT, element, nothing)).toBeNull();
      expect(await checkWith(WEIGHT, element, code)).toMatchObject({ tensor: WEIGHT, element });
    }
    for (const element of [0, 3]) {
      expect(await checkWith(`${WEIGHT}_scale_inv`, element, nothing)).toBeNull();
      expect(await checkWith(`${WEIGHT}_scale_inv`, element, scale)).toMatchObject({ tensor: `${WEIGHT}_scale_inv`, element });
    }
  });
});

describe('quantised weights that are broken', () => {
  it.each([0, -0.5, Number.NaN, Number.POSITIVE_INFINITY])('a scale of %d is refused by its tensor and number', async (value) => {
    const good = fp8(WEIGHT, [140, 130], [2, 2], 1);
    const bad = fp8(WEIGHT, [140, 130], [2, 2], 2);
    new DataView(bad[1]!.data!.buffer).setFloat32(8, value, true);
    const inputs = [good, bad].map((tensors, i) => writeCheckpoint(at(`step-${i}`), [tensors], i));
    const error = await merge(inputs).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'E_SCALE_VALUE', exitCode: 3, details: { tensor: `${WEIGHT}_scale_inv`, index: 2 } });
  });

  it('a block that is not finite is refused by its tensor and place, and passes as floats with a warning', async () => {
    const own = [1, 2].map((seed) => fp8(WEIGHT, [300, 300], [3, 3], seed));
    own[0]![0]!.data![299 * 300 + 130] = 0xff;
    const inputs = own.map((tensors, i) => writeCheckpoint(at(`step-${i}`), [tensors], i));
    const error = await merge(inputs).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'E_NONFINITE_BLOCK',
      exitCode: 3,
      details: { tensor: WEIGHT, block: [2, 1], file: join(inputs[0]!, 'model.safetensors') },
    });
    const { warnings } = await merge(inputs, { dtype: 'BF16' });
    expect(warnings.filter((w) => w.code === 'W_NONFINITE').map((w) => w.message)).toEqual([
      expect.stringContaining(`${WEIGHT} of ${inputs[0]} holds 1 NaN`),
    ]);
    // Of a member without a weight nothing is read.
    await merge(inputs, { weights: [0, 1], output: at('other') });
    expect((await bytesOf(at('other'))).get(WEIGHT)).toEqual(Buffer.from(own[1]![0]!.data!));
  });
});
