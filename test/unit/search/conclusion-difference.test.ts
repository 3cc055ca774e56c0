import { describe, expect, it } from 'vitest';
import type { ItemScores } from '../../../src/checkpoints/results/types.ts';
import { covarianceOfMeans, difference, pairedDifference, pairedItems } from '../../../src/search/conclusion/difference.ts';

const items = (scores: readonly number[], more: Partial<ItemScores> = {}): ItemScores => ({
  name: 'm',
  weight: 1,
  digest: 'd',
  scores,
  ...more,
});
const scored = (lists: readonly ItemScores[] | null, score = 0, stderr: number | null = null) => ({ score, stderr, items: lists });

describe('difference', () => {
  it('is paired on the same items: 1, 2, 4 less 1, 1, 1 is 4/3 ± √(7/9), whatever the errors of the scores', () => {
    const found = difference(scored([items([1, 2, 4])], 7 / 3, 0.9), scored([items([1, 1, 1])], 1, 0.9), 'maximize');
    expect(found.paired).toBe(true);
    expect(found.gain).toBeCloseTo(4 / 3, 12);
    expect(found.error).toBeCloseTo(Math.sqrt(7 / 9), 12);
  });

  it('is positive for the lower score where lower is better', () => {
    expect(difference(scored([items([1, 2, 4])]), scored([items([1, 1, 1])]), 'minimize').gain).toBeCloseTo(-4 / 3, 12);
    expect(difference(scored(null, 1.1), scored(null, 1.2), 'minimize').gain).toBeCloseTo(0.1, 12);
  });

  it('adds metrics of different items with squared weights', () => {
    // Differences 0, 2 (mean 1, variance of the mean 1) and 0, 0, 3 (mean 1, variance of the mean 1).
    const a = [items([0, 2], { weight: 0.5 }), items([0, 0, 3], { name: 'n', digest: 'e', weight: -2 })];
    const b = [items([0, 0], { weight: 0.5 }), items([0, 0, 0], { name: 'n', digest: 'e', weight: -2 })];
    const { gain, error } = difference(scored(a), scored(b), 'maximize');
    expect(gain).toBeCloseTo(0.5 * 1 - 2 * 1, 12);
    expect(error).toBeCloseTo(Math.sqrt(0.25 * 1 + 4 * 1), 12);
  });

  it('lets two metrics of the same items cancel: what one gains the other loses, item by item', () => {
    const a = [items([1, 5, 9]), items([-1, -5, -9], { name: 'n' })];
    const b = [items([0, 0, 0]), items([0, 0, 0], { name: 'n' })];
    expect(difference(scored(a), scored(b), 'maximize')).toEqual({ gain: 0, error: 0, paired: true });
  });

  it.each([
    ['no items on one side', null],
    ['other items', [items([1, 1, 1], { digest: 'other' })]],
    ['fewer items', [items([1, 1])]],
    ['another metric', [items([1, 1, 1], { name: 'n' })]],
    ['another weight', [items([1, 1, 1], { weight: 2 })]],
    ['one metric more', [items([1, 1, 1]), items([1, 1], { name: 'n', digest: 'e' })]],
  ])('is unpaired with %s: errors of 0.3 and 0.4 are 0.5 together', (_, others) => {
    const a = scored([items([1, 2, 4])], 3, 0.3);
    expect(difference(a, scored(others, 1, 0.4), 'maximize')).toEqual({ gain: 2, error: 0.5, paired: false });
  });

  it('pairs no single item, of which no spread can be seen', () => {
    expect(difference(scored([items([2])], 2), scored([items([1])], 1), 'maximize')).toEqual({ gain: 1, error: null, paired: false });
  });

  it('knows no error where a score has none, and takes an error of exactly 0 for one that is not known', () => {
    expect(difference(scored(null, 3, 0.3), scored(null, 1, null), 'maximize').error).toBeNull();
    expect(difference(scored(null, 1, 0), scored(null, 0.9, 0.03), 'maximize').error).toBeCloseTo(Math.SQRT2 * 0.03, 12);
    expect(difference(scored(null, 1, 0), scored(null, 0.9, 0), 'maximize').error).toBeNull();
    expect(difference(scored(null, 1, 0), scored(null, 0.9, null), 'maximize').error).toBeNull();
  });
});

describe('paired items', () => {
  it('have a mean and a standard error', () => {
    const { mean, standardError } = pairedDifference([1, 2, 3, 4], [1.1, 2.3, 3.1, 4.3]);
    expect(mean).toBeCloseTo(0.2, 12);
    expect(standardError).toBeCloseTo(Math.sqrt((4 * 0.01) / 3 / 4), 12);
    expect(() => pairedDifference([1, 2], [1])).toThrow(RangeError);
    expect(() => pairedDifference([1], [1])).toThrow(RangeError);
  });

  it('err together as far as their differences go together', () => {
    const best = scored([items([3, 5, 1, 3])]);
    const a = pairedItems(best, scored([items([0, 0, 0, 0])]))!; // 3 5 1 3: deviations 0 2 -2 0
    const b = pairedItems(best, scored([items([2, 2, 2, 2])]))!; // the same deviations
    const c = pairedItems(best, scored([items([3, 7, -1, 3])]))!; // 0 -2 2 0: the opposite
    expect(covarianceOfMeans(a, b)).toBeCloseTo(8 / 3 / 4, 12);
    expect(covarianceOfMeans(a, c)).toBeCloseTo(-8 / 3 / 4, 12);
    expect(covarianceOfMeans(a, [])).toBe(0);
  });
});
