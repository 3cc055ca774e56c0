/**
 * Planning over files that answer each read after 2 ms: 2 TB x 10, headers over holes. With the addon's reads,
 * and with those of Node alone, which has four threads for all files. The waiting is made by a library that is
 * loaded before libc (support/slow-reads.c), built here; it also says that the disk has room for the merge. And what a
 * rank takes to adopt such a plan of another one, without and with what it prepares while it waits.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { differ, expertTensors, makeCheckpoint } from './support/data.js';
import { interleaved, spread, summaries, summary, table } from './support/measure.js';

const CHILD = fileURLToPath(new URL('support/open-child.js', import.meta.url));
const SOURCE = fileURLToPath(new URL('support/slow-reads.c', import.meta.url));
const MICROS = 2000;
const MEMBERS = 10;
const TENSORS = 46_503;
const SHARDS = 416;
/** Of 2.06 TB in a 16-bit dtype. */
const SHAPE = [4096, 5420];
const GOAL_SECONDS = 12;
const GOAL_RATIO = 5;
/** One checkpoint is enough to compare with: ten take minutes. */
const BY_NODE = 1;

/** @param {import('./support/context.js').Context} context */
export default async function planningLatency(context) {
  if (process.platform !== 'linux') {
    console.log('skipped: reads are made slow by LD_PRELOAD, which only Linux has');
    return null;
  }
  const library = join(context.dir, 'slow-reads.so');
  try {
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', library, SOURCE, '-ldl'], { stdio: 'pipe' });
  } catch (error) {
    console.log(`skipped: ${SOURCE} was not compiled (${/** @type {Error} */ (error).message.split('\n')[0]})`);
    return null;
  }
  const tensors = expertTensors(TENSORS).map(({ name }) => ({ name, shape: SHAPE }));
  const inputs = Array.from({ length: MEMBERS }, (_, i) => {
    const dir = join(context.dir, 'planning-latency', `checkpoint-${(i + 1) * 1000}`);
    const [first = ''] = makeCheckpoint(dir, { tensors, shards: SHARDS, holes: true });
    differ(first, i + 1);
    return dir;
  });
  const env = { ...process.env, LD_PRELOAD: library, SLOW_READS_MICROS: String(MICROS) };
  const plan = (/** @type {number} */ members, /** @type {NodeJS.ProcessEnv} */ more) => async () => {
    const job = { plan: { inputs: inputs.slice(0, members), output: context.output(), method: 'sma' } };
    return JSON.parse((await run(process.execPath, [CHILD, JSON.stringify(job)], { env: { ...env, ...more } })).stdout).seconds;
  };
  // A binary that is not there: Node reads.
  const none = { CKPT_MERGE_BINARY: join(context.dir, 'none.node') };
  const seconds = await interleaved(Math.min(3, context.rounds), {
    all: plan(MEMBERS, {}),
    one: plan(BY_NODE, {}),
    byNode: plan(BY_NODE, none),
  });
  /** @type {{ adopt: number[], adoptAhead: number[] }} */
  const adopting = { adopt: [], adoptAhead: [] };
  for (let round = 0; round < Math.min(3, context.rounds); round++) {
    const job = { adopt: { inputs, outputs: [{ path: context.output() }] } };
    const said = JSON.parse((await run(process.execPath, [CHILD, JSON.stringify(job)], { env })).stdout);
    for (const name of /** @type {const} */ (['adopt', 'adoptAhead'])) adopting[name].push(said[name]);
  }
  context.discard('planning-latency');
  const ratio = summary(seconds.byNode).median / summary(seconds.one).median;
  const row = (/** @type {keyof typeof seconds} */ name, /** @type {string} */ what) => ({ what, seconds: spread(summary(seconds[name])) });
  table([
    { ...row('all', `plan 2 TB x ${MEMBERS}, ${TENSORS} tensors in ${SHARDS} files each`), goal: GOAL_SECONDS },
    row('one', `plan 2 TB x ${BY_NODE}`),
    { ...row('byNode', `plan 2 TB x ${BY_NODE}, reads by Node`), goal: `${GOAL_RATIO} times` },
    { what: `adopt the plan of 2 TB x ${MEMBERS}`, seconds: spread(summary(adopting.adopt)) },
    { what: '  prepared while it was made', seconds: spread(summary(adopting.adoptAhead)) },
  ]);
  console.log(`${ratio.toFixed(1)} times as fast as by Node`);
  return {
    micros: MICROS,
    goalSeconds: GOAL_SECONDS,
    goalRatio: GOAL_RATIO,
    ratio,
    seconds: summaries(seconds),
    adopting: summaries(adopting),
  };
}
