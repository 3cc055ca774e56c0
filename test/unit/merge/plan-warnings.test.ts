import { expect, test } from 'vitest';
import type { Warning } from '../../../src/base/errors.ts';
import type { PlanOutput } from '../../../src/merge/plan/types.ts';
import { planWarnings } from '../../../src/merge/plan/warnings.ts';

const warning: Warning = { code: 'W_TRAINER_STATE', message: 'says step 5' };
/** An output whose selection warns, as far as warnings go. */
const output = (path: string, warnings: readonly Warning[]) =>
  ({ path, warnings, schedule: { warnings: [] }, selection: { warnings: [warning] } }) as unknown as PlanOutput;

test('what an output says twice is said once, and without its path where there is no other', () => {
  expect(planWarnings([output('out', [warning, warning])])).toEqual([warning]);
  expect(planWarnings([output('a', [warning, warning]), output('b', [])])).toEqual([{ ...warning, message: 'a: says step 5' }]);
  expect(planWarnings([output('a', [warning]), output('b', [warning])])).toEqual([warning]);
});
