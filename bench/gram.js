/**
 * Inner products against reading: `gramOf` over whole checkpoints, and the same bytes read by probes (256 KiB
 * preads, or a mapped scan that looks at every byte) with the same threads, page cache hot. Turns are taken;
 * best of each.
 */
import { openCheckpoint } from 'ckpt-merge/safetensors';
import { gramOf } from '../dist/merge/engine/passes/gram.js';
import { bytesOf } from './support/context.js';
import { interleaved, spread, summaries, table, timed } from './support/measure.js';

const GOAL = 0.8;

/** @param {import('./support/context.js').Context} context */
export default async function gram(context) {
  const { binding, cores, rounds } = context;
  const results = [];
  for (const members of [2, 4, 10]) {
    const checkpoints = await context.llamas(members, { bytes: context.size / 2 });
    const paths = checkpoints.flatMap((c) => c.paths);
    const ranges = await rangesOf(checkpoints);
    for (const threads of new Set([1, cores])) {
      const probe = async (/** @type {'read' | 'map'} */ mode) => {
        let seconds = 0;
        for (const path of paths) seconds += (await binding.probeRead(path, mode, threads, 256 << 10)).seconds;
        return seconds;
      };
      const seconds = await interleaved(rounds, {
        read: () => probe('read'),
        map: () => probe('map'),
        gram: () => timed(() => gramOf(ranges, { threads, steps: true })),
      });
      const s = summaries(seconds);
      const read = Math.min(s.read.best, s.map.best);
      results.push({ members, threads, bytes: members * bytesOf(checkpoints[0]), fraction: read / s.gram.best, seconds: s });
    }
  }
  table(
    results.map((r) => ({
      'N, threads': `${r.members}, ${r.threads}`,
      'B_read GB/s': r.bytes / Math.min(r.seconds.read.best, r.seconds.map.best) / 1e9,
      'gram GB/s': r.bytes / r.seconds.gram.best / 1e9,
      'gram s': spread(r.seconds.gram),
      'of the reads': r.fraction,
      goal: r.members === 4 ? GOAL : '',
    })),
  );
  return { goal: GOAL, results };
}

/** Every tensor of the checkpoints. @param {readonly { dir: string }[]} checkpoints */
async function rangesOf(checkpoints) {
  const opened = await Promise.all(checkpoints.map(({ dir }) => openCheckpoint(dir)));
  return opened[0].shards.flatMap(({ header }, shard) =>
    header.tensors.names.map((name, row) => {
      const { shape, dtype, begin } = header.tensors.info(row);
      const offset = header.dataStart + begin;
      return {
        name,
        elements: shape.reduce((a, b) => a * b, 1),
        sources: opened.map(({ shards }) => ({ path: shards[shard].path, offset, dtype })),
      };
    }),
  );
}
