import { describe, expect, test } from 'vitest';
import type { AveragedDtypeName } from '../../src/base/dtype.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { expectAsTwin, expectBytes, randomElements, randomSource, runJob, type SegmentData } from '../support/native-job.ts';

const FLOATS: readonly AveragedDtypeName[] = ['BF16', 'F16', 'F32', 'F64'];
const isas = loadBinding().cpuInfo().available;

const FP8 = ['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'] as const;

/** Sizes around vector steps (1 to 32 elements), compute blocks (4096) and tiles. */
const SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097];

function segmentsOf(
  members: readonly AveragedDtypeName[],
  out: readonly AveragedDtypeName[],
  sizes: readonly number[],
  seed: number,
  wild: boolean,
) {
  const random = randomSource(seed);
  return sizes.map(
    (count): SegmentData => ({
      count,
      members: members.map((dtype) => ({ dtype, bytes: randomElements(dtype, count, random, wild) })),
      out,
    }),
  );
}

describe.each(isas)('kernels of %s', (isa) => {
  describe.each(FLOATS)('from %s', (from) => {
    test.each(FLOATS)('to %s', async (to) => {
      const weights = [[[0.3, -0.5, 1.2]], [[0.25, 0.5, 0.25]]];
      const segments = segmentsOf([from, from, from], [to], SIZES, 1, true).flatMap((s) => [s, { ...s, table: 1 }]);
      expectAsTwin(await runJob(segments, weights, { lead: 1, engine: { isa } }), segments, weights);
    });
  });

  test.each([1, 2, 3, 4, 5, 8, 9])('%i outputs of several dtypes from one read, zero weights among them', async (k) => {
    const random = randomSource(k);
    const out = Array.from({ length: k }, (_, i) => FLOATS[(i * 3) % 4]!);
    const weights = [out.map((_, i) => [random(), i % 2 === 0 ? 0 : random(), i % 3 === 1 ? 0 : -random(), 0.125])];
    const segments = segmentsOf(['BF16', 'BF16', 'BF16', 'BF16'], out, [33, 4100, 1], 7, true);
    expectAsTwin(await runJob(segments, weights, { lead: 3, engine: { isa } }), segments, weights);
  });

  test.each(FP8)('%s from and to every dtype, in one read', async (dtype) => {
    const out: AveragedDtypeName[] = [dtype, 'BF16', 'F64', ...FP8, dtype, 'F32'];
    const weights = [out.map((_, i) => [0.3, i % 2 === 0 ? -0.5 : 0, 1.2])];
    const alike = segmentsOf([dtype, dtype, dtype], out, [0, 1, 33, 4100], 8, true);
    const mixed = segmentsOf([dtype, 'BF16', 'F32'], out, [65, 700], 9, true);
    const widened = segmentsOf(['BF16', 'BF16', 'BF16'], out, [4097], 10, true);
    const segments = [...alike, ...mixed, ...widened];
    for (const tileBytes of [0, 1000]) {
      expectAsTwin(await runJob(segments, weights, { lead: 1, engine: { isa, tileBytes } }), segments, weights);
    }
  });

  test('members of different dtypes', async () => {
    const weights = [
      [
        [0.1, 0.2, 0.3, 0.4],
        [1, 0, -2, 3],
      ],
    ];
    const segments = segmentsOf(FLOATS, ['BF16', 'F32'], [5, 600, 4097], 3, true);
    expectAsTwin(await runJob(segments, weights, { lead: 5, engine: { isa } }), segments, weights);
  });

  test('seventy members', async () => {
    const weights = [[Array.from({ length: 70 }, (_, i) => (i + 1) / 2485)]];
    const segments = segmentsOf(new Array<AveragedDtypeName>(70).fill('BF16'), ['BF16'], [300], 5, false);
    expectAsTwin(await runJob(segments, weights, { engine: { isa } }), segments, weights);
  });

  test.each(['BF16', 'F16'] as const)('every %s value comes back from a merge of itself, NaNs as the canonical one', async (dtype) => {
    const bytes = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);
    const segment = { count: 65536, members: [{ dtype, bytes }], out: [dtype] };
    const { outputs } = await runJob([segment], [[[1]]], { engine: { isa } });
    const [infinity, nan] = dtype === 'BF16' ? [0x7f80, 0x7fc0] : [0x7c00, 0x7e00];
    const want = Uint16Array.from({ length: 65536 }, (_, i) => ((i & 0x7fff) > infinity ? nan : i));
    expectBytes(outputs[0]!, new Uint8Array(want.buffer), dtype);
  });
});

test('merging identical checkpoints gives back their bytes, whatever their number', async () => {
  for (const n of [2, 3, 6, 7, 10]) {
    for (const dtype of ['BF16', 'F16', 'F32', ...FP8] as const) {
      const bytes = randomElements(dtype, 5000, randomSource(n));
      const segment = { count: 5000, members: Array.from({ length: n }, () => ({ dtype, bytes })), out: [dtype] };
      const { outputs } = await runJob([segment], [[new Array<number>(n).fill(1 / n)]]);
      expectBytes(outputs[0]!, bytes, `${n} x ${dtype}`);
    }
  }
});

