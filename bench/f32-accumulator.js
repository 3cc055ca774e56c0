/**
 * The price of float64 accumulators, by the core's own bench (native/bench): kernels alone on data that stays
 * in cache, and merges of hot files, against float32 accumulators that exist for this comparison only.
 */
import { buildCoreBench, runCoreBench } from './support/core-bench.js';
import { table } from './support/measure.js';

/**
 * What core_bench prints.
 * @typedef {{ isa: string, inputs: number, float64BytesPerSecond: number, float64ExactBytesPerSecond: number,
 *   float32BytesPerSecond: number, ratio: number }} Kernel
 * @typedef {{ isa: string, inputs: number, bytes: number, threads: number, float64Seconds: number,
 *   float32Seconds: number, ratio: number }} Merge
 */

/** @param {import('./support/context.js').Context} context */
export default async function f32Accumulator(context) {
  if (!(await buildCoreBench())) return null;
  /** @type {Kernel[]} */
  let kernels = [];
  /** @type {Merge[]} */
  const merges = [];
  for (const inputs of [4, 10]) {
    for (const threads of new Set([1, context.cores])) {
      const settings = { dir: context.dir, inputs, bytes: Math.round(context.size / 4), threads, rounds: context.rounds };
      /** @type {{ kernels: Kernel[], merge: Merge | null }} */
      const said = await runCoreBench('floats', settings);
      kernels = said.kernels;
      if (said.merge !== null) merges.push(said.merge);
    }
  }
  table(
    kernels.map((k) => ({
      'kernel: ISA, N': `${k.isa}, ${k.inputs}`,
      'float64 GB/s of input': k.float64BytesPerSecond / 1e9,
      'exact weights GB/s': k.float64ExactBytesPerSecond / 1e9,
      'float32 GB/s': k.float32BytesPerSecond / 1e9,
      'float32 faster by': 1 / k.ratio,
    })),
  );
  console.log('');
  table(
    merges.map((m) => ({
      'merge: N, threads': `${m.inputs}, ${m.threads}`,
      'float64 s': m.float64Seconds,
      'float32 s': m.float32Seconds,
      'float32 faster by': m.ratio,
    })),
  );
  return { kernels, merges };
}
