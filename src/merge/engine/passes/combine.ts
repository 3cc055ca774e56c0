import { dtypeByCode } from '../../../base/dtype.ts';
import { type Batch, BatchCutter } from './combine-batches.ts';
import type { Pass } from './pass.ts';

/** Weighted sums of floats, and bytes that are copied: the segments of a shard. */
export const combine: Pass = {
  concerns: (plan, { shard }) => plan.shards[shard]!.segments.count > 0,
  reads(plan, shard) {
    const { file, gathered } = plan.shards[shard]!.segments;
    const files = new Set(file);
    for (const { matrix } of gathered.values()) for (const box of matrix.boxes) files.add(box.file);
    files.delete(-1);
    return files;
  },
  async *carryOut(work) {
    const { plan, outputs, engine, cancel } = work;
    const cutter = new BatchCutter(plan, work.unit);
    const { weights } = plan;
    const K = plan.outputs.length;
    const summed = [...plan.outputs.keys()].filter((k) => plan.outputs[k]!.container.crc32);
    const crc32 = summed.length > 0;
    yield* work.run({
      next: (budget) => cutter.next(budget),
      start: (batch) => engine.combine({ ...batch.job, files: work.inputs(batch), outputs: outputs.files, weights, crc32, cancel }),
      add: ({ job, cellRow }, result) => {
        for (const [i, crc] of result.crc.entries()) outputs.wrote(i % K, result.crcOffset[i]!, result.crcLength[i]!, crc);
        work.nonfinite.add(cellRow, result.nonfinite);
        for (const k of summed) {
          for (const { cell, bytes } of cellsOf(job, k, K)) outputs.summed(k, cellRow[cell]!, bytes, result.cellCrc32![cell * K + k]!);
        }
      },
    });
  },
};

/** The cells of a call, and the bytes that each has in output k of K. */
function* cellsOf({ table, outDtype, cell, cellEnd }: Batch['job'], k: number, K: number): Generator<{ cell: number; bytes: number }> {
  for (let s = 0; s < table.length; s++) {
    const width = table[s]! < 0 ? 1 : dtypeByCode(outDtype[s * K + k]!).bits / 8;
    for (let c = cell[s]!; c < cell[s + 1]!; c++) {
      const start = c === cell[s] ? 0 : cellEnd[c - 1]!;
      yield { cell: c, bytes: (cellEnd[c]! - start) * width };
    }
  }
}
