import { expect, test } from 'vitest';
import { classifier } from '../../src/model/roles/classify.ts';
import { missingHead } from '../../src/model/roles/headless.ts';
import { architectures, misread } from '../support/architectures.ts';
import { opened } from '../support/tiny-models.ts';

test('every architecture of transformers: nothing is refused by names, and layers and experts are those of its configuration', () => {
  const models = architectures();
  expect(models.flatMap(misread)).toEqual([]);
  expect(models.length).toBeGreaterThan(600);
});

test("of no architecture is a block's learned scale taken for one of quantised weights, where some of them are quantised", () => {
  const context = { layers: null, experts: null, family: null };
  const taken = architectures().flatMap(({ family, tensors }) => {
    const [beside, alone] = [true, false].map((codes) => classifier({ ...context, codes }));
    return Object.entries(tensors).flatMap(([name, { dtype, shape }]) => {
      const { role } = beside!(name, dtype, shape);
      return role === null && alone!(name, dtype, shape).role !== null ? [`${family}: ${name}`] : [];
    });
  });
  expect(taken).toEqual([]);
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
