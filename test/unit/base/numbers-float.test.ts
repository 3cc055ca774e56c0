import { describe, expect, test } from 'vitest';
import type { FloatDtypeName } from '../../../src/base/dtype.ts';
import { decodeFloats } from '../../../src/base/numbers/decode.ts';
import { decodeFloat, encodeFloat, FLOAT_BYTES } from '../../../src/base/numbers/float.ts';
import { seeded } from '../../support/safetensors.ts';

const view = new DataView(new ArrayBuffer(8));
const code16 = (dtype: FloatDtypeName, value: number) => {
  encodeFloat(dtype, value, view, 0);
  return view.getUint16(0, true);
};
const value16 = (dtype: FloatDtypeName, code: number) => {
  view.setUint16(0, code, true);
  return decodeFloat(dtype, view, 0);
};

describe.each([
  { dtype: 'BF16', infinity: 0x7f80, nan: 0x7fc0 },
  { dtype: 'F16', infinity: 0x7c00, nan: 0x7e00 },
] as const)('$dtype', ({ dtype, infinity, nan }) => {
  test('all 65,536 codes round-trip, and every NaN becomes the canonical one', () => {
    const wrong: number[] = [];
    for (let code = 0; code < 65536; code++) {
      const expected = (code & 0x7fff) > infinity ? nan : code;
      if (code16(dtype, value16(dtype, code)) !== expected) wrong.push(code);
    }
    expect(wrong).toEqual([]);
  });

  test('the middle between two neighbours goes to the even code, and a hair beside it to the nearer', () => {
    // The step is taken in float32, whose grid is finer than both formats, so that no second rounding hides
    // it.
    const next = new Float32Array(1);
    const bits = new Uint32Array(next.buffer);
    const wrong: number[] = [];
    for (let code = 0; code < infinity - 1; code++) {
      const middle = (value16(dtype, code) + value16(dtype, code + 1)) / 2;
      next[0] = middle;
      expect(next[0]).toBe(middle);
      if (code16(dtype, middle) !== code + (code % 2)) wrong.push(code);
      bits[0]! += 1;
      if (code16(dtype, next[0]!) !== code + 1) wrong.push(code);
      bits[0]! -= 2;
      if (code16(dtype, next[0]!) !== code) wrong.push(code);
    }
    expect(wrong).toEqual([]);
  });
});

test.each([
  ['BF16', 0x3f80, 1],
  ['BF16', 0x4049, 3.140625],
  ['BF16', 0x0001, 2 ** -133],
  ['BF16', 0x0080, 2 ** -126],
  ['BF16', 0x7f7f, (2 - 2 ** -7) * 2 ** 127],
  ['F16', 0x3c00, 1],
  ['F16', 0x3555, 0.333251953125],
  ['F16', 0x0001, 2 ** -24],
  ['F16', 0x0400, 2 ** -14],
  ['F16', 0x7bff, 65504],
  ['F16', 0xfc00, Number.NEGATIVE_INFINITY],
  ['F16', 0x8000, -0],
] as const)('%s %i is %d, as the format tables have it', (dtype, code, value) => {
  expect(value16(dtype, code)).toBe(value);
  expect(code16(dtype, value)).toBe(code);
});

test.each([
  ['F16', 65519.996, 0x7bff],
  ['F16', 65520, 0x7c00],
  ['F16', 2 ** -25, 0x0000],
  ['F16', 2 ** -25 * 1.0001, 0x0001],
  ['F16', -(2 ** -26), 0x8000],
  ['BF16', 3.4e38, 0x7f80],
  ['BF16', 2 ** -134, 0x0000],
  ['BF16', 1e-300, 0x0000],
] as const)('%s: %d at the edge of the range becomes %i', (dtype, value, code) => {
  expect(code16(dtype, value)).toBe(code);
});

test('a number beside a bf16 tie goes to float32 first, so the second rounding sees a tie', () => {
  const tie = 1 + 2 ** -8; // halfway between 0x3f80 and 0x3f81
  expect(code16('BF16', tie + 2 ** -40)).toBe(0x3f80);
  expect(code16('BF16', tie + 2 ** -23)).toBe(0x3f81);
});

test('F32 and F64 write canonical NaNs and keep signed zeros and denormals', () => {
  const bytes = new Uint8Array(16);
  const wide = new DataView(bytes.buffer);
  wide.setUint32(0, 0xffa00001, true);
  encodeFloat('F32', decodeFloat('F32', wide, 0), wide, 1);
  expect(wide.getUint32(4, true)).toBe(0x7fc00000);
  encodeFloat('F64', Number.NaN, wide, 1);
  expect(wide.getBigUint64(8, true)).toBe(0x7ff8000000000000n);
  encodeFloat('F32', -(2 ** -149), wide, 0);
  expect(wide.getUint32(0, true)).toBe(0x80000001);
  encodeFloat('F64', -0, wide, 0);
  expect(wide.getBigUint64(0, true)).toBe(0x8000000000000000n);
});

describe('decoding many elements at once', () => {
  test.each(['BF16', 'F16', 'F32', 'F64'] as const)('gives the numbers of %s one by one, wherever the bytes begin', (dtype) => {
    const random = seeded(5);
    const bytes = Uint8Array.from({ length: 8 * 64 + 3 }, () => random(256));
    for (const start of [0, 1, 2, 3]) {
      const part = bytes.subarray(start, start + 8 * 64);
      const view = new DataView(part.buffer, part.byteOffset, part.length);
      const one = Array.from({ length: part.length / FLOAT_BYTES[dtype] }, (_, i) => decodeFloat(dtype, view, i));
      expect([...decodeFloats(dtype, part)]).toEqual(one);
    }
    expect(decodeFloats(dtype, new Uint8Array(0))).toHaveLength(0);
  });
});
