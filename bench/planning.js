/**
 * Planning at the scale of today's largest models. The checkpoints are headers over holes: nothing here reads
 * tensor data.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { differ, expertTensors, makeCheckpoint } from './support/data.js';
import { interleaved, spread, summaries, summary, table } from './support/measure.js';

const CHILD = fileURLToPath(new URL('support/open-child.js', import.meta.url));
const MEMBERS = 10;
const LARGEST = 500_000;
const SHARDS = 64;
/** Bytes of a header of its shards, rounded up. */
const PADDED = 1_400_000;

/** @param {import('./support/context.js').Context} context */
export default async function planning(context) {
  const tensors = expertTensors(context.tensors);
  const inputs = Array.from({ length: MEMBERS }, (_, i) => {
    const dir = join(context.dir, `planning-${context.tensors}`, `checkpoint-${(i + 1) * 1000}`);
    const [first = ''] = makeCheckpoint(dir, { tensors, shards: 16, holes: true });
    differ(first, i + 1);
    return dir;
  });
  const many = expertTensors(LARGEST);
  // Headers of other lengths, as those of other metadata have; and in each file two tensors that changed places.
  const largest = ['same', 'other', 'order'].map((kind) =>
    Array.from({ length: MEMBERS }, (_, i) => {
      const dir = join(context.dir, `planning-largest-${kind}`, `checkpoint-${(i + 1) * 1000}`);
      const padTo = kind === 'other' ? PADDED + 8 * i : 0;
      const tensors = kind === 'order' ? inOtherOrder(many, 100 + 10 * i) : many;
      const [first = ''] = makeCheckpoint(dir, { tensors, shards: SHARDS, holes: true, padTo });
      differ(first, i + 1);
      return dir;
    }),
  );

  let megabytes = { plan: 0, planSame: 0, planOther: 0, planOrder: 0, openOne: 0, openLargest: 0 };
  const child = (/** @type {keyof typeof megabytes} */ name, /** @type {unknown} */ job) => async () => {
    const said = JSON.parse((await run(process.execPath, [CHILD, JSON.stringify(job)])).stdout);
    megabytes = { ...megabytes, [name]: Math.max(megabytes[name], said.max_rss_mb) };
    return said.seconds;
  };
  const seconds = await interleaved(context.rounds, {
    plan: child('plan', { plan: { inputs, output: context.output(), method: 'sma' } }),
    openOne: child('openOne', { open: inputs[0] }),
    openLargest: child('openLargest', { open: largest[0][0] }),
    planSame: child('planSame', { plan: { inputs: largest[0], output: context.output(), method: 'sma' } }),
    planOther: child('planOther', { plan: { inputs: largest[1], output: context.output(), method: 'sma' } }),
    planOrder: child('planOrder', { plan: { inputs: largest[2], output: context.output(), method: 'sma' } }),
  });
  context.discard(`planning-${context.tensors}`);
  context.discard('planning-largest-same');
  context.discard('planning-largest-other');
  context.discard('planning-largest-order');
  const row = (/** @type {keyof typeof megabytes} */ name, /** @type {string} */ what, /** @type {number} */ goal) => ({
    what,
    seconds: spread(summary(seconds[name])),
    'goal s': goal,
    'peak MB': megabytes[name],
  });
  table([
    row('plan', `plan ${context.tensors} tensors x ${MEMBERS}`, 0.9),
    row('openOne', `open a folder of ${context.tensors} tensors`, 0.4),
    row('openLargest', `open a folder of ${LARGEST} tensors in 64 shards`, 2),
    row('planSame', `plan ${LARGEST} tensors x ${MEMBERS}, headers the same`, 4),
    row('planOther', `plan ${LARGEST} tensors x ${MEMBERS}, headers that differ in length`, 15),
    row('planOrder', `plan ${LARGEST} tensors x ${MEMBERS}, headers and indexes that differ in order`, 15),
  ]);
  return {
    members: MEMBERS,
    seconds: summaries(seconds),
    peakMB: megabytes,
  };
}

/** With the tensors at `at` and behind it exchanged in each file. @param {import('./support/data.js').Tensor[]} tensors @param {number} at */
function inOtherOrder(tensors, at) {
  const other = [...tensors];
  for (let shard = 0; shard < SHARDS; shard++) {
    const first = Math.floor((shard * tensors.length) / SHARDS) + at;
    [other[first], other[first + 1]] = [tensors[first + 1], tensors[first]];
  }
  return other;
}
