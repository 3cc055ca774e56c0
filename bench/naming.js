/** How fast tensors get their roles: names of a large mixture of experts, one classifier, best and median of the rounds. */
import { classifier } from '../dist/naming/classify.js';
import { expertTensors } from './support/data.js';
import { table } from './support/measure.js';

/** @param {import('./support/context.js').Context} context */
export default async function naming(context) {
  const tensors = expertTensors(context.tensors);
  const seconds = [];
  for (let round = 0; round < Math.max(3, context.rounds); round++) {
    const classify = classifier();
    const start = performance.now();
    let known = 0;
    for (const { name, shape } of tensors) if (classify(name, 'BF16', shape).role !== null) known++;
    seconds.push((performance.now() - start) / 1000);
    if (known === 0) throw new Error('no tensor was recognised');
  }
  seconds.sort((a, b) => a - b);
  const rate = (/** @type {number} */ s) => tensors.length / s / 1e6;
  const result = {
    names: tensors.length,
    medianMillionsPerSecond: rate(seconds[seconds.length >> 1]),
    bestMillionsPerSecond: rate(seconds[0]),
  };
  table([{ names: result.names, 'median M/s': result.medianMillionsPerSecond, 'best M/s': result.bestMillionsPerSecond }]);
  return { results: [result] };
}
