import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { contentOf } from '../support/faults-merge.ts';
import { hiddenIn, rankedRun, removeRuns, startRank } from '../support/ranks.ts';

afterAll(removeRuns);

/** All files but the record, which says by how many ranks it was made. */
function weights(out: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(contentOf(out)).filter(([name]) => name !== 'merge_provenance.json'));
}

describe('ranks whose clients take it at their own word that a name is not there, as those of NFS do', () => {
  it.each([2, 3, 5])(
    'see what the others write and publish: %i of them',
    async (size) => {
      const { folder, out, recipe } = rankedRun();
      expect(await startRank(recipe, { rank: 0, size: 1 }).ended).toMatchObject({ schema: 'ckpt-merge/average' });
      const wanted = weights(out);
      rmSync(out, { recursive: true });
      const signs = join(folder, 'signs');
      mkdirSync(signs);
      const ready = Array.from({ length: size }, (_, rank) => join(signs, `ready-${rank}`));
      const awaits = join(signs, 'go');
      const ranks = ready.map((path, rank) => startRank(recipe, { rank, size, timeout: 10, ready: path, awaits, nfs: true }));
      await vi.waitFor(() => expect(ready.every((path) => existsSync(path))).toBe(true), { timeout: 60_000 });
      writeFileSync(awaits, '');
      for (const { ended } of ranks) expect(await ended).toMatchObject({ schema: 'ckpt-merge/average' });
      expect(weights(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
      expect(await startRank(recipe, { rank: 1, size, nfs: true }).ended).toMatchObject({ finished: [out] });
    },
    CAMPAIGN_MS,
  );
});
