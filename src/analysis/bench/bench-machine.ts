import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { temporaryFolder } from '../../base/disk/temporary-folder.ts';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { defaultThreads } from '../../base/machine/threads.ts';
import { optionName } from '../../base/option-words.ts';
import { average } from '../../merge/average.ts';
import { loadBinding } from '../../merge/native/load.ts';
import { freeSpace } from '../../merge/plan/outputs/output-path.ts';
import { writeSyntheticCheckpoint } from './synthetic.ts';

export interface BenchOptions {
  /**
   * Folder on the file system to measure; a temporary folder is made in it and removed. Default: the system's
   * temporary folder.
   */
  readonly folder?: string | undefined;
  /** Bytes of each input. Default 256 MiB. */
  readonly bytes?: number | undefined;
  /** Number of inputs. Default 4. */
  readonly inputs?: number | undefined;
  /** Interleaved rounds. Default 5. */
  readonly rounds?: number | undefined;
  readonly threads?: number | undefined;
  readonly io?: 'auto' | 'map' | 'read' | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRound?: ((round: number, rounds: number) => void) | undefined;
}

/**
 * The JSON document of `bench`. Rates in bytes per second, times in seconds, best of the rounds where nothing
 * else is said.
 */
export interface BenchReport {
  readonly schema: 'ckpt-merge/bench';
  readonly version: 1;
  readonly fileSystem: string;
  readonly inputs: number;
  readonly inputBytes: number;
  readonly rounds: number;
  readonly threads: number;
  readonly isa: string;
  readonly io: string;
  /** Page cache to memory, every byte looked at: the faster of 256 KiB reads and a mapped scan. */
  readonly readBytesPerSecond: number;
  /** 1 MiB writes into a preallocated fresh file. */
  readonly writeBytesPerSecond: number;
  /** inputs / read rate + output / write rate: no merge can be faster. */
  readonly boundSeconds: number;
  readonly mergeSeconds: { readonly best: number; readonly median: number; readonly worst: number };
  /** The same with every fsync, as `average` does it. */
  readonly syncedSeconds: { readonly best: number; readonly median: number; readonly worst: number };
  /** boundSeconds / best merge. */
  readonly fractionOfBound: number;
  readonly mergeBytesPerSecond: number;
}

/** Shorter merges measure the start of files and threads. */
const LEAST_BYTES = 64 * 2 ** 20;

/**
 * Measures what this machine and file system can do and how near a merge comes to it, with a hot page cache,
 * rounds interleaved.
 *
 * @throws MergeError E_OPTION for inputs under 64 MiB; E_NO_SPACE when the folder lacks room for inputs and
 *   outputs; whatever `average` throws
 */
export async function benchMachine(options: BenchOptions = {}): Promise<BenchReport> {
  const { bytes = 256 * 2 ** 20, inputs = 4, rounds = 5, io = 'auto', signal } = options;
  if (bytes < LEAST_BYTES) {
    throw new MergeError('E_OPTION', `inputs of ${bytes} bytes are over before they can be timed; ${LEAST_BYTES} is the least`);
  }
  for (const [name, value, most] of [
    ['bytes', bytes, MOST.bytes],
    ['inputs', inputs, MOST.benchInputs],
    ['rounds', rounds, MOST.benchRounds],
  ] as const) {
    if (!(Number.isSafeInteger(value) && value >= 1 && value <= most))
      throw new MergeError('E_OPTION', `${optionName(name)} must be a whole number from 1 to ${most}, not ${value}`);
  }
  const threads = options.threads ?? defaultThreads();
  const parent = options.folder ?? tmpdir();
  const needed = (inputs + 2) * bytes;
  const { available } = await freeSpace(join(parent, 'ckpt-merge-bench'));
  if (available < needed)
    throw new MergeError('E_NO_SPACE', `${parent} needs ${needed} free bytes for this bench and has ${available}`, {
      details: { file: parent },
    });
  const binding = loadBinding();
  const folder = await temporaryFolder(parent, 'ckpt-merge-bench-');
  try {
    const paths = Array.from({ length: inputs }, (_, i) => join(folder, `checkpoint-${i + 1}`));
    let size = 0;
    for (const [i, path] of paths.entries()) size = await writeSyntheticCheckpoint(path, bytes, i + 1);
    const files = paths.map((p) => join(p, 'model.safetensors'));
    const output = join(folder, 'merged');
    const times = { read: [] as number[], map: [] as number[], write: [] as number[], merge: [] as number[], synced: [] as number[] };
    let used: { isa: string; io: string } = { isa: '', io: '' };
    const merge = async (sync: boolean): Promise<number> => {
      const result = await average({ inputs: paths, output, threads, io, sync, cache: 'keep' }, { signal });
      used = { isa: result.isa, io: result.io };
      await removeTree(SYSTEM, output);
      return result.seconds;
    };
    for (let round = 0; round < rounds; round++) {
      options.onRound?.(round + 1, rounds);
      const file = files[round % files.length]!;
      for (const mode of ['read', 'map'] as const) times[mode].push(rate(await binding.probeRead(file, mode, threads)));
      const probe = join(folder, 'probe');
      times.write.push(rate(await binding.probeWrite(probe, size, threads)));
      await removeTree(SYSTEM, probe);
      times.merge.push(await merge(false));
      times.synced.push(await merge(true));
      signal?.throwIfAborted();
    }
    const readRate = Math.max(...times.read, ...times.map);
    const writeRate = Math.max(...times.write);
    const boundSeconds = (inputs * size) / readRate + size / writeRate;
    const mergeSeconds = spread(times.merge);
    return {
      schema: 'ckpt-merge/bench',
      version: 1,
      fileSystem: binding.fileSystemType(folder),
      inputs,
      inputBytes: size,
      rounds,
      threads,
      ...used,
      readBytesPerSecond: readRate,
      writeBytesPerSecond: writeRate,
      boundSeconds,
      mergeSeconds,
      syncedSeconds: spread(times.synced),
      fractionOfBound: boundSeconds / mergeSeconds.best,
      mergeBytesPerSecond: ((inputs + 1) * size) / mergeSeconds.best,
    };
  } finally {
    await removeTree(SYSTEM, folder);
  }
}

function rate({ bytes, seconds }: { bytes: number; seconds: number }): number {
  return bytes / seconds;
}

function spread(seconds: readonly number[]): { best: number; median: number; worst: number } {
  const sorted = [...seconds].sort((a, b) => a - b);
  return { best: sorted[0]!, median: sorted[sorted.length >> 1]!, worst: sorted.at(-1)! };
}
