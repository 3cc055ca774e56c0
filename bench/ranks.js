/**
 * What it costs that several processes make one merge: four checkpoints by one process of two threads, against
 * two ranks of one thread each on this machine; and a merge so small that nothing but planning, meeting and
 * publishing is left, by one process and by two ranks. Whole processes, fsync included, in turn.
 */
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const BIN = fileURLToPath(new URL('../bin/merge.js', import.meta.url));
const SMALL = 1e6;

/** @param {import('./support/context.js').Context} context */
export default async function ranks(context) {
  const large = (await context.llamas(4)).map(({ dir }) => dir);
  const small = (await context.llamas(4, { bytes: SMALL })).map(({ dir }) => dir);
  /** @param {readonly string[]} inputs @param {number} size @param {number} threads */
  const contestant = (inputs, size, threads) => async () => {
    const output = context.output();
    const words = [BIN, 'average', ...inputs, '-o', output, '--threads', `${threads}`, '--quiet'];
    const all = Array.from({ length: size }, (_, rank) =>
      run(process.execPath, [...words, '--ranks', size === 1 ? 'off' : `${rank}/${size}`]),
    );
    const seconds = Math.max(...(await Promise.all(all)).map((ended) => ended.seconds));
    rmSync(output, { recursive: true, force: true });
    return seconds;
  };
  const seconds = await interleaved(
    context.rounds,
    {
      one: contestant(large, 1, 2),
      two: contestant(large, 2, 1),
      'one, small': contestant(small, 1, 1),
      'two, small': contestant(small, 2, 1),
    },
    () => context.prime(2 * context.size),
  );
  const rate = summary(seconds.one.map((one, i) => one / seconds.two[i]));
  const cost = summary(seconds['two, small'].map((two, i) => two - seconds['one, small'][i]));
  table([
    { 'made by': 'one process, two threads', 'wall s': spread(summary(seconds.one), 2), against: '', goal: '' },
    { 'made by': 'two ranks, one thread each', 'wall s': spread(summary(seconds.two), 2), against: `rate ${spread(rate, 2)}`, goal: 0.9 },
    { 'made by': 'one process, 1 MB', 'wall s': spread(summary(seconds['one, small']), 2), against: '', goal: '' },
    { 'made by': 'two ranks, 1 MB', 'wall s': spread(summary(seconds['two, small']), 2), against: `${spread(cost, 2)} s more`, goal: 0.5 },
  ]);
  return { seconds, rate, cost };
}
