/**
 * Inputs evicted from the page cache, output on a tmpfs, against plain reading of the same files with one
 * stream and with four. A virtual machine's host may still cache the disk: the range is shown for that
 * reason.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf } from './support/context.js';
import { interleaved, spread, summaries, table, timed } from './support/measure.js';

const TMPFS = '/dev/shm';
const GOAL = 0.85;

/** @param {import('./support/context.js').Context} context */
export default async function cold(context) {
  const { binding } = context;
  if (!existsSync(TMPFS)) {
    console.log(`skipped: there is no ${TMPFS} for the output`);
    return null;
  }
  const checkpoints = await context.llamas(4, { warm: false });
  const paths = checkpoints.flatMap((c) => c.paths);
  const total = checkpoints.reduce((sum, c) => sum + bytesOf(c), 0);
  const outputs = mkdtempSync(join(TMPFS, 'ckpt-merge-bench-'));
  let stayed = 0;
  const evicted = (/** @type {() => Promise<unknown>} */ work) => async () => {
    stayed = Math.max(stayed, context.evict(paths));
    return timed(work);
  };
  const stream = async (/** @type {string[]} */ files) => {
    for (const file of files) await binding.probeRead(file, 'read', 1, 1 << 20);
  };
  const seconds = await interleaved(context.rounds, {
    merge: async () => {
      stayed = Math.max(stayed, context.evict(paths));
      return context.average({ inputs: checkpoints.map((c) => c.dir), output: context.output(outputs) });
    },
    oneStream: evicted(() => stream(paths)),
    fourStreams: evicted(() => Promise.all(checkpoints.map((c) => stream(c.paths)))),
  });
  rmSync(outputs, { recursive: true, force: true });
  const s = summaries(seconds);
  const plain = Math.min(s.oneStream.median, s.fourStreams.median);
  const rate = (/** @type {number} */ t) => total / t / 1e9;
  table(Object.entries(s).map(([name, t]) => ({ what: name, 'seconds, median (range)': spread(t), 'input GB/s': rate(t.median) })));
  console.log(
    `merge reads at ${(plain / s.merge.median).toFixed(2)} of the better plain reading (goal ${GOAL}); at most ${stayed} bytes stayed after eviction`,
  );
  return { goal: GOAL, ratio: plain / s.merge.median, bytes: total, residentAfterEviction: stayed, seconds: s };
}
