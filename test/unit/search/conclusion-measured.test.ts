import { describe, expect, it } from 'vitest';
import { errorVariance } from '../../../src/search/conclusion/difference.ts';
import type { PlacedBaseline } from '../../../src/search/conclusion/headline.ts';
import { recommended } from '../../../src/search/conclusion/measured.ts';
import type { RecipeScores } from '../../../src/search/conclusion/recipes.ts';
import { hasEffect } from '../../../src/search/space/schedule-parameters.ts';

const recipes = (values: readonly (readonly number[])[]) =>
  values.map((of, id) => ({ trials: of.map(() => ({ id, stderr: null })), point: null, values: of }) as unknown as RecipeScores);
const NEWEST: PlacedBaseline = { name: 'newest', label: 'newest', index: 0 };
const choose = (values: readonly (readonly number[])[], believed: readonly number[], noiseStd: number | null) =>
  recommended(recipes(values), believed, [...values.keys()], [NEWEST], { noise: 'shared', noiseStd });

describe('the recommended recipe', () => {
  it('is the one of the highest belief, also where it scored worse within the noise', () => {
    expect(choose([[1], [0.9], [0.5]], [1, 1.2, 0.6], 0.1)).toEqual({ best: 1, overruled: null });
  });

  it('is none that scored worse than a baseline beyond the noise, but the next that did not', () => {
    expect(choose([[1], [0.1], [0.95]], [0.9, 5, 1], 0.1)).toEqual({ best: 2, overruled: { recipe: 1, baseline: NEWEST } });
    expect(choose([[1], [0.1], [0.2]], [0.9, 5, 4], 0.1).best).toBe(0);
  });

  it('goes by the mean of repeats, which tell more', () => {
    expect(
      choose(
        [
          [1, 1, 1, 1],
          [0.85, 0.85, 0.85, 0.85],
        ],
        [0.9, 5],
        0.1,
      ).best,
    ).toBe(0);
    expect(choose([[1], [0.85]], [0.9, 5], 0.1).best).toBe(1);
  });
});

it('a standard error of nonsense size has a finite variance', () => {
  expect(errorVariance(0.5)).toBe(0.25);
  expect(Number.isFinite(errorVariance(1e200))).toBe(true);
});

it('of a window of one checkpoint no method and no alpha is told', () => {
  const one = { window: 1, method: 'ema', alpha: 0.2 };
  expect(Object.keys(one).filter((name) => hasEffect(name, one))).toEqual(['window']);
  const several = { window: 3, method: 'ema', alpha: 0.2 };
  expect(Object.keys(several).filter((name) => hasEffect(name, several))).toEqual(['window', 'method', 'alpha']);
});
