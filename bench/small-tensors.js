/**
 * 92,000 tensors of 64 KB against a few large ones. Both are the same bytes of the same files: between rounds
 * the header is replaced by one of equal length (padded with spaces) that cuts the data into other tensors,
 * so that cache, disk and file sizes are the same for both.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expertTensors, headerBytes, makeCheckpoint } from './support/data.js';
import { interleaved, spread, summaries, table } from './support/measure.js';

const MEMBERS = 2;
const LARGE = 24;

/** @param {import('./support/context.js').Context} context */
export default async function smallTensors(context) {
  const small = expertTensors(context.tensors);
  const elements = context.tensors * 128 * 256;
  const large = Array.from({ length: LARGE }, (_, i) => ({
    name: `model.layers.${i}.mlp.experts.gate_up_proj`,
    shape: [Math.floor((elements * (i + 1)) / LARGE) - Math.floor((elements * i) / LARGE)],
  }));
  const smallHeader = headerBytes(small, 'BF16').bytes;
  const largeHeader = headerBytes(large, 'BF16', smallHeader.length).bytes;
  /** @type {string[]} */
  const dirs = [];
  /** @type {string[]} */
  const paths = [];
  for (let seed = 0; seed < MEMBERS; seed++) {
    const dir = join(context.dir, `small-${context.tensors}`, `checkpoint-${seed + 1}`);
    dirs.push(dir);
    paths.push(...makeCheckpoint(dir, { tensors: small, shards: 1, seed }));
  }
  await context.warm(paths);
  const merge = (/** @type {Uint8Array} */ header) => async () => {
    for (const path of paths) {
      const fd = openSync(path, 'r+');
      writeSync(fd, header, 0, header.length, 0);
      closeSync(fd);
    }
    return context.average({ inputs: dirs });
  };
  const seconds = await interleaved(context.rounds, { small: merge(smallHeader), large: merge(largeHeader) }, () =>
    context.prime(elements * 2),
  );
  context.discard(`small-${context.tensors}`);
  const s = summaries(seconds);
  const ratio = s.large.median / s.small.median;
  const bytes = elements * 2 * MEMBERS;
  table([
    { tensors: `${context.tensors} of 64 KB`, seconds: spread(s.small), 'input GB/s': bytes / s.small.median / 1e9 },
    {
      tensors: `${LARGE} of ${((elements * 2) / LARGE / 1e6).toFixed(0)} MB`,
      seconds: spread(s.large),
      'input GB/s': bytes / s.large.median / 1e9,
    },
  ]);
  console.log(`small tensors reach ${ratio.toFixed(2)} of the throughput of large ones (goal 0.8)`);
  return { goal: 0.8, ratio, members: MEMBERS, inputBytes: bytes, seconds: s };
}