test('a copied segment takes the bytes of one member to every output', async () => {
  const random = randomSource(9);
  const float: SegmentData = {
    count: 1000,
    members: [0, 1].map(() => ({ dtype: 'F32', bytes: randomElements('F32', 1000, random) })),
    out: ['F32', 'BF16'],
  };
  const raw = [0, 1].map(() => ({ dtype: 'F32' as const, bytes: randomElements('F64', 300, random, true).subarray(0, 2399) }));
  const copy: SegmentData = { count: 2399, members: raw, out: ['F32', 'BF16'], copy: 1 };
  const weights = [
    [
      [0.5, 0.5],
      [2, -1],
    ],
  ];
  const segments = [copy, float, copy];
  for (const mode of ['map', 'read'] as const) {
    const run = await runJob(segments, weights, { mode, engine: { tileBytes: 1000 } });
    expectAsTwin(run, segments, weights);
    const { result } = run;
    expect(result.bytesWritten).toBe(2 * 2 * 2399 + 1000 * (4 + 2));
    expect(result.bytesRead).toBe(2 * 2399 + 2 * 4000);
  }
});

test('finite sums too large for FP8 saturate where the format has no infinity but a NaN to spare, and are counted apart', async () => {
  const bytes = new Uint8Array(Float32Array.of(448, 464, 465, -1e6, 1e39, 1).buffer);
  const segment: SegmentData = { count: 6, members: [{ dtype: 'F32', bytes }], out: FP8 };
  const { outputs, result } = await runJob([segment], [FP8.map(() => [1])]);
  expect(outputs.map((out) => Buffer.from(out).toString('hex'))).toEqual(['7e7e7efe7f38', '5f5f5ffc7c3c', '808080808040', '636363808040']);
  expect(result.nonfinite).toEqual([
    { cell: 0, member: -4, nan: 0, inf: 1, saturated: 0 },
    { cell: 0, member: -3, nan: 0, inf: 4, saturated: 0 },
    { cell: 0, member: -2, nan: 0, inf: 1, saturated: 0 },
    { cell: 0, member: -1, nan: 0, inf: 0, saturated: 2 },
    { cell: 0, member: 0, nan: 0, inf: 1, saturated: 0 },
  ]);
});

describe('non-finite values', () => {
  const bf16 = (values: readonly number[]) => new Uint8Array(Uint16Array.from(values).buffer);
  const [one, inf, nan, largest] = [0x3f80, 0x7f80, 0xffc1, 0x7f7f];

  test('those of a member that takes no part are neither used nor counted', async () => {
    const members = [
      { dtype: 'BF16' as const, bytes: bf16([one, one, one]) },
      { dtype: 'BF16' as const, bytes: bf16([inf, nan, one]) },
    ];
    const { outputs, result } = await runJob(
      [{ count: 3, members, out: ['BF16', 'BF16'] }],
      [
        [
          [1, 0],
          [0.5, 0],
        ],
      ],
    );
    expect(outputs).toEqual([bf16([one, one, one]), bf16([0x3f00, 0x3f00, 0x3f00])]);
    expect(result.nonfinite).toEqual([]);
  });

  test('each output is what the recipe gives alone, and counts name cell, member and overflow', async () => {
    const random = randomSource(4);
    const count = 9_000;
    const first = randomElements('BF16', count, random);
    const second = randomElements('BF16', count, random);
    const view = new DataView(first.buffer);
    const other = new DataView(second.buffer);
    for (const at of [0, 31, 5_000, 8_999]) view.setUint16(at * 2, nan, true);
    for (const at of [5, 5_000]) other.setUint16(at * 2, inf, true);
    view.setUint16(100 * 2, largest, true);
    other.setUint16(100 * 2, largest, true);
    const members = [
      { dtype: 'BF16' as const, bytes: first },
      { dtype: 'BF16' as const, bytes: second },
    ];
    const rows = [
      [0.5, 0.5],
      [0, 1],
      [1, 1],
      [1, 0],
      [-1, 0.5],
      [0.5, 0.5],
    ];
    const segment = { count, members, out: rows.map(() => 'BF16' as const), cells: [50, 50, 5_001, count] };
    const expected = [
      { cell: 0, member: 0, nan: 2, inf: 0, saturated: 0 },
      { cell: 0, member: 1, nan: 0, inf: 1, saturated: 0 },
      { cell: 2, member: -3, nan: 0, inf: 1, saturated: 0 },
      { cell: 2, member: 0, nan: 1, inf: 0, saturated: 0 },
      { cell: 2, member: 1, nan: 0, inf: 1, saturated: 0 },
      { cell: 3, member: 0, nan: 1, inf: 0, saturated: 0 },
    ];
    for (const isa of isas) {
      for (const tileBytes of [0, 1000, 64]) {
        const run = await runJob([segment], [rows], { engine: { isa, tileBytes } });
        expectAsTwin(run, [segment], [rows]);
        expect(run.result.nonfinite).toEqual(expected);
      }
    }
  });
});
