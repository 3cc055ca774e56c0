import { expect, it } from 'vitest';
import { requestDigest } from '../../../src/merge/plan/request-digest.ts';
import type { Recipe } from '../../../src/recipe/types.ts';

const recipe: Recipe = {
  inputs: ['run'],
  outputs: [{ path: 'merged', select: { last: 10 }, policies: [{ role: 'router', use: 'newest' }], weights: [0.1, 1 / 3] }],
};

it('is the same however the entries of the recipe are ordered, and whatever is left out by name', () => {
  const [{ path, ...output }] = recipe.outputs as [Recipe['outputs'][number]];
  const other = { outputs: [{ ...output, dtype: undefined, path }], like: undefined, inputs: ['run'] };
  expect(requestDigest(other, '/mnt/b/merged')).toBe(requestDigest(recipe, 'merged'));
  expect(requestDigest(recipe, 'merged')).toMatch(/^[0-9a-f]{64}$/);
});

it('is another one for another output, and for anything else that was written otherwise', () => {
  const output = recipe.outputs[0]!;
  const others: Recipe[] = [
    { ...recipe, inputs: ['run2'] },
    { ...recipe, inputs: ['run', 'run2'] },
    { ...recipe, allowUnknown: true },
    { ...recipe, outputs: [{ ...output, select: { last: 9 } }] },
    { ...recipe, outputs: [{ ...output, weights: [1 / 3, 0.1] }] },
    { ...recipe, outputs: [{ ...output, policies: [{ role: 'router', use: 'oldest' }] }] },
    { ...recipe, outputs: [output, { path: 'second' }] },
  ];
  const digests = [...others.map((r) => requestDigest(r, 'merged')), requestDigest(recipe, 'merged'), requestDigest(recipe, 'merged2')];
  expect(new Set(digests).size).toBe(digests.length);
});
