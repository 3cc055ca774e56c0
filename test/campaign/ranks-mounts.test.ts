import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { contentOf } from '../support/faults-merge.ts';
import { inOwnMounts, NO_MOUNTS } from '../support/faults-shell.ts';
import { hiddenIn, rankedRun, removeRuns, startRank } from '../support/ranks.ts';

const reason = NO_MOUNTS ?? withoutFuse();
if (reason !== null) console.log(`ranks on mounts of their own are skipped: ${reason}`);

afterAll(removeRuns);

function withoutFuse(): string | null {
  if (!existsSync('/dev/fuse')) return 'there is no FUSE here';
  const there = (process.env.PATH ?? '').split(':').some((folder) => folder !== '' && existsSync(join(folder, 'bindfs')));
  return there ? null : 'there is no bindfs: apt-get install bindfs';
}

/** What a process sees that has a folder through a file system of its own, as two machines that mount one have it. */
const mounted = (folder: string): string =>
  inOwnMounts(
    `bindfs --no-allow-other -o nonempty ${folder} ${folder} && stat -c %d ${folder} >${folder}/devices/$$ && "$@"; code=$?; umount -l ${folder}; exit $code`,
  );

/** All files but the record, which says by how many ranks it was made. */
function weights(out: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(contentOf(out)).filter(([name]) => name !== 'merge_provenance.json'));
}

describe.skipIf(reason !== null)('ranks whose mounts of one file system have other numbers', () => {
  it.each([
    ['the first of them too', [true, true, true]],
    ['the first one alone sees it as it is', [false, true, true]],
    ['the last one alone sees it as it is', [true, true, false]],
  ])(
    'make what one process makes: %s',
    async (_, through) => {
      const { folder, out, recipe } = rankedRun();
      expect(await startRank(recipe, { rank: 0, size: 1 }).ended).toMatchObject({ schema: 'ckpt-merge/average' });
      const wanted = weights(out);
      rmSync(out, { recursive: true });
      const devices = join(folder, 'devices');
      const ranks = through.map((mount, rank) =>
        startRank(recipe, { rank, size: 3, timeout: 5, ...(mount ? { shell: `mkdir -p ${devices}; ${mounted(folder)}` } : {}) }),
      );
      for (const { ended } of ranks) expect(await ended).toMatchObject({ schema: 'ckpt-merge/average' });
      expect(weights(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
      // The numbers were others indeed.
      const seen = readdirSync(devices).map((name) => readFileSync(join(devices, name), 'utf8').trim());
      expect(seen).toHaveLength(through.filter((mount) => mount).length);
      expect(seen).not.toContain(String(statSync(folder).dev));
      // The same command finds it done, from either side.
      expect(await startRank(recipe, { rank: 1, size: 3 }).ended).toMatchObject({ finished: [out] });
      expect(await startRank(recipe, { rank: 1, size: 3, shell: mounted(folder) }).ended).toMatchObject({ finished: [out] });
    },
    CAMPAIGN_MS,
  );
});
