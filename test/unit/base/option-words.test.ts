import { expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode, MergeError } from '../../../src/base/errors.ts';
import { asFailure } from '../../../src/render/error-text.ts';

it('the help of an error names options as the library has them, and as the command line has them where that prints it', () => {
  const error = new MergeError('E_STAGES', 'two stages');
  expect(error.help).toBe('Select one with `stage`, or add `allowStages`.');
  expect(asFailure(error).help).toBe('Select one with --stage, or add --allow-stages.');
});

it.each([
  ["Say so with --policy 'name=NAME:use=average'.", "Say so with `policies` 'name=NAME:use=average'."],
  ['Name them with --input; see `merge verify --help`.', 'Name them with `inputs`; see `merge verify --help`.'],
  ['Add --goal maximize (an accuracy).', 'Add `goal` maximize (an accuracy).'],
  ['With --repeats=3 --, or a--b.', 'With `repeats`=3 --, or a--b.'],
])('commands and other programs’ options stay: %s', (written, read) => {
  expect(new MergeError('E_OPTION', 'x', { help: written }).help).toBe(read);
});

it('no code’s advice has an option of the command line for a caller of the library', () => {
  const helps = (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => new MergeError(code, 'x').help.replace(/`[^`]*`/g, ''));
  expect(helps.filter((help) => /(^|\s)--[a-z]/.test(help))).toEqual([]);
});
