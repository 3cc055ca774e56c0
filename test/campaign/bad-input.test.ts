import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { type HostileCase, type HostileOutcome, pooled, runCase } from '../support/hostile-case.ts';
import { HOSTILE_CONFLICTS } from '../support/hostile-conflicts.ts';
import { HOSTILE_INPUTS } from '../support/hostile-inputs.ts';
import { HOSTILE_MERGES, removeMerges } from '../support/hostile-merges.ts';
import { HOSTILE_MOE } from '../support/hostile-moe.ts';
import { HOSTILE_OUTPUTS } from '../support/hostile-outputs.ts';
import { HOSTILE_USAGE } from '../support/hostile-usage.ts';

const GROUPS: Readonly<Record<string, readonly HostileCase[]>> = {
  'damaged and hostile inputs': HOSTILE_INPUTS,
  'command lines that make no sense': HOSTILE_USAGE,
  'inputs that do not fit each other': HOSTILE_CONFLICTS,
  'mixtures of experts, policies, quantised weights': HOSTILE_MOE,
  'outputs that cannot be made': HOSTILE_OUTPUTS,
  'merges that are not what they say': HOSTILE_MERGES,
};
const CASES = Object.values(GROUPS).flat();

/** Cases run at the same time. */
const WIDTH = 4;
/** Every so many cases one is run without `--json` as well. */
const PLAIN_EVERY = 10;

const done: HostileOutcome[] = [];

describe('what bad input gets', () => {
  it.each(Object.entries(GROUPS))(
    '%s: refused by code, file and tensor, and nothing is touched',
    async (_, cases) => {
      const possible = cases.filter((hostile) => hostile.skip == null);
      const outcomes = await pooled(possible, WIDTH, (hostile, i) => runCase(hostile, i % PLAIN_EVERY === 0));
      done.push(...outcomes);
      const failed = outcomes.filter(({ problems }) => problems.length > 0);
      expect(failed.map(({ case: { code, place, what }, problems }) => [code, place, what, ...problems].join('\n  ')).join('\n\n')).toBe(
        '',
      );
    },
    CAMPAIGN_MS,
  );

  it('has at least 120 distinct cases of code and place, 40 of them of experts, policies and quantisation', () => {
    const keys = CASES.map(({ code, place }) => `${code} ${place}`);
    expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
    expect(keys.length).toBeGreaterThanOrEqual(120);
    expect(HOSTILE_MOE.length).toBeGreaterThanOrEqual(40);
  });
});

afterAll(() => {
  removeMerges();
  const rows = done.map(({ case: { code, exit, place, what }, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(24), String(exit), place.padEnd(60), what.slice(0, 70)].join('  '),
  );
  const skipped = CASES.filter(({ skip }) => skip != null).map(({ code, place, skip }) => `skip  ${code}  ${place}: ${skip}`);
  process.stdout.write(`${[`${rows.length} cases (code, exit code, place, fault):`, ...rows, ...skipped].join('\n')}\n`);
});
