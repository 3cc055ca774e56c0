/**
 * Small things that are done often, by tinybench: scanning a header, checksums, and the fixed cost of a
 * native call.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { readHeader } from 'ckpt-merge/safetensors';
import { Bench } from 'tinybench';
import { expertTensors, headerBytes, makeCheckpoint } from './support/data.js';
import { table } from './support/measure.js';

/** @param {import('./support/context.js').Context} context */
export default async function micro(context) {
  const { binding } = context;
  const [header] = makeCheckpoint(`${context.dir}/micro-header`, { tensors: expertTensors(context.tensors), shards: 1, holes: true });
  const mebibyte = new Uint8Array(1 << 20).map((_, i) => (i * 2654435761) >>> 13);
  const tiny = `${context.dir}/micro-tiny.bin`;
  writeFileSync(tiny, headerBytes([{ name: 'w', shape: [64] }], 'BF16').bytes);
  const input = binding.openInput(tiny, 'map');
  const target = context.output();
  const output = binding.openOutput(target, 64, { reopen: false });
  const engine = binding.createEngine({ threads: 1, memoryBytes: 32 << 20, maxInputs: 1, maxOutputs: 1, reads: false });
  const job = {
    files: [input],
    outputs: [output],
    count: Float64Array.of(16),
    file: Int32Array.of(0),
    offset: Float64Array.of(8),
    dtype: Uint8Array.of(0),
    outOffset: Float64Array.of(0),
    outDtype: Uint8Array.of(0),
    table: Int32Array.of(0),
    weights: Float64Array.of(1),
    cell: Int32Array.of(0, 1),
    cellEnd: Float64Array.of(16),
    cancel: new Int32Array(1),
  };
  const bench = new Bench({ time: 1000, warmupTime: 200 });
  bench
    .add(`read a header of ${context.tensors} tensors`, () => readHeader(header))
    .add('CRC32C of 1 MiB', () => binding.crc32c(mebibyte, 0))
    .add('combine 16 elements, awaited', () => engine.combine(job));
  try {
    await bench.run();
  } finally {
    engine.close();
    input.close();
    output.close();
    rmSync(target, { force: true });
    rmSync(tiny, { force: true });
    context.discard('micro-header');
  }
  const results = bench.tasks.map((task) => {
    if (task.result.state !== 'completed') throw new Error(`${task.name}: ${task.result.state}`, { cause: task.result });
    const { latency } = task.result;
    return { what: task.name, medianMicros: latency.p50 * 1000, marginPercent: latency.rme, samples: latency.samplesCount };
  });
  table(results.map((r) => ({ what: r.what, 'median us': r.medianMicros, 'margin %': r.marginPercent, samples: r.samples })));
  return { results };
}
