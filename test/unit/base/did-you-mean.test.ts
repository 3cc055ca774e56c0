import { expect, test } from 'vitest';
import { didYouMean } from '../../../src/base/did-you-mean.ts';

const METHODS = ['sma', 'wma', 'ema', 'ema-normalized', 'wsm', 'lr-curve', 'extrapolate'];

test.each([
  ['emaa', 'ema'],
  ['SMA', 'sma'],
  ['ema-normalised', 'ema-normalized'],
  ['ema_normalized', 'ema-normalized'],
  ['lrcurve', 'lr-curve'],
  ['extrapoalte', 'extrapolate'],
])('%s is near %s', (word, choice) => {
  expect(didYouMean(word, METHODS)).toBe(choice);
});

test.each(['mean', 'linear', '', 'x', 'sma'.repeat(30)])('%s is near nothing', (word) => {
  expect(didYouMean(word, METHODS)).toBeNull();
});

test('there may be nothing to choose from', () => {
  expect(didYouMean('sma', [])).toBeNull();
});
