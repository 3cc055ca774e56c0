import pc from 'picocolors';
import { expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { asFailure, errorDocument, errorText, warningText } from '../../../src/render/error-text.ts';
import { printable } from '../../../src/render/format.ts';

const plain = pc.createColors(false);
const NAME = `model.${'x'.repeat(5_000_000)}.weight`;

it('a name of megabytes is shown by its ends, with its length, in messages and tables; documents hold it whole', () => {
  const error = asFailure(new MergeError('E_SHAPE', `tensor ${NAME} is [1] and [2]`, { details: { tensor: NAME } }));
  const text = errorText(error, plain, false);
  expect(text.length).toBeLessThan(2000);
  expect(text).toContain('x.weight (5,000,013 characters) is [1] and [2]');
  expect(warningText({ code: 'W_LEFT_OUT', message: `tensor ${NAME}: left out` }, plain).length).toBeLessThan(1000);
  expect(printable(NAME)).toMatch(/^model\.x+….*weight \(5,000,013 characters\)$/);
  expect(JSON.stringify(errorDocument(error))).toContain(NAME);
});

it('whatever words a name is made of', () => {
  expect(printable('ab '.repeat(1_000_000)).length).toBeLessThan(1000);
});

it('names and paths of ordinary length stay as they are', () => {
  const path = `/data/${'folder/'.repeat(300)}model.safetensors`;
  expect(printable(path)).toBe(path);
  expect(printable('y'.repeat(300))).toBe('y'.repeat(300));
});
