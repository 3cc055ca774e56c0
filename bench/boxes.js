/**
 * What it costs to read matrices that were saved by columns (Shard(1), and finer), against the same files
 * saved by rows: the core's merge of 4 inputs of hot files.
 */
import { buildCoreBench, runCoreBench } from './support/core-bench.js';
import { table } from './support/measure.js';

/**
 * What core_bench prints of boxes of so many columns of 4096.
 * @typedef {{ width: number, rowsSeconds: number, columnsSeconds: number, ratio: number }} Boxes
 */

/** @param {import('./support/context.js').Context} context */
export default async function boxes(context) {
  if (!(await buildCoreBench())) return null;
  /** @type {(Boxes & { threads: number })[]} */
  const results = [];
  for (const threads of new Set([1, context.cores])) {
    const settings = { dir: context.dir, inputs: 4, bytes: Math.round(context.size / 4), threads, rounds: context.rounds };
    /** @type {{ boxes: Boxes[] }} */
    const said = await runCoreBench('boxes', settings);
    results.push(...said.boxes.map((row) => ({ threads, ...row })));
  }
  table(
    results.map((r) => ({
      'columns of a box, threads': `${r.width}, ${r.threads}`,
      'rows s': r.rowsSeconds,
      'columns s': r.columnsSeconds,
      'of the rate of rows': r.ratio,
    })),
  );
  return { results };
}
