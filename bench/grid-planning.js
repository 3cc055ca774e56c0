/**
 * Planning of a grid of 200 outputs over 300 checkpoints of a Llama of 32 layers: discovery, axes, names, what is
 * there, reads and the plan of each. The tensors are narrow: planning reads samples of them only, and refuses
 * outputs that there is no room for.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { llama, makeCheckpoint } from './support/data.js';
import { spread, summary, table } from './support/measure.js';

const CHILD = fileURLToPath(new URL('support/open-child.js', import.meta.url));
const CHECKPOINTS = 300;
/** Bytes of a Llama of so many layers, and rows and columns that are left of its tensors. */
const BYTES = 2.1e9;
const NARROW = 64;
const GOAL = 5;

/** @param {import('./support/context.js').Context} context */
export default async function gridPlanning(context) {
  const set = 'grid-planning';
  const tensors = llama(BYTES).tensors.map(({ name, shape }) => ({ name, shape: shape.map((n) => Math.min(n, NARROW)) }));
  for (let i = 0; i < CHECKPOINTS; i++) {
    const dir = join(context.dir, set, `checkpoint-${(i + 1) * 1000}`);
    makeCheckpoint(dir, { tensors, shards: 4, seed: i });
  }
  const job = {
    grid: {
      run: join(context.dir, set),
      windows: ['20B', '40B', '60B', '80B', '120B'],
      decay: ['linear', 'minus-sqrt'],
      strides: [1, 2],
      endpoints: 'every:120B',
      tokensPerStep: '4M',
      output: context.output(),
    },
  };
  /** @type {{ seconds: number, cpu_seconds: number, max_rss_mb: number, outputs: number, reads: number }[]} */
  const said = [];
  for (let round = 0; round < context.rounds; round++) {
    said.push(JSON.parse((await run(process.execPath, [CHILD, JSON.stringify(job)])).stdout));
  }
  context.discard(set);
  const [{ outputs, reads }] = said;
  const [seconds, cpuSeconds] = [summary(said.map((one) => one.seconds)), summary(said.map((one) => one.cpu_seconds))];
  const peakMB = Math.max(...said.map(({ max_rss_mb }) => max_rss_mb));
  table([
    {
      what: `plan ${outputs} outputs over ${CHECKPOINTS} checkpoints of ${tensors.length} tensors, ${reads} read(s)`,
      ...{ seconds: spread(seconds), 'goal s': GOAL, 'CPU seconds (user + system)': spread(cpuSeconds), 'peak MB': peakMB },
    },
  ]);
  return { goal: GOAL, outputs, checkpoints: CHECKPOINTS, tensors: tensors.length, reads, seconds, cpuSeconds, peakMB };
}
