import { expect, it } from 'vitest';
import type { Conflict } from '../../../src/base/errors.ts';
import { refusal, refuse } from '../../../src/base/problems.ts';

const several = (count: number) => `${count} things`;
const missing: Conflict = { code: 'E_TENSOR_MISSING', message: 'a is missing', file: 'f', tensor: 'a' };

it('no problem is none', () => {
  expect(refuse([], { several })).toBe(undefined);
});

it('one problem is the headline, with its help', () => {
  const problem = { path: ['alpha'], message: 'alpha is 2', help: 'At most 1.' };
  expect(refusal([problem], { several, code: 'E_SPACE', lead: 'run: ' })).toMatchObject({
    code: 'E_SPACE',
    message: 'run: alpha is 2',
    help: 'At most 1.',
    details: { conflicts: [{ code: 'E_SPACE', message: 'alpha is 2' }] },
  });
});

it('several keep their codes, and share one where they can', () => {
  expect(refusal([missing, missing], { several })).toMatchObject({
    code: 'E_TENSOR_MISSING',
    message: '2 things',
    details: { file: 'f', tensor: 'a', conflicts: [missing, missing] },
  });
  expect(refusal([missing, { ...missing, code: 'E_SHAPE' }], { several }).code).toBe('E_CONFLICTS');
  expect(refusal([{ code: 'E_POLICY', message: 'b' }, 'c'], { several }).code).toBe('E_OPTION');
});

it('what must be mended first decides the code', () => {
  const exists: Conflict = { code: 'E_OUTPUT_EXISTS', message: 'out is there', file: 'out' };
  const refused = refusal([exists, missing, { code: 'E_POLICY', message: 'p' }], { several });
  expect(refused).toMatchObject({ code: 'E_POLICY', exitCode: 2 });
  expect(refused.details.conflicts!.map(({ code }) => code)).toEqual(['E_POLICY', 'E_TENSOR_MISSING', 'E_OUTPUT_EXISTS']);
});
