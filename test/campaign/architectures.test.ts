import { expect, test } from 'vitest';
import { architectures, misread } from '../support/architectures.ts';

test('every architecture of transformers: nothing is refused by names, and layers and experts are those of its configuration', () => {
  const models = architectures();
  expect(models.flatMap(misread)).toEqual([]);
  expect(models.length).toBeGreaterThan(600);
});
