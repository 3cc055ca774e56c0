/**
 * Eight windows of ten over seventeen checkpoints from one read, against eight runs of one window each: reads
 * alone say 80/17 = 4.7. With the inputs in the page cache, where arithmetic and writing are the same in both
 * and reading is nearly free; and read from the disk by every run, as when the checkpoints are larger than
 * memory. A quarter of the size, so that eight outputs are not limited by how much unwritten data the system
 * lets a process have.
 */
import { rmSync } from 'node:fs';
import { setName } from './support/context.js';
import { interleaved, spread, summary, table, timed } from './support/measure.js';
import { mergeMany } from './support/merge.js';

const WINDOWS = 8;
const MEMBERS = 10;
const CHECKPOINTS = MEMBERS + WINDOWS - 1;

/** @param {import('./support/context.js').Context} context */
export default async function windows(context) {
  const bytes = context.size / 4;
  const checkpoints = await context.llamas(CHECKPOINTS, { bytes });
  const inputs = checkpoints.map((c) => c.dir);
  const weights = Array.from({ length: MEMBERS }, () => 1 / MEMBERS);
  const recipe = (/** @type {number} */ k) => ({
    path: context.output(),
    weights,
    members: Array.from({ length: MEMBERS }, (_, i) => k + i),
  });
  const all = Array.from({ length: WINDOWS }, (_, k) => k);
  const paths = checkpoints.flatMap((c) => c.paths);
  /** Seconds of one run for each group of windows. @param {number[][]} groups @param {boolean} cold */
  const contestant = (groups, cold) => async () => {
    let seconds = 0;
    for (const group of groups) {
      if (cold) context.evict(paths);
      const outputs = group.map(recipe);
      seconds += await timed(() => mergeMany({ inputs, outputs }));
      for (const { path } of outputs) rmSync(path, { recursive: true, force: true });
    }
    return seconds;
  };
  const [together, separate] = [[all], all.map((k) => [k])];
  const before = () => context.prime(WINDOWS * bytes);
  const warm = { together: contestant(together, false), separate: contestant(separate, false) };
  const cold = { together: contestant(together, true), separate: contestant(separate, true) };
  const seconds = { warm: await interleaved(context.rounds, warm, before), cold: await interleaved(context.rounds, cold, before) };
  context.discard(setName('BF16', bytes));
  const results = /** @type {const} */ (['warm', 'cold']).map((cache) => {
    const [one, many] = [summary(seconds[cache].together), summary(seconds[cache].separate)];
    return { cache, together: one, separate: many, ratio: many.median / one.median };
  });
  table(
    results.map(({ cache, together, separate, ratio }) => ({
      inputs: cache === 'warm' ? 'in the page cache' : 'from the disk',
      [`${WINDOWS} windows of ${MEMBERS} in one run s`]: spread(together),
      [`${WINDOWS} runs s`]: spread(separate),
      ratio,
      'of reads': (WINDOWS * MEMBERS) / CHECKPOINTS,
    })),
  );
  return { windows: WINDOWS, members: MEMBERS, checkpoints: CHECKPOINTS, readRatio: (WINDOWS * MEMBERS) / CHECKPOINTS, results };
}
