import { describe, expect, test } from 'vitest';
import { combineElement, combineReference } from '../../../src/analysis/verify/twin/combine.ts';
import type { FloatDtypeName } from '../../../src/base/dtype.ts';
import { FLOAT_BYTES } from '../../../src/base/numbers/float.ts';
import { differences, loadGolden } from '../../golden/arith/load.ts';

const { bytes, cases } = loadGolden();

test('the goldens cover every dtype pair for every N from 1 to 10', () => {
  const pairs = new Set(cases.map((c) => `${[...new Set(c.inputs.map((i) => i.dtype))].join('+')} ${c.outDtype} ${c.inputs.length}`));
  const dtypes: FloatDtypeName[] = ['BF16', 'F16', 'F32', 'F64'];
  const wanted = dtypes.flatMap((a) => dtypes.flatMap((b) => Array.from({ length: 10 }, (_, n) => `${a} ${b} ${n + 1}`)));
  expect(wanted.filter((pair) => !pairs.has(pair))).toEqual([]);
});

describe('the twin writes what torch writes', () => {
  test.each(cases)('$name', ({ inputs, count, outDtype, expected, overflow }) => {
    const result = combineReference({
      inputs: inputs.map((input) => ({ ...input, bytes: bytes.subarray(input.offset, input.offset + count * FLOAT_BYTES[input.dtype]) })),
      count,
      outDtype,
    });
    expect(differences(expected, result.bytes, outDtype)).toEqual([]);
    expect({ nan: result.nan, inf: result.inf, overflow: result.overflow }).toEqual({
      nan: inputs.map((input) => input.nan),
      inf: inputs.map((input) => input.inf),
      overflow,
    });
  });
});

const f64 = (...values: number[]) => new Uint8Array(Float64Array.from(values).buffer);

test('a member of weight 0, of either sign, is not even looked at', () => {
  const gone = new Uint8Array(0);
  const result = combineReference({
    inputs: [
      { bytes: gone, dtype: 'F32', weight: -0 },
      { bytes: f64(-0, Number.POSITIVE_INFINITY, 3), dtype: 'F64', weight: 1 },
      { bytes: gone, dtype: 'F16', weight: 0 },
    ],
    count: 3,
    outDtype: 'F64',
  });
  expect(differences(f64(-0, Number.POSITIVE_INFINITY, 3), result.bytes, 'F64')).toEqual([]);
  expect(result).toMatchObject({ nan: [0, 0, 0], inf: [0, 1, 0], overflow: 0 });
});

test('all weights 0 and a short member are errors', () => {
  const one = { bytes: f64(1), dtype: 'F64', weight: 0 } as const;
  expect(() => combineReference({ inputs: [one], count: 1, outDtype: 'F64' })).toThrow(expect.objectContaining({ code: 'E_WEIGHTS' }));
  expect(() => combineElement([1, 2], [0, -0])).toThrow(expect.objectContaining({ code: 'E_WEIGHTS' }));
  expect(() => combineReference({ inputs: [{ ...one, weight: 1 }], count: 2, outDtype: 'F64' })).toThrow(RangeError);
});

test('multiply and add are rounded one after the other', () => {
  // With a fused multiply-add the small product would survive: 0.1 * 10 is 1 only after its own rounding.
  expect(combineElement([1, 10], [-1, 0.1])).toBe(0);
  expect(combineElement([2 ** 53, 1, 1], [1, 1, 1])).toBe(2 ** 53);
});

test('the mean of identical bf16 members is the member, for 1 to 64 of them', () => {
  const bf16 = new Uint8Array(Uint16Array.from({ length: 0x7f80 }, (_, code) => code).buffer);
  for (const n of [1, 2, 3, 5, 7, 10, 12, 49, 64]) {
    const inputs = Array.from({ length: n }, () => ({ bytes: bf16, dtype: 'BF16' as const, weight: 1 / n }));
    expect(differences(bf16, combineReference({ inputs, count: 0x7f80, outDtype: 'BF16' }).bytes, 'BF16')).toEqual([]);
  }
});
