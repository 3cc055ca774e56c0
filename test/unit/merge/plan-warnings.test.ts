import { expect, test } from 'vitest';
import type { Warning } from '../../../src/base/errors.ts';
import type { PlanOutput } from '../../../src/merge/plan/types.ts';
import { planWarnings, severalAsOne } from '../../../src/merge/plan/warnings.ts';

const warning: Warning = { code: 'W_TRAINER_STATE', message: 'says step 5' };
/** An output whose selection warns, as far as warnings go. */
const output = (path: string, warnings: readonly Warning[]) =>
  ({ path, warnings, schedule: { warnings: [] }, selection: { warnings: [warning] } }) as unknown as PlanOutput;

test('what an output says twice is said once, and without its path where there is no other', () => {
  expect(planWarnings([output('out', [warning, warning])])).toEqual([warning]);
  expect(planWarnings([output('a', [warning, warning]), output('b', [])])).toEqual([{ ...warning, message: 'a: says step 5' }]);
  expect(planWarnings([output('a', [warning]), output('b', [warning])])).toEqual([warning]);
});

test('what each of many outputs says with figures of its own is one warning, of how many and of the first', () => {
  const own = (i: number): Warning => ({
    code: 'W_OLDEST_HEAVIEST',
    message: `ema with alpha = ${i / 1000} gives the oldest of ${3 + (i % 2)} members 0.${90 - i}`,
  });
  const outputs = Array.from({ length: 30 }, (_, i) => {
    const mine = own(i);
    return { path: `grid/out${i}`, warnings: [mine], schedule: { warnings: [mine] }, selection: null } as unknown as PlanOutput;
  });
  expect(planWarnings(outputs)).toEqual([
    {
      code: 'W_OLDEST_HEAVIEST',
      message: `30 outputs, each with figures of its own (grid/out0, grid/out1, grid/out2 and 27 more); of grid/out0: ${own(0).message}`,
    },
  ]);
  // Of three each is told, and what is of another form is another thing.
  expect(planWarnings(outputs.slice(0, 3)).map(({ message }) => message.slice(0, 9))).toEqual(['grid/out0', 'grid/out1', 'grid/out2']);
  const other: Warning = { code: 'W_OLDEST_HEAVIEST', message: 'ema with a half-life of 5B' };
  const last = { ...outputs[0]!, path: 'grid/other', warnings: [other], schedule: { warnings: [other] } } as unknown as PlanOutput;
  expect(planWarnings([...outputs, last]).map(({ message }) => message)).toEqual([
    expect.stringMatching(/^30 outputs/),
    'grid/other: ema with a half-life of 5B',
  ]);
});

test('what was found of many outputs by name is one warning, too', () => {
  const found = Array.from({ length: 5 }, (_, i) => ({
    of: [`grid/w${i}`],
    named: true,
    warning: { code: 'W_SATURATED', message: `role mlp in grid/w${i}: ${i + 1} values` } as Warning,
  }));
  expect(severalAsOne(found)).toEqual([
    {
      code: 'W_SATURATED',
      message: '5 outputs, each with figures of its own (grid/w0, grid/w1, grid/w2 and 2 more); of grid/w0: role mlp in grid/w0: 1 values',
    },
  ]);
});
