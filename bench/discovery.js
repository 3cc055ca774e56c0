/**
 * Listing a long run: thousands of checkpoint folders, each with a config, an index and two shards or a
 * single file, and a state file with a log.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { expertTensors, makeCheckpoint } from './support/data.js';
import { interleaved, spread, summaries, summary, table } from './support/measure.js';

const CHILD = fileURLToPath(new URL('support/open-child.js', import.meta.url));
const FOLDERS = 2000;
const TENSORS = 500;
const LOG_LINES = 500;

/** @param {import('./support/context.js').Context} context */
export default async function discovery(context) {
  const runs = { single: makeRun(context.dir, 1), sharded: makeRun(context.dir, 2) };
  let megabytes = { single: 0, sharded: 0 };
  const child = (/** @type {keyof typeof runs} */ name) => async () => {
    const said = JSON.parse((await run(process.execPath, [CHILD, JSON.stringify({ discover: runs[name] })])).stdout);
    megabytes = { ...megabytes, [name]: Math.max(megabytes[name], said.max_rss_mb) };
    return said.seconds;
  };
  const seconds = await interleaved(context.rounds, { single: child('single'), sharded: child('sharded') });
  for (const shards of [1, 2]) context.discard(`discovery-${shards}`);
  const row = (/** @type {keyof typeof runs} */ name, /** @type {string} */ what) => ({
    what: `${FOLDERS} folders x ${TENSORS} tensors, ${what}`,
    seconds: spread(summary(seconds[name])),
    'goal s': 1,
    'peak MB': megabytes[name],
  });
  table([row('single', 'one file each'), row('sharded', 'an index and two shards each')]);
  return { folders: FOLDERS, tensors: TENSORS, seconds: summaries(seconds), peakMB: megabytes };
}

/**
 * A run whose checkpoints are headers over holes, all alike but for their state. @param {string} dir @param
 * {number} shards
 */
function makeRun(dir, shards) {
  const folder = join(dir, `discovery-${shards}`);
  if (existsSync(`${folder}.complete`)) return folder;
  const template = join(dir, 'discovery-template', String(shards));
  makeCheckpoint(template, { tensors: expertTensors(TENSORS), shards, holes: true });
  const log = Array.from({ length: LOG_LINES }, (_, i) => ({
    epoch: 0.1,
    grad_norm: 0.5,
    learning_rate: 3e-4,
    loss: 2 + 1 / (i + 1),
    step: i + 1,
  }));
  for (let i = 1; i <= FOLDERS; i++) {
    const checkpoint = join(folder, `checkpoint-${i * LOG_LINES}`);
    mkdirSync(checkpoint, { recursive: true });
    for (const file of readdirSync(template)) copyHeader(join(template, file), join(checkpoint, file));
    const state = { epoch: 1, global_step: i * LOG_LINES, log_history: log, num_input_tokens_seen: i * 1e9, total_flos: 1 };
    writeFileSync(join(checkpoint, 'trainer_state.json'), JSON.stringify(state, null, 2));
  }
  writeFileSync(`${folder}.complete`, '');
  return folder;
}

/** Copies a file; of a safetensors file the header, and its size. @param {string} from @param {string} to */
function copyHeader(from, to) {
  if (!from.endsWith('.safetensors')) return copyFileSync(from, to);
  const fd = openSync(to, 'w');
  const bytes = readFileSync(from);
  writeSync(fd, bytes.subarray(0, 8 + Number(bytes.readBigUInt64LE(0))));
  ftruncateSync(fd, bytes.length);
  closeSync(fd);
}
