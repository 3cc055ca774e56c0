import { describe, expect, test } from 'vitest';
import { loadBinding } from '../../src/native/load.ts';
import { encodeFloat } from '../../src/reference/float.ts';
import {
  type Encoding,
  encodedBytes,
  type MatrixShape,
  type QuantisedMember,
  SCALE_BYTES,
  type ScaleDtype,
} from '../../src/reference/requantise.ts';
import { expectBytes, randomElements, randomSource } from '../support/native-job.ts';
import { blocksOf, checkAgainstTwin, runStrips, type Strip } from '../support/quant-job.ts';

const isas = loadBinding().cpuInfo().available;
const close = (found: number, wanted: number, what: string) =>
  expect(Math.abs(found - wanted), `${what}: ${found}, not ${wanted}`).toBeLessThanOrEqual(1e-12 * Math.abs(wanted));

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
