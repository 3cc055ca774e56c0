import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { type HostileOutcome, pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_RUNS } from '../support/hostile-runs.ts';

/** Cases run at the same time. */
const WIDTH = 4;
/** Every so many cases one is run without `--json` as well. */
const PLAIN_EVERY = 10;

let done: readonly HostileOutcome[] = [];

describe('what bad runs, selections, schedules and recipes get', () => {
  it(
    'a refusal by code that says what is wrong, and nothing is touched',
    async () => {
      done = await pooled(HOSTILE_RUNS, WIDTH, (hostile, i) => runCase(hostile, i % PLAIN_EVERY === 0));
      const failed = done.filter(({ problems }) => problems.length > 0);
      expect(failed.map(({ case: { code, place, what }, problems }) => [code, place, what, ...problems].join('\n  ')).join('\n\n')).toBe(
        '',
      );
    },
    CAMPAIGN_MS,
  );

  it('has at least 40 distinct cases of code and place', () => {
    expect(new Set(HOSTILE_RUNS.map(({ code, place }) => `${code} ${place}`)).size).toBe(HOSTILE_RUNS.length);
    expect(HOSTILE_RUNS.length).toBeGreaterThanOrEqual(40);
  });
});

afterAll(() => {
  const rows = done.map(({ case: { code, exit, place, what }, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(24), String(exit), place.padEnd(52), what.slice(0, 70)].join('  '),
  );
  process.stdout.write(`${[`${rows.length} cases (code, exit code, place, fault):`, ...rows].join('\n')}\n`);
});
