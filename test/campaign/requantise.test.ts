import { truncateSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type Encoding,
  encodedBytes,
  type MatrixShape,
  mergeQuantised,
  type QuantisedMember,
  SCALE_BYTES,
  type ScaleDtype,
} from '../../src/analysis/verify/twin/requantise.ts';
import { encodeFloat, FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import type { RequantiseJob } from '../../src/merge/native/requantise.ts';
import { expectBytes, randomElements, randomSource } from '../support/native-job.ts';
import { blocksOf, checkAgainstTwin, runStrips, type Strip } from '../support/quant-job.ts';

const isas = loadBinding().cpuInfo().available;
const close = (found: number, wanted: number, what: string) =>
  expect(found === wanted ? 0 : Math.abs(found - wanted), `${what}: ${found}, not ${wanted}`).toBeLessThanOrEqual(1e-12 * Math.abs(wanted));

/** Codes that are finite, and scales of ordinary size; one block in five all zeros. */
function randomMember(
  shape: MatrixShape,
  encoding: Encoding,
  scaleDtype: ScaleDtype | null,
  random: () => number,
): Omit<QuantisedMember, 'weight'> {
  const count = shape.rows * shape.cols;
  if (!(encoding === 'MXFP4' || encoding.startsWith('F8_')))
    return { encoding, codes: randomElements(encoding as 'BF16', count, random), scales: null };
  const codes = Uint8Array.from({ length: encodedBytes(encoding, count) }, () => Math.floor(random() * 256));
  if (encoding !== 'MXFP4') {
    for (let i = 0; i < count; i++) {
      const nan = encoding.endsWith('FNUZ') ? codes[i] === 0x80 : (codes[i]! & 0x7f) >= (encoding === 'F8_E5M2' ? 0x7c : 0x7f);
      const [row, col] = [Math.floor(i / shape.cols), i % shape.cols];
      const zero = (Math.floor(row / shape.blockRows) + 2 * Math.floor(col / shape.blockCols)) % 5 === 4;
      if (nan || zero) codes[i] = 0;
    }
  }
  return {
    encoding,
    codes,
    scales: scaleDtype === null ? null : { dtype: scaleDtype, bytes: randomScales(scaleDtype, blocksOf(shape), random) },
  };
}

function randomScales(dtype: ScaleDtype, count: number, random: () => number): Uint8Array {
  const bytes = new Uint8Array(count * SCALE_BYTES[dtype]);
  const view = new DataView(bytes.buffer);
  for (let b = 0; b < count; b++) {
    if (dtype === 'U8' || dtype === 'F8_E8M0') bytes[b] = 115 + Math.floor(random() * 10);
    else encodeFloat(dtype, (1 + random()) * 2 ** Math.floor(random() * 6 - 12), view, b);
  }
  return bytes;
}

const FP8 = ['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'] as const;
const WEIGHTS = [
  [0.5, 0.75, -0.25],
  [1 / 3, 0, 2 / 3],
];

/** Three members of one encoding in a shape; two outputs of the same. */
function strip(shape: MatrixShape, encoding: (typeof FP8)[number] | 'MXFP4', scaleDtype: ScaleDtype, seed: number): Strip {
  const random = randomSource(seed);
  return {
    ...shape,
    members: [0, 1, 2].map(() => randomMember(shape, encoding, scaleDtype, random)),
    outputs: [
      { encoding, scaleDtype, newest: 2 },
      { encoding, scaleDtype, newest: 1, powerOfTwo: true },
    ],
    weights: WEIGHTS,
  };
}

const SHAPES = [
  { rows: 130, cols: 131, blockRows: 128, blockCols: 128 },
  { rows: 1, cols: 1, blockRows: 128, blockCols: 128 },
  { rows: 5, cols: 77, blockRows: 1, blockCols: 77 },
  { rows: 9, cols: 33, blockRows: 4, blockCols: 10 },
];

describe.each(isas)('on %s', (isa) => {
  test.each(FP8)('%s blocks of several shapes are as the twin has them', async (encoding) => {
    const strips = SHAPES.map((shape, i) => strip(shape, encoding, (['F32', 'BF16', 'F16', 'F8_E8M0', 'F32'] as const)[i]!, i));
    checkAgainstTwin(await runStrips(strips, { engine: { isa } }), strips, close);
  });

  test('MXFP4 rows are as the twin has them', async () => {
    const strips = [32, 96, 2880].map((cols, i) =>
      strip({ rows: 7, cols, blockRows: 1, blockCols: 32 }, 'MXFP4', i === 1 ? 'F8_E8M0' : 'U8', i),
    );
    checkAgainstTwin(await runStrips(strips, { engine: { isa } }), strips, close);
  });

  test('members of several encodings, scaled or not, in the order of the sum', async () => {
    const shape = { rows: 40, cols: 160, blockRows: 16, blockCols: 32 };
    const random = randomSource(3);
    const encodings = [
      ['F8_E4M3', 'F32'],
      ['BF16', null],
      ['F8_E5M2', 'BF16'],
      ['F8_E5M2', 'F16'],
      ['F8_E4M3FNUZ', 'F8_E8M0'],
      ['F16', null],
      ['F32', null],
    ] as const;
    const members = encodings.map(([encoding, scale]) => randomMember(shape, encoding, scale, random));
    const weights = [members.map((_, i) => (i + 1) / 28), members.map((_, i) => (i % 3 === 0 ? 0 : 0.25))];
    const outputs = [
      { encoding: 'F8_E4M3', scaleDtype: 'F32', newest: 1 },
      { encoding: 'F8_E5M2', scaleDtype: 'U8', newest: 0 },
    ] as const;
    const strips: Strip[] = [{ ...shape, members, outputs, weights }];
    checkAgainstTwin(await runStrips(strips, { engine: { isa } }), strips, close);
  });
});

test('more members than one call of a kernel sums, the newest last', async () => {
  const shape = { rows: 3, cols: 70, blockRows: 2, blockCols: 35 };
  const random = randomSource(5);
  const members = Array.from({ length: 70 }, () => randomMember(shape, 'F8_E4M3', 'F32', random));
  const weights = [members.map((_, i) => (i + 1) / 2485)];
  const strips: Strip[] = [{ ...shape, members, outputs: [{ encoding: 'F8_E4M3', scaleDtype: 'F32', newest: 69 }], weights }];
  checkAgainstTwin(await runStrips(strips), strips, close);
});

test('the same bytes and figures whatever instructions, threads and way of reading', async () => {
  const strips = [
    strip({ rows: 700, cols: 1000, blockRows: 128, blockCols: 128 }, 'F8_E4M3', 'F32', 11),
    strip({ rows: 20, cols: 40_000, blockRows: 1, blockCols: 40_000 }, 'F8_E5M2', 'BF16', 12),
    strip({ rows: 40, cols: 2048, blockRows: 1, blockCols: 32 }, 'MXFP4', 'U8', 13),
  ];
  const first = await runStrips(strips, { engine: { isa: isas[0]!, threads: 1 } });
  for (const settings of [
    ...isas.map((isa) => ({ engine: { isa, threads: 3 } })),
    { mode: 'read' as const, engine: { threads: 2 } },
    { mode: 'read' as const, engine: { threads: 1, requestsInFlight: 1, dropCache: true } },
  ]) {
    const run = await runStrips(strips, settings);
    for (const [s, row] of first.codes.entries()) {
      for (const k of row.keys()) {
        expectBytes(run.codes[s]![k]!, row[k]!, `codes of strip ${s}, output ${k}`);
        expectBytes(run.scales[s]![k]!, first.scales[s]![k]!, `scales of strip ${s}, output ${k}`);
      }
    }
    const { readSeconds: _r, computeSeconds: _c, writeSeconds: _w, ...figures } = run.result;
    expect(figures).toEqual({ ...first.result, readSeconds: undefined, computeSeconds: undefined, writeSeconds: undefined });
  }
});

describe('blocks that need care', () => {
  const shape = { rows: 4, cols: 256, blockRows: 2, blockCols: 128 };
  const one = (members: Strip['members'], output: Strip['outputs'][number], weights: number[], of: MatrixShape = shape): Strip[] => [
    { ...of, members, outputs: [output], weights: [weights] },
  ];
  const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

  test.each(isas)('ties between codes are decided as by dividing (%s)', async (isa) => {
    // Equal scales and a largest code in both make the output's scale the same, and half of all means ties.
    const random = randomSource(21);
    const members = [0, 1].map(() => {
      const codes = Uint8Array.from({ length: 1024 }, () => Math.floor(random() * 0x7f) + (random() < 0.5 ? 128 : 0));
      for (let at = 0; at < 1024; at += 128) codes[at] = 0x7e;
      return { encoding: 'F8_E4M3' as const, codes, scales: { dtype: 'F32' as const, bytes: f32(0.3, 0.007, 11, 1e-20) } };
    });
    const strips = one(members, { encoding: 'F8_E4M3', scaleDtype: 'F32', newest: 1 }, [0.5, 0.5]);
    const run = await runStrips(strips, { engine: { isa } });
    expectBytes(run.scales[0]![0]!, members[0]!.scales.bytes, 'scales');
    checkAgainstTwin(run, strips, close);
  });

  test('the same block in all members is copied, also where its codes could be scaled anew', async () => {
    const random = randomSource(22);
    // No code near 448: fresh scales would be smaller.
    const codes = Uint8Array.from({ length: 1024 }, () => Math.floor(random() * 0x50));
    const other = codes.map((code, i) => (i === 700 ? code ^ 1 : code));
    const scales = { dtype: 'F32' as const, bytes: f32(0.5, 1.7, 3, 1e-3) };
    const members = [codes, other, codes].map((bytes) => ({ encoding: 'F8_E4M3' as const, codes: bytes, scales }));
    const output = { encoding: 'F8_E4M3' as const, scaleDtype: 'F32' as const, newest: 2 };
    const strips = one(members, output, [0.3, 0.3, 0.4]);
    const run = await runStrips(strips);
    checkAgainstTwin(run, strips, close);
    expect([...run.scales[0]![0]!.subarray(0, 8)]).toEqual([...scales.bytes.subarray(0, 8)]);
    expect(run.result.identical).toEqual(Uint8Array.of(0));
    const without = await runStrips(one(members, output, [0.4, 0, 0.6]));
    expectBytes(without.codes[0]![0]!, codes, 'codes of the members that take part');
    expectBytes(without.scales[0]![0]!, scales.bytes, 'their scales');
    expect(without.result).toMatchObject({ identical: Uint8Array.of(1), error: Float64Array.of(0), change: Float64Array.of(0) });
    const doubled = await runStrips(one(members, output, [1, 0, 1]));
    expect(doubled.result.identical).toEqual(Uint8Array.of(0));
    expect(Buffer.compare(doubled.scales[0]![0]!, scales.bytes)).not.toBe(0);
  });

  test('a block of zeros has scale 1, or the E8M0 byte of the newest', async () => {
    const zeros = { rows: 1, cols: 64, blockRows: 1, blockCols: 32 };
    const member = (bytes: Uint8Array, sign = 0) => ({
      encoding: 'MXFP4' as const,
      codes: new Uint8Array(32).fill(sign * 0x88),
      scales: { dtype: 'U8' as const, bytes },
    });
    const members = [member(Uint8Array.of(100, 101), 1), member(Uint8Array.of(90, 255))];
    const run = await runStrips([
      {
        ...zeros,
        members,
        outputs: [
          { encoding: 'MXFP4', scaleDtype: 'U8', newest: 0 },
          { encoding: 'F8_E4M3', scaleDtype: 'F32', newest: 0 },
          { encoding: 'F8_E5M2', scaleDtype: 'F8_E8M0' },
        ],
        weights: [
          [0.5, 0.5],
          [1, 0],
          [1, 0],
        ],
      },
    ]);
    // The second block of the second member holds NaN.
    expect([...run.scales[0]![0]!]).toEqual([100, 255]);
    expectBytes(run.scales[0]![1]!, f32(1, 1), 'F32 scales');
    expect([...run.scales[0]![2]!]).toEqual([127, 127]);
    expect([...run.codes[0]![1]!]).toEqual(new Array(64).fill(0x80));
    expect(run.result.nonfinite).toEqual([{ strip: 0, member: 1, nan: 32, inf: 0 }]);
  });

  test('a given amax makes all scales, and what it is too small for saturates and is counted', async () => {
    const random = randomSource(23);
    for (const of of [
      { rows: 37, cols: 300, blockRows: 37, blockCols: 300 },
      { rows: 300, cols: 1100, blockRows: 1000, blockCols: 1100 },
    ]) {
      const members = [0, 1].map(() => randomMember(of, 'F8_E4M3', 'F32', random));
      for (const [encoding, amax] of [
        ['F8_E4M3', 0.02],
        ['F8_E5M2', 0.02],
        ['F8_E4M3', 0],
        ['F8_E4M3', 1e300],
      ] as const) {
        const strips = one(members, { encoding, scaleDtype: 'F32', newest: 1, amax }, [0.1, 0.9], of);
        const run = await runStrips(strips);
        checkAgainstTwin(run, strips, close);
        if (amax === 0.02) expect(run.result.saturated[0]).toBeGreaterThan(0);
        const unwritten = await runStrips(one(members, { encoding, scaleDtype: 'F32', newest: 1, unwritten: true }, [0.1, 0.9], of));
        expect(unwritten.result).toMatchObject({
          amax: run.result.amax,
          bytesWritten: 0,
          error: Float64Array.of(0),
          crc: Uint32Array.of(0),
        });
      }
    }
  });

  test('NaN and infinity are counted by member, and finite values beside them are as ever', async () => {
    const random = randomSource(24);
    const members = (['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ'] as const).map((encoding) => randomMember(shape, encoding, 'F32', random));
    members[0]!.codes[5] = 0x7f;
    members[0]!.codes[260] = 0xff;
    members[1]!.codes[5] = 0x7c;
    members[1]!.codes[900] = 0xfc;
    members[2]!.codes[1023] = 0x80;
    for (const encoding of FP8) {
      const strips = one(members, { encoding, scaleDtype: 'F32' }, [0.25, 0.25, 0.5]);
      const run = await runStrips(strips);
      checkAgainstTwin(run, strips, (found, wanted, what) => what.endsWith(': error') || close(found, wanted, what));
      expect(run.result.nonfinite).toEqual([
        { strip: 0, member: 0, nan: 2, inf: 0 },
        { strip: 0, member: 1, nan: 0, inf: 2 },
        { strip: 0, member: 2, nan: 1, inf: 0 },
      ]);
      const without = await runStrips(one(members, { encoding, scaleDtype: 'F32' }, [0, 0, 1]));
      expect(without.result.nonfinite).toEqual([{ strip: 0, member: 2, nan: 1, inf: 0 }]);
    }
  });

  test('scales too small or too large for their dtype are the nearest that it holds', async () => {
    const tiny = { rows: 1, cols: 32, blockRows: 1, blockCols: 32 };
    for (const value of [1e-44, 1e-40, 3e38]) {
      const members = [
        {
          encoding: 'F32' as const,
          codes: new Uint8Array(Float32Array.from({ length: 32 }, (_, i) => value / (1 + i)).buffer),
          scales: null,
        },
      ];
      for (const scaleDtype of ['F32', 'BF16', 'F16', 'U8'] as const) {
        for (const powerOfTwo of [false, true]) {
          const strips = one(members, { encoding: 'F8_E4M3', scaleDtype, powerOfTwo }, [1], tiny);
          checkAgainstTwin(await runStrips(strips), strips, close);
        }
      }
    }
  });
});

describe('dequantised outputs', () => {
  const random = randomSource(31);
  const shape = { rows: 70, cols: 1056, blockRows: 1, blockCols: 32 };
  const members = [0, 1].map(() => randomMember(shape, 'MXFP4', 'U8', random));
  const weights = [0.3, 0.7];
  const merged = mergeQuantised(
    shape,
    members.map((member, i) => ({ ...member, weight: weights[i]! })),
  );
  const wanted = (dtype: 'BF16' | 'F16' | 'F32' | 'F64', place: (i: number) => number, total = merged.length) => {
    const bytes = new Uint8Array(total * FLOAT_BYTES[dtype]);
    for (const [i, value] of merged.entries()) encodeFloat(dtype, value, new DataView(bytes.buffer), place(i));
    return bytes;
  };

  test.each(['BF16', 'F16', 'F32', 'F64'] as const)('to %s, rows as they are', async (encoding) => {
    const run = await runStrips([{ ...shape, members, outputs: [{ encoding }], weights: [weights] }]);
    expectBytes(
      run.codes[0]![0]!,
      wanted(encoding, (i) => i),
      encoding,
    );
    expect(run.result.crc[0]).toBe(loadBinding().crc32c(run.codes[0]![0]!, 0));
  });

  test('transposed: a whole matrix in one piece, and beside a quantised output of the same strip', async () => {
    const transposed = (i: number) => (i % shape.cols) * shape.rows + Math.floor(i / shape.cols);
    const whole = { encoding: 'BF16' as const, transpose: { length: shape.rows, at: 0 } };
    const quantised = { encoding: 'MXFP4' as const, scaleDtype: 'U8' as const, newest: 1 };
    for (const mode of ['map', 'read'] as const) {
      const strips = [{ ...shape, members, outputs: [whole, quantised], weights: [weights, weights] }];
      const run = await runStrips(strips, { mode });
      expectBytes(run.codes[0]![0]!, wanted('BF16', transposed), mode);
      expect(run.result.crc[0]).toBe(loadBinding().crc32c(run.codes[0]![0]!, 0));
      checkAgainstTwin(run, strips, close);
    }
  });

  test('transposed: some rows of a matrix, in columns apart', async () => {
    const length = shape.rows + 13;
    const strips = [{ ...shape, members, outputs: [{ encoding: 'F32' as const, transpose: { length, at: 7 } }], weights: [weights] }];
    const run = await runStrips(strips);
    const place = (i: number) => (i % shape.cols) * length + 7 + Math.floor(i / shape.cols);
    expectBytes(run.codes[0]![0]!, wanted('F32', place, length * shape.cols), 'columns, zeros between them');
    expect(run.result.crc).toEqual(Uint32Array.of(0));
  });
});

describe('what a call refuses and how it ends', () => {
  const shape = { rows: 256, cols: 512, blockRows: 128, blockCols: 128 };
  const strips = [strip(shape, 'F8_E4M3', 'F32', 41)];
  const changed = (change: Partial<RequantiseJob>) => runStrips(strips, { change: (job) => ({ ...job, ...change }) });

  test.each<[string, Partial<RequantiseJob>]>([
    ['a strip beyond its input', { rows: Float64Array.of(2000) }],
    ['codes of an unknown encoding', { encoding: new Uint8Array(3).fill(9) }],
    ['scales of a dtype that is none', { scaleDtype: new Uint8Array(3).fill(10) }],
    ['MXFP4 in other blocks', { outEncoding: new Uint8Array(2).fill(64) }],
    ['a transposed quantised output', { transpose: Float64Array.of(256, 0) }],
    ['an empty strip', { cols: Float64Array.of(0) }],
    ['no weights', { weights: new Float64Array(6) }],
    ['a weight that is not finite', { weights: new Float64Array(6).fill(Number.NaN) }],
    ['arrays of other lengths', { newest: new Int32Array(1) }],
    ['an amax that is negative', { amax: Float64Array.of(-1, 1) }],
    ['a member without a file', { file: Int32Array.of(0, -1, 2) }],
    ['a table that is not there', { table: Int32Array.of(1) }],
  ])('%s', async (_, change) => {
    await expect(changed(change)).rejects.toMatchObject({ code: 'E_INVALID_ARG' });
  });

  test('cancelled before it begins, nothing is written', async () => {
    await expect(changed({ cancel: Int32Array.of(1) })).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  test('a task that does not fit in the memory', async () => {
    await expect(runStrips(strips, { engine: { memoryBytes: 300 << 10, tileBytes: 4096 } })).rejects.toMatchObject({ code: 'E_NO_MEMORY' });
  });

  test.each(['map', 'read'] as const)('an input that becomes shorter fails the call and names the file (%s)', async (mode) => {
    const shrinking = runStrips(strips, {
      mode,
      change: (job, path) => {
        truncateSync(path(1), 4096);
        return job;
      },
    });
    await expect(shrinking).rejects.toMatchObject({ code: 'E_INPUT_CHANGED', fileIndex: 1, segment: 0 });
  });

  test('CRCs are those of the codes and the scales', async () => {
    const run = await runStrips([...strips, strip({ rows: 100, cols: 96, blockRows: 1, blockCols: 32 }, 'F8_E5M2', 'BF16', 42)]);
    const { crc32c } = loadBinding();
    expect([...run.result.crc]).toEqual(run.codes.flat().map((bytes) => crc32c(bytes, 0)));
    expect([...run.result.scaleCrc]).toEqual(run.scales.flat().map((bytes) => crc32c(bytes, 0)));
  });
});
