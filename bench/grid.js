/**
 * A grid of 24 outputs over 30 checkpoints with overlapping windows, made in one read, against each output on its own.
 * The ratio that a perfect program would have follows from what reading (r) and writing (w) one checkpoint cost here:
 * one by one Σ N_j·r + K·w, together U·r + K·w, N_j the members of output j, U those of all. Inputs are dropped from
 * the page cache before each; outputs lie on a tmpfs where it has room, else beside the inputs, flushed by all alike.
 * Then, with all inputs in the page cache, what more outputs of the same members cost, and how much memory they take.
 * An eighth of the size of the other benches, as there are 30 checkpoints: `--size 2.1e9` has ones of 262 MB.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { grid, gridRecipe, planGrid, runRecipe } from 'ckpt-merge';
import { mergeInChild } from './support/child.js';
import { bytesOf, setName } from './support/context.js';
import { interleaved, spread, summaries, summary, table, timed } from './support/measure.js';

const MEMBERS = 30;
const GOAL = 0.85;
/** Outputs of each window: itself, reversed and scrambled twice. */
const CONTROLS = 4;
/** Streams of plain reading: the better one is what reading costs. */
const STREAMS = 4;
/** Outputs of the same members. */
const KS = /** @type {const} */ ([1, 2, 4, 8, 16, 24]);
const TMPFS = '/dev/shm';

/** @param {import('./support/context.js').Context} context */
export default async function gridBench(context) {
  const bytes = context.size / 8;
  const checkpoints = await context.llamas(MEMBERS, { bytes, warm: false });
  const paths = checkpoints.flatMap((c) => c.paths);
  const run = join(context.dir, setName('BF16', bytes));
  const one = bytesOf(checkpoints[0]);
  const folder = placeFor(MEMBERS * one) ?? join(context.dir, 'grid-outputs');
  mkdirSync(folder, { recursive: true });
  const output = () => context.output(folder);
  try {
    const cold = await coldRounds(context, { run, paths, one, output });
    const hot = await hotRounds(context, { run, paths, one, output });
    return { goal: GOAL, bytes: one, outputsOn: context.binding.fileSystemType(folder), ...cold, hot };
  } finally {
    rmSync(folder, { recursive: true, force: true });
    context.discard(setName('BF16', bytes));
  }
}

/**
 * A folder on a tmpfs that has room, with memory for it and for inputs that are as large; null where there is none.
 * @param {number} bytes
 */
function placeFor(bytes) {
  if (!existsSync(TMPFS)) return null;
  const { bavail, bsize } = statfsSync(TMPFS);
  return Math.min(bavail * bsize, process.availableMemory() / 2) > bytes ? mkdtempSync(join(TMPFS, 'ckpt-merge-bench-')) : null;
}

/** @typedef {{ run: string, paths: string[], one: number, output: () => string }} Setting */

/** @param {import('./support/context.js').Context} context @param {Setting} setting */
async function coldRounds(context, { run, paths, one, output }) {
  const axes = /** @type {const} */ ({
    run,
    windows: ['5ckpt', '10ckpt', '20ckpt'],
    decay: '1-sqrt',
    controls: ['reverse', 'scramble-seeds:1-2'],
    endpoints: ['20000', '30000'],
  });
  const plan = await planGrid({ ...axes, output: output() });
  const recipe = await gridRecipe({ ...axes, output: output() });
  const outputs = plan.outputs.length;
  // One of each window and endpoint, each another control: they have a quarter of all members.
  const some = recipe.outputs.filter((_, k) => k % CONTROLS === Math.floor(k / CONTROLS) % CONTROLS);
  const members = (/** @type {readonly { members: readonly unknown[] }[]} */ of) =>
    of.reduce((sum, { members }) => sum + members.length, 0);
  const [all, union] = [members(plan.outputs), new Set(plan.outputs.flatMap((o) => o.members.map(({ path }) => path))).size];
  let [stayed, again] = [0, 0];
  const cold = () => {
    stayed = Math.max(stayed, context.evict(paths));
  };
  const read = (/** @type {string[]} */ files) => async () => {
    for (const path of files) await context.binding.probeRead(path, 'read', 1, 1 << 20);
  };
  const seconds = await interleaved(
    context.rounds,
    {
      together: async () => {
        const into = output();
        cold();
        const before = readFromDisk();
        let bytesRead = 0;
        const took = await timed(async () => {
          ({ bytesRead } = await grid({ ...axes, output: into }));
        });
        again = Math.max(again, checkReads(bytesRead, plan.bytesRead, readFromDisk() - before, union * one));
        rmSync(into, { recursive: true, force: true });
        return took;
      },
      alone: async () => {
        let took = 0;
        for (const one of some) {
          const path = output();
          cold();
          took += await timed(() => runRecipe({ ...recipe, outputs: [{ ...one, path }] }));
          rmSync(path, { recursive: true, force: true });
        }
        return took;
      },
      oneStream: () => {
        cold();
        return timed(read(paths));
      },
      streams: () => {
        cold();
        const parts = Array.from({ length: STREAMS }, (_, s) => paths.filter((_, i) => i % STREAMS === s));
        return timed(() => Promise.all(parts.map((part) => read(part)())));
      },
      write: () => written(context, output(), 4 * one),
    },
    () => context.prime(outputs * one, output()),
  );
  const s = summaries(seconds);
  const [r, w] = [Math.min(s.oneStream.median, s.streams.median) / MEMBERS, s.write.median / 4];
  const alone = (s.alone.median * all) / members(plan.outputs.filter((_, k) => some.includes(recipe.outputs[k])));
  const possible = (all * r + outputs * w) / (union * r + outputs * w);
  const ratio = alone / s.together.median;
  table(Object.entries(s).map(([name, t]) => ({ 'cold, what': name, 'seconds, median (range)': spread(t) })));
  console.log(
    `${outputs} outputs of ${all} members, ${union} of them different, ${(one / 1e6).toFixed(0)} MB each, in ${plan.batches.length} read(s); ${some.length} of them alone, at most ${stayed} bytes stayed after eviction`,
  );
  console.log(
    `each input was read once: ${plan.bytesRead} bytes by the engine's count${again === 0 ? '' : `, ${again.toFixed(3)} of the files by the system's`}`,
  );
  console.log(
    `${ratio.toFixed(2)} times as fast as one by one; (ΣN·r + K·w) / (U·r + K·w) is ${possible.toFixed(2)}: ${(ratio / possible).toFixed(2)} of it (goal ${GOAL})`,
  );
  return {
    ...{ outputs, members: all, different: union, readSeconds: r, writeSeconds: w, ratio, possible, share: ratio / possible },
    ...{ residentAfterEviction: stayed, readShare: again, seconds: s },
  };
}

