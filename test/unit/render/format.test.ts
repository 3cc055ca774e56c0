import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatClock,
  formatCount,
  formatRate,
  formatSeconds,
  formatTable,
  plural,
  printable,
  withEqualDecimals,
} from '../../../src/render/format.ts';

describe('numbers for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [313_344, '313 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [2_040_000_000, '2.04 GB'],
    [12_340_000_000, '12.3 GB'],
    [5e15, '5.00 PB'],
    [5e18, '5000 PB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [0, '- B/s'],
    [Number.NaN, '- B/s'],
    [Number.POSITIVE_INFINITY, '- B/s'],
    [11_800_000_000, '11.8 GB/s'],
  ])('a rate of %d is %s', (rate, text) => expect(formatRate(rate)).toBe(text));

  it.each([
    [0.0123, '0.012 s'],
    [1.5, '1.50 s'],
    [99.9, '99.9 s'],
    [125, '2 min 5 s'],
    [119.7, '2 min 0 s'],
    [3720, '1 h 2 min'],
  ])('%d seconds are %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

  it.each([
    [0, '00:00'],
    [21.4, '00:21'],
    [59.6, '01:00'],
    [3723, '1:02:03'],
    [-3, '00:00'],
  ])('a clock of %d is %s', (seconds, text) => expect(formatClock(seconds)).toBe(text));

  it('counts with separators and plurals', () => {
    expect([1, 12, 123, 1234, 92_000, 1_234_567].map(formatCount)).toEqual(['1', '12', '123', '1,234', '92,000', '1,234,567']);
    expect([plural(1, 'tensor'), plural(0, 'tensor'), plural(92_000, 'tensor')]).toEqual(['1 tensor', '0 tensors', '92,000 tensors']);
  });
});

describe('text from files', () => {
  it('cannot move the cursor, ring the bell or turn the reading direction', () => {
    expect(printable('a\u001b[2Jb\u0007\u009bc\u202ed\ne')).toBe('a\\x1b[2Jb\\x07\\x9bc\\u202ed\\ne');
  });

  it('stays as it is otherwise', () => {
    expect(printable('模型.层.0 ünï 🙂 "quoted"')).toBe('模型.层.0 ünï 🙂 "quoted"');
  });
});

describe('tables', () => {
  it('align, and leave no space at the ends of lines', () => {
    const rows = [
      ['a', '1', 'x'],
      ['bbb', '22', ''],
    ];
    expect(formatTable(rows, ['left', 'right', 'left'])).toEqual(['a     1  x', 'bbb  22']);
  });
});

it.each([
  [
    ['0.512', '0.128', '0.16', '0.2'],
    ['0.512', '0.128', '0.160', '0.200'],
  ],
  [
    ['4.506M', '4.71M', '5.12M', '8B', '-'],
    ['4.506M', '4.710M', '5.120M', '8B', '-'],
  ],
  [
    ['5,734,400', '-'],
    ['5,734,400', '-'],
  ],
  [
    ['1', '1e-9', '0.5'],
    ['1.0', '1e-9', '0.5'],
  ],
])('points of a column stand under each other: %j', (cells, aligned) => expect(withEqualDecimals(cells)).toEqual(aligned));
