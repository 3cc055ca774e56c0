/** The same number of bytes as BF16, F16 and F32 checkpoints. */
import { bytesOf } from './support/context.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const MEMBERS = 4;

/** @param {import('./support/context.js').Context} context */
export default async function dtypes(context) {
  /** @type {Record<string, import('./support/context.js').Checkpoint[]>} */
  const sets = {};
  for (const dtype of /** @type {const} */ (['BF16', 'F16', 'F32'])) {
    sets[dtype] = await context.llamas(MEMBERS, { dtype, bytes: dtype === 'F32' ? context.size / 4 : context.size / 2 });
  }
  const seconds = await interleaved(
    context.rounds,
    Object.fromEntries(Object.entries(sets).map(([dtype, set]) => [dtype, () => context.average({ inputs: set.map((c) => c.dir) })])),
  );
  const results = Object.entries(sets).map(([dtype, set]) => {
    const bytes = set.reduce((sum, c) => sum + bytesOf(c), 0);
    const s = summary(seconds[dtype]);
    return { dtype, inputBytes: bytes, seconds: s, inputGBs: bytes / s.median / 1e9 };
  });
  table(results.map((r) => ({ dtype: r.dtype, 'input GB': r.inputBytes / 1e9, seconds: spread(r.seconds), 'input GB/s': r.inputGBs })));
  return { members: MEMBERS, results };
}
