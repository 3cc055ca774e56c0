import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { type HostileOutcome, pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_GRIDS } from '../support/hostile-grids.ts';
import { HOSTILE_KEEPS } from '../support/hostile-keeps.ts';

/** Cases run at the same time; every so many is run without `--json` as well. */
const [WIDTH, PLAIN_EVERY] = [4, 8];

const CASES = [...HOSTILE_GRIDS, ...HOSTILE_KEEPS];
const done: HostileOutcome[] = [];

describe('what bad grids and plans of saves get', () => {
  it(
    'a refusal by code that says what is wrong, and nothing is touched',
    async () => {
      done.push(...(await pooled(CASES, WIDTH, (hostile, i) => runCase(hostile, i % PLAIN_EVERY === 0))));
      const failed = done.filter(({ problems }) => problems.length > 0);
      expect(failed.map(({ case: { code, place }, problems }) => [code, place, ...problems].join('\n  ')).join('\n\n')).toBe('');
    },
    CAMPAIGN_MS,
  );

  it('has at least 40 and 25 distinct cases of code and place', () => {
    expect(new Set(CASES.map(({ code, place }) => `${code} ${place}`)).size).toBe(CASES.length);
    expect(HOSTILE_GRIDS.length).toBeGreaterThanOrEqual(40);
    expect(HOSTILE_KEEPS.length).toBeGreaterThanOrEqual(25);
  });
});

afterAll(() => {
  const rows = done.map(({ case: { code, exit, place }, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(24), String(exit), place].join('  '),
  );
  process.stdout.write(`${[`${rows.length} cases (code, exit code, place):`, ...rows].join('\n')}\n`);
});
