import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FAST_SCORE, removePlaces, runDisturbed, searchPlace, searchWords, trialsOf } from '../support/searching.ts';

afterAll(removePlaces);

describe.concurrent('an evaluator', () => {
  it('that fails on the first model ends the search with its log; mended, the same command works', async () => {
    const place = searchPlace();
    const mended = join(place.folder, 'mended');
    const words = searchWords(place, { eval: `[ -e ${mended} ] || { echo no module named torch >&2; exit 1; }; ${FAST_SCORE}` });
    const { code, stderr } = await runDisturbed(words);
    expect(code).toBe(1);
    expect(stderr).toContain('error[E_EVALUATOR]: the first evaluation failed: it ended with exit code 1');
    expect(trialsOf(place)).toHaveLength(1);
    expect(stderr).toContain('no module named torch');
    expect(stderr).toContain(join(place.dir, 'logs/trial-0000.log'));
    expect(existsSync(place.out)).toBe(false);
    writeFileSync(mended, '');
    expect((await runDisturbed(words)).code).toBe(0);
  });

  it('that skips every trial leaves nothing to choose from', async () => {
    const place = searchPlace();
    const { code, stderr } = await runDisturbed(searchWords(place, { eval: 'exit 125' }));
    expect(code).toBe(1);
    expect(stderr).toContain('error[E_NO_TRIAL]');
  });

  it('that gives several metrics ends the search with their names, and what it wrote stays', async () => {
    const place = searchPlace();
    const results = JSON.stringify({
      results: { arc: { 'acc,none': 0.5 }, boolq: { 'acc,none': 0.25 } },
      higher_is_better: {},
      configs: {},
    });
    const { code, stderr } = await runDisturbed(
      searchWords(place, { eval: `echo '${results}' > {out}/results_2026-01-01T00-00-00.json; : {model}` }),
    );
    expect(code, stderr).toBe(2);
    expect(stderr).toContain('error[E_METRIC]');
    expect(stderr).toContain('arc/acc');
    expect(readdirSync(join(place.dir, 'results/trial-0000/1'))).toHaveLength(1);
  });
});
