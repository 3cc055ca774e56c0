/**
 * `merge inspect` of a large mixture of experts, the whole command: roles, sizes and structure of every
 * tensor. Headers over holes: no data is read.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { expertTensors, makeCheckpoint } from './support/data.js';
import { interleaved, spread, summaries, summary, table } from './support/measure.js';

const BIN = fileURLToPath(new URL('../bin/merge.js', import.meta.url));
const GOAL_SECONDS = 0.5;

/** @param {import('./support/context.js').Context} context */
export default async function inspect(context) {
  const folder = join(context.dir, `inspect-${context.tensors}`);
  const config = { model_type: 'qwen3_moe', num_experts: 512, num_experts_per_tok: 8 };
  makeCheckpoint(folder, { tensors: expertTensors(context.tensors), config, shards: 64, holes: true });
  const command =
    (/** @type {string[]} */ ...options) =>
    async () =>
      (await run(process.execPath, [BIN, 'inspect', folder, ...options])).seconds;
  const seconds = await interleaved(context.rounds, { summary: command(), json: command('--json') });
  context.discard(`inspect-${context.tensors}`);
  table(
    Object.entries(seconds).map(([what, values]) => ({
      what: `inspect, ${what}`,
      tensors: context.tensors,
      seconds: spread(summary(values)),
      'goal s': GOAL_SECONDS,
    })),
  );
  return { goalSeconds: GOAL_SECONDS, seconds: summaries(seconds) };
}
