/** The same number of bytes as BF16, F16 and F32 checkpoints. */
import { bytesOf, setName } from './support/context.js';
import { interleaved, spread, summaries, table } from './support/measure.js';

const MEMBERS = 4;

/** @param {import('./support/context.js').Context} context */
export default async function dtypes(context) {
  // The size of a Llama is that of its 16-bit form.
  const sets = /** @type {const} */ ([
    ['BF16', context.size / 2],
    ['F16', context.size / 2],
    ['F32', context.size / 4],
  ]);
  /** @type {Record<string, () => Promise<number>>} */
  const contestants = {};
  /** @type {Record<string, number>} */
  const inputBytes = {};
  for (const [dtype, bytes] of sets) {
    const checkpoints = await context.llamas(MEMBERS, { dtype, bytes });
    inputBytes[dtype] = checkpoints.reduce((sum, c) => sum + bytesOf(c), 0);
    contestants[dtype] = () => context.average({ inputs: checkpoints.map((c) => c.dir) });
  }
  const seconds = summaries(await interleaved(context.rounds, contestants, () => context.prime(context.size / 2)));
  for (const [dtype, bytes] of sets) context.discard(setName(dtype, bytes));
  const results = sets.map(([dtype]) => ({
    dtype,
    inputBytes: inputBytes[dtype],
    seconds: seconds[dtype],
    inputGBs: inputBytes[dtype] / seconds[dtype].median / 1e9,
  }));
  table(results.map((r) => ({ dtype: r.dtype, 'input GB': r.inputBytes / 1e9, seconds: spread(r.seconds), 'input GB/s': r.inputGBs })));
  return { members: MEMBERS, results };
}
