/**
 * A grid of 24 outputs over 30 checkpoints with overlapping windows, made in one read, against each output on its own.
 * The ratio that a perfect program would have follows from what reading (r) and writing (w) one checkpoint cost here:
 * one by one Σ N_j·r + K·w, together U·r + K·w, N_j the members of output j, U those of all. An eighth of the size of
 * the other benches, as there are 30 checkpoints: `--size 2.1e9` has ones of 262 MB.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { grid, gridRecipe, planGrid, runRecipe } from 'ckpt-merge';
import { bytesOf, setName } from './support/context.js';
import { interleaved, spread, summaries, table, timed } from './support/measure.js';

const MEMBERS = 30;
const GOAL = 0.85;
/** Of the outputs, how many are made one by one in a round: each third, of all windows and shapes. */
const EVERY = 3;

/** @param {import('./support/context.js').Context} context */
export default async function gridBench(context) {
  const bytes = context.size / 8;
  const checkpoints = await context.llamas(MEMBERS, { bytes, warm: false });
  const paths = checkpoints.flatMap((c) => c.paths);
  const run = join(context.dir, setName('BF16', bytes));
  const axes = /** @type {const} */ ({
    run,
    windows: ['5ckpt', '10ckpt', '20ckpt'],
    decay: '1-sqrt',
    controls: ['reverse', 'scramble-seeds:1-2'],
    endpoints: ['20000', '30000'],
    sync: false,
  });
  const plan = await planGrid({ ...axes, output: context.output() });
  const recipe = await gridRecipe({ ...axes, output: context.output() });
  const one = bytesOf(checkpoints[0]);
  const some = recipe.outputs.filter((_, k) => k % EVERY === 0);
  const members = (/** @type {readonly { members: readonly unknown[] }[]} */ of) =>
    of.reduce((sum, output) => sum + output.members.length, 0);
  let stayed = 0;
  const cold = () => {
    stayed = Math.max(stayed, context.evict(paths));
  };
  const seconds = await interleaved(
    context.rounds,
    {
      together: async () => {
        const output = context.output();
        cold();
        const took = await timed(() => grid({ ...axes, output }));
        rmSync(output, { recursive: true, force: true });
        return took;
      },
      alone: async () => {
        let took = 0;
        for (const output of some) {
          const path = context.output();
          cold();
          took += await timed(() => runRecipe({ ...recipe, outputs: [{ ...output, path }] }, { sync: false }));
          rmSync(path, { recursive: true, force: true });
        }
        return took;
      },
      read: () => {
        cold();
        return timed(async () => {
          for (const path of paths) await context.binding.probeRead(path, 'read', 1, 1 << 20);
        });
      },
      write: async () => {
        const path = context.output();
        const probe = await context.binding.probeWrite(path, 4 * one, context.cores);
        rmSync(path, { force: true });
        return probe.seconds;
      },
    },
    () => context.prime(4 * one),
  );
  context.discard(setName('BF16', bytes));
  const s = summaries(seconds);
  const [r, w] = [s.read.median / MEMBERS, s.write.median / 4];
  const outputs = plan.outputs.length;
  const [all, union] = [members(plan.outputs), new Set(plan.outputs.flatMap((o) => o.members.map(({ path }) => path))).size];
  const alone = (s.alone.median * outputs) / some.length;
  const possible = (all * r + outputs * w) / (union * r + outputs * w);
  const ratio = alone / s.together.median;
  table(Object.entries(s).map(([name, t]) => ({ what: name, 'seconds, median (range)': spread(t) })));
  console.log(
    `${outputs} outputs of ${all} members, ${union} of them different, ${(one / 1e6).toFixed(0)} MB each, in ${plan.batches.length} read(s)`,
  );
  console.log(
    `${ratio.toFixed(2)} times as fast as one by one; (ΣN·r + K·w) / (U·r + K·w) is ${possible.toFixed(2)}: ${(ratio / possible).toFixed(2)} of it (goal ${GOAL})`,
  );
  return {
    goal: GOAL,
    outputs,
    members: all,
    different: union,
    bytes: one,
    readSeconds: r,
    writeSeconds: w,
    ratio,
    possible,
    share: ratio / possible,
    residentAfterEviction: stayed,
    seconds: s,
  };
}