/** Bytes that this process made the system fetch from a disk; 0 where the system does not tell. */
function readFromDisk() {
  try {
    return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/**
 * By two counters: the engine's, of tensors, and the system's, of whole files, which may have been read ahead.
 * @param {number} counted @param {number} planned @param {number} fetched @param {number} files
 */
function checkReads(counted, planned, fetched, files) {
  if (counted !== planned) throw new Error(`${counted} bytes of inputs were read, and ${planned} are once each`);
  if (fetched > 1.02 * files) throw new Error(`${fetched} bytes were fetched for files of ${files}`);
  return fetched / files;
}

/** Seconds of writing and flushing a file. @param {import('./support/context.js').Context} context @param {string} path @param {number} bytes */
async function written({ binding, cores }, path, bytes) {
  const took = await timed(async () => {
    await binding.probeWrite(path, bytes, cores);
    const fd = openSync(path, 'r+');
    fsyncSync(fd);
    closeSync(fd);
  });
  rmSync(path, { force: true });
  return took;
}

/**
 * Outputs of the last 20 members, which differ in the order of their weights.
 * @param {import('./support/context.js').Context} context @param {Setting} setting
 */
async function hotRounds(context, { run, paths, one, output }) {
  const axesOf = (/** @type {number} */ count) =>
    /** @type {import('ckpt-merge').GridOptions} */ ({
      run,
      windows: '20ckpt',
      decay: '1-sqrt',
      ...(count > 1 && { controls: `scramble-seeds:1-${count - 1}` }),
      output: output(),
    });
  await context.warm(paths);
  const work = (/** @type {number} */ count) => async () => {
    const axes = axesOf(count);
    const took = await timed(() => grid(axes));
    rmSync(axes.output, { recursive: true, force: true });
    return took;
  };
  const seconds = await interleaved(
    context.rounds,
    /** @type {Record<string, () => Promise<number>>} */ ({
      write: () => written(context, output(), 4 * one),
      ...Object.fromEntries(KS.map((k) => [`K${k}`, work(k)])),
    }),
    () => context.prime(24 * one, output()),
  );
  const rows = [];
  for (const k of KS) {
    const axes = axesOf(k);
    const { peakMemoryBytes } = await planGrid(axes);
    const { anonBytes, said } = await mergeInChild({ grid: axes }, { sampleMillis: 2 });
    rmSync(axes.output, { recursive: true, force: true });
    rows.push({ outputs: k, seconds: summary(seconds[`K${k}`]), cpuSeconds: said.cpu_seconds, anonBytes, promised: peakMemoryBytes });
  }
  const write = summary(seconds.write).median / 4;
  const [first] = rows;
  table(
    rows.map(({ outputs, seconds, cpuSeconds, anonBytes, promised }) => ({
      'hot, K': outputs,
      'seconds, median (range)': spread(seconds),
      'CPU s': cpuSeconds,
      'each extra s': outputs === 1 ? 0 : (seconds.median - first.seconds.median) / (outputs - 1),
      'its write alone s': write,
      'K runs alone s': outputs * first.seconds.median,
      'anonymous MB': anonBytes / 1e6,
      'promised MB': promised / 1e6,
    })),
  );
  return { members: 20, writeSeconds: write, rows };
}
