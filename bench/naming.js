/**
 * How fast tensors get their roles: names of a large mixture of experts as the header's reader gives them, a
 * new classifier each round; the first rounds warm up.
 */
import { readHeader } from 'ckpt-merge/safetensors';
import { classifier } from '../dist/model/roles/classify.js';
import { expertTensors, makeCheckpoint } from './support/data.js';
import { table } from './support/measure.js';

const WARM_UP = 3;

/** @param {import('./support/context.js').Context} context */
export default async function naming(context) {
  const [file] = makeCheckpoint(`${context.dir}/naming`, { tensors: expertTensors(context.tensors), shards: 1, holes: true });
  const { tensors } = await readHeader(file);
  context.discard('naming');
  const seconds = [];
  for (let round = -WARM_UP; round < context.rounds; round++) {
    const classify = classifier();
    const start = performance.now();
    let known = 0;
    for (let row = 0; row < tensors.count; row++) if (classify(tensors.names[row], 'BF16', tensors.shapes[row]).role !== null) known++;
    if (round >= 0) seconds.push((performance.now() - start) / 1000);
    if (known === 0) throw new Error('no tensor was recognised');
  }
  seconds.sort((a, b) => a - b);
  const rate = (/** @type {number} */ s) => tensors.count / s / 1e6;
  const result = {
    names: tensors.count,
    medianMillionsPerSecond: rate(seconds[seconds.length >> 1]),
    bestMillionsPerSecond: rate(seconds[0]),
  };
  table([{ names: result.names, 'median M/s': result.medianMillionsPerSecond, 'best M/s': result.bestMillionsPerSecond }]);
  return { results: [result] };
}
