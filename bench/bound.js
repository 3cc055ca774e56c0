/**
 * Fraction of the bound T >= N S / B_read + S / B_write at the same thread count, page cache hot. B_read is
 * the faster of 256 KiB preads and a mapped scan over the same files, B_write 1 MiB pwrites into a
 * preallocated fresh file; probes and merges take turns, best of each.
 */
import { rmSync } from 'node:fs';
import { bytesOf } from './support/context.js';
import { mergeRaw } from './support/engine.js';
import { interleaved, spread, summaries, table } from './support/measure.js';

const GOAL = { one: 0.6, all: 0.75 };

/** @param {import('./support/context.js').Context} context */
export default async function bound(context) {
  const { binding, cores, rounds } = context;
  const results = [];
  for (const members of [4, 10]) {
    const checkpoints = await context.llamas(members);
    const paths = checkpoints.flatMap((c) => c.paths);
    const size = bytesOf(checkpoints[0]);
    const inputs = checkpoints.map((c) => c.dir);
    const weights = [new Array(members).fill(1 / members)];
    for (const threads of new Set([1, cores])) {
      const probe = async (/** @type {'read' | 'map'} */ mode) => {
        let seconds = 0;
        for (const path of paths) seconds += (await binding.probeRead(path, mode, threads, 256 << 10)).seconds;
        return seconds;
      };
      const seconds = await interleaved(
        rounds,
        {
          read: () => probe('read'),
          map: () => probe('map'),
          write: async () => {
            const path = context.output();
            const result = await binding.probeWrite(path, size, threads);
            rmSync(path, { force: true });
            return result.seconds;
          },
          merge: () => context.average({ inputs, threads }),
          engine: async () =>
            (await mergeRaw(binding, { inputs: checkpoints.map((c) => c.paths), outDir: context.dir, weights, threads })).seconds,
          synced: () => context.average({ inputs, threads, sync: true }),
        },
        () => context.prime(size),
      );
      const s = summaries(seconds);
      const read = Math.min(s.read.best, s.map.best);
      const best = read + s.write.best;
      results.push({
        members,
        threads,
        size,
        boundSeconds: best,
        fraction: best / s.merge.best,
        engineFraction: best / s.engine.best,
        syncedFraction: best / s.synced.best,
        seconds: s,
      });
    }
  }
  table(
    results.map((r) => ({
      'N, threads': `${r.members}, ${r.threads}`,
      'B_read GB/s': (r.members * r.size) / Math.min(r.seconds.read.best, r.seconds.map.best) / 1e9,
      'B_write GB/s': r.size / r.seconds.write.best / 1e9,
      'bound s': r.boundSeconds,
      'merge s': spread(r.seconds.merge),
      'of bound': r.fraction,
      goal: r.threads === 1 ? GOAL.one : GOAL.all,
      'engine alone': r.engineFraction,
      'with fsync s': spread(r.seconds.synced),
    })),
  );
  return { goal: GOAL, results };
}
