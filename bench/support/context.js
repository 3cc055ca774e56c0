/** What every bench is given: sizes from the command line, data made on demand, the library and the addon. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { average } from 'ckpt-merge';
import { loadBinding } from '../../dist/merge/native/load.js';
import { llama, makeCheckpoint } from './data.js';
import { timed } from './measure.js';

/** @typedef {ReturnType<typeof createContext>} Context */
/** @typedef {{ dir: string, paths: string[] }} Checkpoint */

/** @param {{ size: number, rounds: number, dir: string, tensors: number, seeds: number, keep: boolean }} options */
export function createContext({ size, rounds, dir, tensors, seeds, keep }) {
  const binding = loadBinding();
  mkdirSync(dir, { recursive: true });
  let outputs = 0;

  const context = {
    binding,
    /** Bytes of one checkpoint. */
    size,
    rounds,
    dir,
    /** Tensors of the benches about many small tensors. */
    tensors,
    /** Simulated cases of each row of the bench `claims`. */
    seeds,
    /** What "all threads" means here. */
    cores: availableParallelism(),

    /**
     * `count` Llama checkpoints of about `size` bytes (16-bit dtypes), in the page cache.
     * @param {number} count
     * @param {{ dtype?: import('./data.js').BenchDtype, bytes?: number, warm?: boolean }} [options]
     * @returns {Promise<Checkpoint[]>}
     */
    async llamas(count, { dtype = 'BF16', bytes = size, warm = true } = {}) {
      const model = llama(bytes);
      const made = [];
      for (let seed = 0; seed < count; seed++) {
        const folder = join(dir, setName(dtype, bytes), `checkpoint-${(seed + 1) * 1000}`);
        made.push({ dir: folder, paths: makeCheckpoint(folder, { ...model, dtype, shards: 2, seed }) });
      }
      if (warm) await context.warm(made.flatMap((c) => c.paths));
      return made;
    },

    /** Reads the files into the page cache. @param {string[]} paths */
    async warm(paths) {
      for (const path of paths) await binding.probeRead(path, 'read', context.cores);
      const resident = paths.reduce((sum, path) => sum + binding.residentBytes(path), 0);
      const total = paths.reduce((sum, path) => sum + statSync(path).size, 0);
      if (resident < 0.99 * total)
        console.warn(`note: only ${((100 * resident) / total).toFixed(0)} % of the inputs stay in the page cache`);
    },

    /** Drops the files from the page cache; says how much of them stayed. @param {string[]} paths */
    evict(paths) {
      for (const path of paths) binding.evict(path);
      return paths.reduce((sum, path) => sum + binding.residentBytes(path), 0);
    },

    /**
     * Writes and removes a file of `bytes`, so that what is measured next gets pages that this machine holds.
     * On a virtual machine free pages go back to the host within seconds and cost ten times as much to get
     * again; whoever came first after a pause would pay that for all others.
     * @param {number} bytes
     * @param {string} [path] where outputs are not in the folder of the data
     */
    async prime(bytes, path = context.output()) {
      // First, so that what the last contestant left dirty is not flushed on the next one's time, and so that
      // the pages freed below are still at hand.
      spawnSync('sync', ['-f', dir]);
      await binding.probeWrite(path, Math.ceil(bytes), context.cores);
      rmSync(path, { force: true });
    },

    /**
     * Removes data that no other bench uses, unless all is to be kept: it would take page cache from them.
     * @param {string} name
     */
    discard(name) {
      if (keep) return;
      for (const path of [name, `${name}.complete`]) rmSync(join(dir, path), { recursive: true, force: true });
    },

    /** A path for an output that is not there yet. @param {string} [under] */
    output(under = dir) {
      mkdirSync(under, { recursive: true });
      return join(under, `out-${process.pid}-${outputs++}`);
    },

    /**
     * Seconds of one `average` of the library; the output is removed outside the measured time.
     * @param {Omit<import('ckpt-merge').AverageOptions, 'output'> & { output?: string }} options
     */
    async average(options) {
      const output = options.output ?? context.output();
      try {
        return await timed(() => average({ method: 'sma', sync: false, ...options, output }));
      } finally {
        rmSync(output, { recursive: true, force: true });
      }
    },
  };
  return context;
}

/** Folder of a set of Llamas. @param {import('./data.js').BenchDtype} dtype @param {number} bytes */
export const setName = (dtype, bytes) => `${dtype.toLowerCase()}-${bytes}`;

/** Bytes of all shards. @param {Checkpoint} checkpoint */
export const bytesOf = (checkpoint) => checkpoint.paths.reduce((sum, path) => sum + statSync(path).size, 0);
