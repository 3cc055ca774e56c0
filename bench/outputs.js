/**
 * K recipes from one pass over the inputs: what each extra one costs, beside the cost of writing its file. A
 * quarter of the size, so that eight outputs are not limited by how much unwritten data the system lets a
 * process have.
 */
import { rmSync } from 'node:fs';
import { bytesOf, setName } from './support/context.js';
import { interleaved, spread, summary, table, timed } from './support/measure.js';
import { mergeMany } from './support/merge.js';

const MEMBERS = 4;
const KS = /** @type {const} */ ([1, 2, 4, 8]);

/** @param {import('./support/context.js').Context} context */
export default async function outputs(context) {
  const checkpoints = await context.llamas(MEMBERS, { bytes: context.size / 4 });
  const inputs = checkpoints.map((c) => c.dir);
  const size = bytesOf(checkpoints[0]);
  // Recipe k: an EMA with its own alpha; all members take part in each.
  const row = (/** @type {number} */ k) =>
    Array.from({ length: MEMBERS }, (_, n) => 0.1 * (k + 1) * (1 - 0.1 * (k + 1)) ** (MEMBERS - 1 - n));
  const run = (/** @type {number} */ count) => async () => {
    const recipes = Array.from({ length: count }, (_, k) => ({ path: context.output(), weights: row(k) }));
    const seconds = await timed(() => mergeMany({ inputs, outputs: recipes }));
    for (const { path } of recipes) rmSync(path, { recursive: true, force: true });
    return seconds;
  };
  const seconds = await interleaved(
    context.rounds,
    /** @type {Record<string, () => Promise<number>>} */ ({
      write: async () => {
        const path = context.output();
        const probe = await context.binding.probeWrite(path, size, context.cores);
        rmSync(path, { force: true });
        return probe.seconds;
      },
      ...Object.fromEntries(KS.map((k) => [`K${k}`, run(k)])),
    }),
    () => context.prime(8 * size),
  );
  context.discard(setName('BF16', context.size / 4));
  const write = summary(seconds.write);
  const one = summary(seconds.K1);
  const results = KS.map((k) => {
    const s = summary(seconds[`K${k}`]);
    const extra = k === 1 ? 0 : (s.median - one.median) / (k - 1);
    return { outputs: k, seconds: s, perExtraOutput: extra, alone: k * one.median };
  });
  table(
    results.map((r) => ({
      K: r.outputs,
      seconds: spread(r.seconds),
      'each extra s': r.perExtraOutput,
      'its write alone s': write.median,
      'K runs alone s': r.alone,
    })),
  );
  return { members: MEMBERS, writeSeconds: write, results };
}
