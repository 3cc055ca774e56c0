import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeFloat, encodeFloat } from '../../../src/base/numbers/float.ts';
import { SMALL_FLOATS } from '../../../src/base/numbers/small-float.ts';

/** What torch says (test/golden/make/fp8.py): all codes, and numbers with the codes nearest to them. */
const golden = JSON.parse(readFileSync(new URL('../../golden/fp8.json', import.meta.url), 'utf8')) as {
  dtypes: Record<'F8_E5M2' | 'F8_E4M3' | 'F8_E5M2FNUZ' | 'F8_E4M3FNUZ', { values: string; numbers: string; codes: string }>;
};
/** float32 numbers from their bits in hex. */
const floats = (hex: string) => {
  const bytes = Buffer.from(hex, 'hex');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatBE(i * 4));
};

describe.each(Object.entries(golden.dtypes))('%s as torch has it', (name, { values, numbers, codes }) => {
  const dtype = name as keyof typeof golden.dtypes;

  test('what all codes stand for', () => {
    const view = new DataView(Uint8Array.from({ length: 256 }, (_, i) => i).buffer);
    expect(Array.from({ length: 256 }, (_, i) => decodeFloat(dtype, view, i))).toEqual(floats(values));
  });

  test('the codes of ties, their neighbours, the edges of the range and others', () => {
    const inputs = floats(numbers);
    const found = new DataView(new ArrayBuffer(inputs.length));
    for (const [i, value] of inputs.entries()) encodeFloat(dtype, value, found, i);
    const wanted = Buffer.from(codes, 'hex');
    const wrong = inputs.flatMap((value, i) =>
      found.getUint8(i) === wanted[i] ? [] : [`${value}: ${found.getUint8(i)}, not ${wanted[i]}`],
    );
    expect(wrong).toEqual([]);
  });
});

test('NaN becomes the canonical one; infinity becomes NaN where there is none', () => {
  const code = (dtype: keyof typeof golden.dtypes, value: number) => SMALL_FLOATS[dtype].encode(value);
  for (const [dtype, nan, infinity, negative] of [
    ['F8_E5M2', 0x7f, 0x7c, 0xfc],
    ['F8_E4M3', 0x7f, 0x7f, 0x7f],
    ['F8_E5M2FNUZ', 0x80, 0x80, 0x80],
    ['F8_E4M3FNUZ', 0x80, 0x80, 0x80],
  ] as const) {
    expect(code(dtype, Number.NaN)).toEqual({ code: nan, overflow: false });
    expect(code(dtype, Number.POSITIVE_INFINITY)).toEqual({ code: infinity, overflow: false });
    expect(code(dtype, Number.NEGATIVE_INFINITY)).toEqual({ code: negative, overflow: false });
  }
});

test('E2M1: its sixteen numbers, ties to even, saturation', () => {
  const { values, encode } = { values: SMALL_FLOATS.E2M1.values, encode: (value: number) => SMALL_FLOATS.E2M1.encode(value) };
  expect([...values]).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]);
  for (const [value, code] of [
    [0.25, 0],
    [0.75, 2],
    [1.25, 2],
    [1.75, 4],
    [2.5, 4],
    [3.5, 6],
    [5, 6],
    [-5.000001, 15],
    [6.999999, 7],
    [-0, 8],
  ] as const) {
    expect(encode(value), String(value)).toEqual({ code, overflow: false });
  }
  expect(encode(7)).toEqual({ code: 7, overflow: true });
  expect(encode(-1000)).toEqual({ code: 15, overflow: true });
});
