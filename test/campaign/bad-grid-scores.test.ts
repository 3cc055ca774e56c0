import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { type HostileOutcome, pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_GRID_SCORES } from '../support/hostile-grid-scores.ts';

/** Cases run at the same time; every so many is run without `--json` as well. */
const [WIDTH, PLAIN_EVERY] = [4, 8];

const done: HostileOutcome[] = [];

describe('what bad requests for scores of a grid get', () => {
  it(
    'a refusal by code that says what is wrong, and nothing is touched',
    async () => {
      done.push(...(await pooled(HOSTILE_GRID_SCORES, WIDTH, (hostile, i) => runCase(hostile, i % PLAIN_EVERY === 0))));
      const failed = done.filter(({ problems }) => problems.length > 0);
      expect(failed.map(({ case: { code, place }, problems }) => [code, place, ...problems].join('\n  ')).join('\n\n')).toBe('');
    },
    CAMPAIGN_MS,
  );

  it('has at least 20 distinct cases of code and place', () => {
    expect(new Set(HOSTILE_GRID_SCORES.map(({ code, place }) => `${code} ${place}`)).size).toBe(HOSTILE_GRID_SCORES.length);
    expect(HOSTILE_GRID_SCORES.length).toBeGreaterThanOrEqual(20);
  });
});

afterAll(() => {
  const rows = done.map(({ case: { code, exit, place }, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(24), String(exit), place].join('  '),
  );
  process.stdout.write(`${[`${rows.length} cases (code, exit code, place):`, ...rows].join('\n')}\n`);
});
