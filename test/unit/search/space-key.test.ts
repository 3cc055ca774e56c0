import { expect, it } from 'vitest';
import { ownParts, type RecipeIdentity, recipeKey } from '../../../src/search/space/key.ts';

const plain: RecipeIdentity = {
  candidate: { weights: [0, 0.25, 0.75], parts: [] },
  fingerprints: ['a', 'b', 'c'],
  policies: ['role=norm:use=newest'],
  dtype: null,
};
const weighed = (weights: number[], parts: { role: string; weights: number[] }[] = []): RecipeIdentity => ({
  ...plain,
  candidate: { weights, parts },
});

it('is a digest in hexadecimal, the same whenever it is asked', () => {
  expect(recipeKey(plain)).toMatch(/^[0-9a-f]{64}$/);
  expect(recipeKey(structuredClone(plain))).toBe(recipeKey(plain));
});

it.each<[string, RecipeIdentity]>([
  ['a negative zero', weighed([-0, 0.25, 0.75])],
  ['a larger pool', { ...plain, candidate: { weights: [0, 0, 0.25, 0.75, 0], parts: [] }, fingerprints: ['x', 'a', 'b', 'c', 'd'] }],
  ['a pool without the member that takes no part', { ...plain, candidate: { weights: [0.25, 0.75], parts: [] }, fingerprints: ['b', 'c'] }],
  ['a part weighed as the rest', weighed([0, 0.25, 0.75], [{ role: 'routers', weights: [0, 0.25, 0.75] }])],
  ['a part weighed as the rest, but for a sign of 0', weighed([0, 0.25, 0.75], [{ role: 'routers', weights: [-0, 0.25, 0.75] }])],
])('is the same with %s', (_, other) => {
  expect(recipeKey(other)).toBe(recipeKey(plain));
});

it('is another for everything that changes the merge', () => {
  const others: RecipeIdentity[] = [
    plain,
    weighed([0, 0.75, 0.25]),
    weighed([0, 0.25, 0.7500000000000001]),
    weighed([0.25, 0.75, 0]),
    weighed([Number.MIN_VALUE, 0.25, 0.75]),
    weighed([0, -0.25, 0.75]),
    { ...plain, fingerprints: ['a', 'b', 'd'] },
    { ...plain, fingerprints: ['a', 'c', 'b'] },
    { ...plain, policies: [] },
    { ...plain, policies: ['role=norm:use=newest', 'role=router:use=newest'] },
    { ...plain, dtype: 'BF16' },
    weighed([0, 0.25, 0.75], [{ role: 'routers', weights: [0, 0, 1] }]),
    weighed([0, 0.25, 0.75], [{ role: 'routers', weights: [1, 0, 0] }]),
    weighed([0, 0.25, 0.75], [{ role: 'norms', weights: [0, 0, 1] }]),
  ];
  expect(new Set(others.map(recipeKey)).size).toBe(others.length);
});

it('keeps a part that takes tensors from one after it', () => {
  const weights = [0.5, 0.5];
  const alike = (role: string) => ({ role, weights: [0.5, 0.5] });
  const own = (role: string) => ({ role, weights: [0, 1] });
  const roles = (...parts: { role: string; weights: number[] }[]) => ownParts({ weights, parts }).map(({ role }) => role);
  expect(roles(alike('router'), own('routers'))).toEqual(['router', 'routers']);
  expect(roles(alike('mtp'), own('norms'))).toEqual(['mtp', 'norms']);
  expect(roles(alike('norms'), own('routers'), alike('router'))).toEqual(['routers']);
  expect(roles(alike('mtp'), alike('norms'))).toEqual([]);
});
