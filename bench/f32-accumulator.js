/**
 * The price of float64 accumulators: the kernel as it is against one with float32 accumulators that exists for this bench only, by `core_bench` (native/bench),
 * on data that stays in cache, where the kernel is the only limit.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { interleaved, table } from './support/measure.js';

const BUILD = fileURLToPath(new URL('../build', import.meta.url));
const PROGRAM = `${BUILD}/native/bench/core_bench`;

/** @typedef {{ isa: string, dtype: string, inputs: number, float64GBs: number, float32GBs: number }} Row */

/** @param {import('./support/context.js').Context} context */
export default async function f32Accumulator(context) {
  try {
    await run('cmake', ['--build', BUILD, '--target', 'core_bench']);
  } catch (error) {
    if (!existsSync(PROGRAM)) {
      console.log(
        `skipped: core_bench cannot be built: ${String(error instanceof Error ? error.message : error)
          .trim()
          .split('\n')
          .at(-1)}`,
      );
      return null;
    }
  }
  /** @type {Row[][]} */
  const rounds = [];
  await interleaved(context.rounds, {
    kernels: async () => {
      const result = await run(PROGRAM, ['--json']);
      rounds.push(JSON.parse(result.stdout).results);
      return result.seconds;
    },
  });
  const results = rounds[0].map((row, i) => {
    const float64GBs = Math.max(...rounds.map((rows) => rows[i].float64GBs));
    const float32GBs = Math.max(...rounds.map((rows) => rows[i].float32GBs));
    return { ...row, float64GBs, float32GBs, ratio: float32GBs / float64GBs };
  });
  table(
    results.map((r) => ({
      'ISA, dtype, N': `${r.isa}, ${r.dtype}, ${r.inputs}`,
      'float64 GB/s of input': r.float64GBs,
      'float32 GB/s': r.float32GBs,
      'float32 is faster by': r.ratio,
    })),
  );
  return { results };
}
