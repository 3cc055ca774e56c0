import { expect, it } from 'vitest';
import { pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_CONFLICTS } from '../support/hostile-conflicts.ts';
import { HOSTILE_INPUTS } from '../support/hostile-inputs.ts';
import { HOSTILE_MOE } from '../support/hostile-moe.ts';
import { HOSTILE_OUTPUTS } from '../support/hostile-outputs.ts';
import { HOSTILE_RUNS } from '../support/hostile-runs.ts';
import { HOSTILE_SEARCH } from '../support/hostile-search.ts';
import { HOSTILE_USAGE } from '../support/hostile-usage.ts';

const TABLES = [HOSTILE_INPUTS, HOSTILE_USAGE, HOSTILE_CONFLICTS, HOSTILE_MOE, HOSTILE_OUTPUTS, HOSTILE_RUNS, HOSTILE_SEARCH];
/** Cases run at the same time. */
const WIDTH = 4;

// All cases are a campaign (test/campaign/bad-*.test.ts).
it('bad input is refused by code, file and tensor, and nothing is touched: the first case of each code', async () => {
  const possible = TABLES.flat().filter(({ skip }) => skip == null);
  const first = possible.filter(({ code }, i) => possible.findIndex((other) => other.code === code) === i);
  const outcomes = await pooled(first, WIDTH, (hostile) => runCase(hostile, false));
  const failed = outcomes.filter(({ problems }) => problems.length > 0);
  expect(failed.map(({ case: { code, place, what }, problems }) => [code, place, what, ...problems].join('\n  ')).join('\n\n')).toBe('');
  expect(first.length).toBeGreaterThan(30);
});
