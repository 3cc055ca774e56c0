/**
 * The engine without the library: one segment a call over files of equal layout, to see what planning and
 * publishing add.
 */
import { closeSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dtypeByName } from '../../dist/base/dtype.js';
import { FLOAT_BYTES } from '../../dist/base/numbers/float.js';

/** Output bytes of one call: about a tenth of a second of work. */
const CALL_BYTES = 256 << 20;

/** Bytes of a safetensors file before its data, read without the library. @param {string} path */
function readHeader(path) {
  const fd = openSync(path, 'r');
  try {
    const prefix = Buffer.alloc(8);
    readSync(fd, prefix, 0, 8, 0);
    const header = Buffer.alloc(8 + Number(prefix.readBigUInt64LE(0)));
    readSync(fd, header, 0, header.length, 0);
    return header;
  } finally {
    closeSync(fd);
  }
}

/**
 * Merges the same shard of N checkpoints into K outputs, shard after shard. Opening, creating the engine,
 * writing, closing and (with `sync`) flushing are inside the measured time; removing the outputs is not.
 *
 * @param {import('../../dist/merge/native/binding.js').NativeBinding} binding
 * @param {object} request
 * @param {string[][]} request.inputs N checkpoints, each its shard paths
 * @param {string} request.outDir
 * @param {number[][]} request.weights K rows of N
 * @param {number} request.threads
 * @param {'BF16' | 'F16' | 'F32'} [request.dtype]
 * @param {'map' | 'read'} [request.mode]
 * @param {boolean} [request.sync]
 * @param {number} [request.memory]
 * @param {Partial<import('../../dist/merge/native/binding.js').NativeEngineOptions>} [request.engine]
 */
export async function mergeRaw(binding, request) {
  const { inputs, outDir, weights, threads, dtype = 'BF16', mode = 'map', sync = false, memory = 256 << 20, engine: extra = {} } = request;
  const members = inputs.length;
  const outputs = weights.length;
  const shards = /** @type {string[]} */ (inputs[0]).length;
  const paths = Array.from({ length: shards }, (_, s) => weights.map((_, k) => join(outDir, `raw-${s}-${k}.bin`)));
  const start = performance.now();
  const engine = binding.createEngine({
    threads,
    memoryBytes: memory,
    maxInputs: members,
    maxOutputs: outputs,
    reads: mode === 'read',
    ...extra,
  });
  const totals = { bytesRead: 0, bytesWritten: 0, readSeconds: 0, computeSeconds: 0, writeSeconds: 0 };
  try {
    for (let s = 0; s < shards; s++) {
      const sources = inputs.map((checkpoint) => checkpoint[s]);
      const header = readHeader(sources[0]);
      const size = statSync(sources[0]).size;
      const files = sources.map((path) => binding.openInput(path, mode));
      const outs = /** @type {string[]} */ (paths[s]).map((path) => binding.openOutput(path, size, { reopen: false }));
      for (const out of outs) out.write(0, header);
      await combineFile(engine, { files, outs, header: header.length, size, weights, dtype, totals });
      for (const out of outs) {
        if (sync) await out.sync();
        out.close();
      }
      for (const file of files) file.close();
    }
    const seconds = (performance.now() - start) / 1000;
    return { seconds, shape: engine.shape, ...totals };
  } finally {
    engine.close();
    for (const path of paths.flat()) rmSync(path, { force: true });
  }
}

/**
 * @param {import('../../dist/merge/native/binding.js').NativeEngine} engine
 * @param {{ files: import('../../dist/merge/native/handles.js').NativeInput[], outs:
 *   import('../../dist/merge/native/handles.js').NativeOutput[], header: number, size: number, weights:
 *   number[][], dtype: 'BF16' | 'F16' | 'F32', totals: Record<string, number> }} work
 */
async function combineFile(engine, { files, outs, header, size, weights, dtype, totals }) {
  const bytes = FLOAT_BYTES[dtype];
  const code = /** @type {{ code: number }} */ (dtypeByName(dtype)).code;
  const cancel = new Int32Array(1);
  /** @type {Promise<void>[]} */
  const flying = [];
  for (let at = header; at < size; at += CALL_BYTES) {
    const count = Math.min(CALL_BYTES, size - at) / bytes;
    const call = engine.combine({
      files,
      outputs: outs,
      count: Float64Array.of(count),
      file: Int32Array.from(files, (_, n) => n),
      offset: new Float64Array(files.length).fill(at),
      dtype: new Uint8Array(files.length).fill(code),
      outOffset: new Float64Array(outs.length).fill(at),
      outDtype: new Uint8Array(outs.length).fill(code),
      table: Int32Array.of(0),
      weights: Float64Array.from(weights.flat()),
      cell: Int32Array.of(0, 1),
      cellEnd: Float64Array.of(count),
      cancel,
    });
    flying.push(
      call.then((result) => {
        for (const key of Object.keys(totals)) totals[key] = (totals[key] ?? 0) + Number(result[/** @type {'bytesRead'} */ (key)]);
      }),
    );
    if (flying.length === 2) await flying.shift();
  }
  await Promise.all(flying);
}
