import { expect, test } from 'vitest';
import { aboutQuantity, formatQuantity, parseDistance, parseQuantity, parseTokens } from '../../../src/checkpoints/run/quantity.ts';
import type { Quantity } from '../../../src/checkpoints/run/types.ts';
import { randomFrom } from '../../support/run-objects.ts';

test.each<[string | number, number, Quantity['unit']]>([
  ['8B', 8e9, 'tokens'],
  ['8b', 8e9, 'tokens'],
  ['1.5T', 1.5e12, 'tokens'],
  ['500M', 5e8, 'tokens'],
  ['4BT', 4e9, 'tokens'],
  ['2.1 B tokens', 2.1e9, 'tokens'],
  ['0.067B', 67e6, 'tokens'],
  ['4096tokens', 4096, 'tokens'],
  ['4Ktokens', 4000, 'tokens'],
  ['1e9tok', 1e9, 'tokens'],
  ['1000', 1000, 'steps'],
  [1000, 1000, 'steps'],
  [' 1_000 ', 1000, 'steps'],
  ['1000steps', 1000, 'steps'],
  ['1 step', 1, 'steps'],
  ['2.5k steps', 2500, 'steps'],
  ['3ckpt', 3, 'checkpoints'],
  ['3 checkpoints', 3, 'checkpoints'],
  ['0', 0, 'steps'],
])('%j is %d %s', (text, value, unit) => {
  expect(parseQuantity(text, '--every')).toEqual({ value, unit });
});

test.each([
  '',
  ' ',
  'B',
  '8X',
  '8BB',
  '-8B',
  '+8B',
  'NaN',
  'Infinity',
  '1/2',
  '0x10',
  '8 9',
  '1,000',
  '0.5',
  '0.5steps',
  '1.5ckpt',
  '1e300',
  '8B per step',
  '8Bsteps8',
])('%j is no amount, and the message says what is', (text) => {
  expect(() => parseQuantity(text, '--every')).toThrow(
    expect.objectContaining({
      code: 'E_OPTION',
      message: `--every takes tokens (8B, 500M, 1.5T), steps (1000, 1000steps) or checkpoints (3ckpt), not '${text}'`,
    }),
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 60])('the number %d is no amount', (number) => {
  expect(() => parseQuantity(number, 'every')).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
});

test('thousands without a unit may be steps or tokens, so they are refused', () => {
  expect(() => parseQuantity('12k', '--from')).toThrow(expect.objectContaining({ code: 'E_OPTION', help: 'Write 12ksteps or 12ktokens.' }));
  expect(parseQuantity('12ksteps', '--from')).toEqual({ value: 12_000, unit: 'steps' });
});

test('a distance is over 0', () => {
  expect(parseDistance('8B', 'every')).toEqual({ value: 8e9, unit: 'tokens' });
  for (const zero of ['0', 0, '0B', '0steps']) expect(() => parseDistance(zero, 'every')).toThrow(/every takes a distance over 0/);
});

test('where tokens are expected a bare number is tokens, and steps are refused', () => {
  expect(parseTokens('4M', 'x')).toBe(4e6);
  expect(parseTokens('512K', 'x')).toBe(512_000);
  expect(parseTokens(4_194_304, 'x')).toBe(4_194_304);
  expect(parseTokens('4194304', 'x')).toBe(4_194_304);
  for (const wrong of ['4steps', '3ckpt', '-4M', '1.5', '']) expect(() => parseTokens(wrong, 'x')).toThrow(/^x takes tokens/);
});

test.each<[Quantity, string, string]>([
  [{ value: 8e9, unit: 'tokens' }, '8B', '8B tokens'],
  [{ value: 1.5e12, unit: 'tokens' }, '1.5T', '1.5T tokens'],
  [{ value: 2_097_152_000, unit: 'tokens' }, '2.097152B', '2.097B tokens'],
  [{ value: 65_536, unit: 'tokens' }, '65536tokens', '65536 tokens'],
  [{ value: 1, unit: 'tokens' }, '1tokens', '1 token'],
  [{ value: 1000, unit: 'steps' }, '1000steps', '1000 steps'],
  [{ value: 1, unit: 'steps' }, '1steps', '1 step'],
  [{ value: 3, unit: 'checkpoints' }, '3ckpt', '3 checkpoints'],
])('%j is written %s, and %s in a sentence', (quantity, exact, about) => {
  expect(formatQuantity(quantity)).toBe(exact);
  expect(aboutQuantity(quantity)).toBe(about);
});

test('what is written is read back as it was', () => {
  const random = randomFrom(1);
  for (let i = 0; i < 5000; i++) {
    const value = Math.floor(2 ** (random() * 53));
    for (const unit of ['tokens', 'steps', 'checkpoints'] as const) {
      expect(parseQuantity(formatQuantity({ value, unit }), 'x')).toEqual({ value, unit });
    }
  }
});
