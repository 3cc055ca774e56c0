import { expect, it } from 'vitest';
import { treatmentLines } from '../../../src/merge/plan/treatment-table.ts';
import type { TreatmentRow } from '../../../src/recipe/policy/table.ts';

const row = (given: Partial<TreatmentRow>): TreatmentRow => ({
  role: 'expert',
  mtp: false,
  tensors: 1024,
  bytes: 2_000_000,
  treatment: 'average, sma',
  policy: null,
  ...given,
});

it('shows what is treated how, and by which policy', () => {
  expect(
    treatmentLines([
      row({}),
      row({ role: 'router', tensors: 4, bytes: 900, treatment: 'newest, step 4000', policy: 'role=router:use=newest' }),
      row({ role: null, mtp: true, tensors: 1, treatment: 'left out', policy: 'name=\u001b[1m*:use=drop' }),
    ]),
  ).toEqual([
    '  role           tensors     size  treatment          policy',
    '  experts          1,024  2.00 MB  average, sma',
    '  router               4    900 B  newest, step 4000  role=router:use=newest',
    '  unknown (mtp)        1  2.00 MB  left out           name=\\x1b[1m*:use=drop',
  ]);
});

it('has no column for policies where there are none', () => {
  expect(treatmentLines([row({}), row({ role: 'buffer', treatment: 'equal in all, copied' })])[0]).toBe(
    '  role     tensors     size  treatment',
  );
});

it('says nothing where all is treated alike by default, and something where a policy says so', () => {
  expect(treatmentLines([row({}), row({ role: 'norm' })])).toEqual([]);
  expect(treatmentLines([])).toEqual([]);
  expect(treatmentLines([row({ policy: 'name=*:use=average' })])).toHaveLength(2);
});
