import { expect, it } from 'vitest';
import { globMatches, globParts } from '../../../src/base/glob.ts';

const matches = (glob: string, text: string) => globMatches(globParts(glob), text);

it.each([
  ['*', ''],
  ['**', 'a.b'],
  ['a*c', 'ac'],
  ['a*c', 'abcbc'],
  ['*.mlp.*.weight', 'model.layers.0.mlp.up_proj.weight'],
  ['?b?', 'abc'],
  ['?', '😀'],
  ['a.[x]', 'a.[x]'],
  ['*ab', 'aab'],
  ['*a*b*', 'line\nab'],
])('%s is %s', (glob, text) => {
  expect(matches(glob, text)).toBe(true);
});

it.each([
  ['', 'a'],
  ['a', ''],
  ['?', ''],
  ['a*c', 'abcb'],
  ['a.c', 'abc'],
  ['*ab', 'aba'],
  ['a*a', 'a'],
  ['A', 'a'],
])('%s is not %s', (glob, text) => {
  expect(matches(glob, text)).toBe(false);
});

it('takes no power of the length of a text', () => {
  const began = performance.now();
  expect(matches('*a'.repeat(20), `${'a'.repeat(1e5)}b`)).toBe(false);
  expect(performance.now() - began).toBeLessThan(5000);
});
