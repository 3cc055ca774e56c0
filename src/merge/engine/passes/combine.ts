import { BatchCutter } from './combine-batches.ts';
import type { Pass } from './pass.ts';

/** Weighted sums of floats, and bytes that are copied: the segments of a shard. */
export const combine: Pass = {
  concerns: (plan, { shard }) => plan.shards[shard]!.segments.count > 0,
  reads(plan, shard) {
    const files = new Set(plan.shards[shard]!.segments.file);
    files.delete(-1);
    return files;
  },
  async *carryOut(work) {
    const { plan, outputs, engine, cancel } = work;
    const cutter = new BatchCutter(plan, work.unit);
    const { weights } = plan;
    yield* work.run({
      next: (budget) => cutter.next(budget),
      start: (batch) => engine.combine({ ...batch.job, files: work.inputs(batch), outputs: outputs.files, weights, cancel }),
      add: ({ job, cellRow }, result) => {
        for (const k of outputs.files.keys()) outputs.wrote(k, job.outOffset[k]!, result.crcLength[k]!, result.crc[k]!);
        work.nonfinite.add(cellRow, result.nonfinite);
      },
    });
  },
};
