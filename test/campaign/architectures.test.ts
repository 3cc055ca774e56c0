import { expect, test } from 'vitest';
import { missingHead } from '../../src/model/roles/headless.ts';
import { architectures, misread } from '../support/architectures.ts';
import { opened } from '../support/tiny-models.ts';

test('every architecture of transformers: nothing is refused by names, and layers and experts are those of its configuration', () => {
  const models = architectures();
  expect(models.flatMap(misread)).toEqual([]);
  expect(models.length).toBeGreaterThan(600);
});

test('of no architecture is a head missed, if all of them were to generate from several parts', async () => {
  // Jev decides, and has a classifier in the place of a head.
  const generating = architectures().filter(({ family }) => family !== 'jev');
  const said = generating.map((model) => {
    const config = { ...model.config, architectures: [`${model.family}ForConditionalGeneration`] };
    return missingHead(...opened({ ...model, config }));
  });
  expect((await Promise.all(said)).flat()).toEqual([]);
});
