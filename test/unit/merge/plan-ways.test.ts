import { expect, test } from 'vitest';
import { type Conflict, ERROR_CODES, type ErrorCode } from '../../../src/base/errors.ts';
import { waysThrough } from '../../../src/merge/plan/ways.ts';

const conflicts = (...codes: ErrorCode[]): Conflict[] => codes.map((code) => ({ code, message: code }));
const ALLOWED = Object.entries(ERROR_CODES).flatMap(([code, { help }]) => {
  const option = /--allow-[\w-]+/.exec(help)?.[0];
  return option === undefined ? [] : [[code as ErrorCode, option] as const];
});

test.each(ALLOWED)('what the help of %s advises, %s, is among the options that clear several', (code, option) => {
  expect(waysThrough(conflicts(code, 'E_OUTPUT_EXISTS')).help).toContain(`${option} --force together allow it`);
});

test('one kind has its own help, and so has what no option clears', () => {
  expect(waysThrough(conflicts('E_MIXED_DTYPES', 'E_MIXED_DTYPES'))).toEqual({});
  expect(waysThrough(conflicts('E_MIXED_DTYPES', 'E_SHAPE'))).toEqual({});
  expect(waysThrough(conflicts('E_MIXED_DTYPES', 'E_MIXED_QUANTISATION')).help).toMatch(/--allow-mixed-dtypes allows it/);
});
