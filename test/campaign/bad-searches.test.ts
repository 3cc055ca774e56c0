import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { type HostileOutcome, pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_SEARCH } from '../support/hostile-search.ts';
import { HOSTILE_STUDIES } from '../support/hostile-studies.ts';

const GROUPS = {
  'requests that make no sense': HOSTILE_SEARCH,
  'evaluators, servers, samplers and folders that let it down': HOSTILE_STUDIES,
};
const CASES = Object.values(GROUPS).flat();
/** Cases run at the same time. */
const WIDTH = 4;
/** Every so many cases one is run without `--json` as well. */
const PLAIN_EVERY = 10;

const done: HostileOutcome[] = [];

describe('what bad searches, soups and forecasts get', () => {
  it.each(Object.entries(GROUPS))(
    '%s: a refusal by code that says what is wrong, and nothing is touched',
    async (_, cases) => {
      const outcomes = await pooled(cases, WIDTH, (hostile, i) => runCase(hostile, i % PLAIN_EVERY === 0));
      done.push(...outcomes);
      const failed = outcomes.filter(({ problems }) => problems.length > 0);
      expect(failed.map(({ case: { code, place, what }, problems }) => [code, place, what, ...problems].join('\n  ')).join('\n\n')).toBe(
        '',
      );
    },
    CAMPAIGN_MS,
  );

  it('has at least 40 distinct cases of code and place', () => {
    expect(new Set(CASES.map(({ code, place }) => `${code} ${place}`)).size).toBe(CASES.length);
    expect(CASES.length).toBeGreaterThanOrEqual(40);
  });
});

afterAll(() => {
  const rows = done.map(({ case: { code, exit, place, what }, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(24), String(exit), place.padEnd(56), what.slice(0, 70)].join('  '),
  );
  process.stdout.write(`${[`${rows.length} cases (code, exit code, place, fault):`, ...rows].join('\n')}\n`);
});
