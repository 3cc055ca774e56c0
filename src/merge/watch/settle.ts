import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';

/** What a checkpoint's files look like from outside: names, sizes and times of last change, as digests. */
export interface Signature {
  /** Of everything in the folder: optimizer and trainer state are written after the weights. */
  readonly whole: string;
  /**
   * Of tensor files and index: a checkpoint that was merged stays so when an evaluation writes its scores
   * beside the weights.
   */
  readonly tensors: string;
}

const TENSORS = /\.safetensors(\.index\.json)?$/;

/**
 * The signature of a checkpoint, a folder or a file; null where it is gone or going. Times count in whole
 * milliseconds, which copies keep.
 */
export async function signatureOf(path: string): Promise<Signature | null> {
  try {
    const folder = (await SYSTEM.fs.stat(path)).isDirectory();
    const names = folder ? (await SYSTEM.fs.readdir(path)).sort() : [basename(path)];
    const base = folder ? path : dirname(path);
    const lines = await Promise.all(
      names.map(async (name) => {
        const file = join(base, name);
        // A side file that is a link to nothing is not going: what becomes of it is for the merge to say.
        const { size, mtimeMs } = await (TENSORS.test(name)
          ? SYSTEM.fs.stat(file)
          : SYSTEM.fs.stat(file).catch(() => SYSTEM.fs.lstat(file)));
        return [name, size, Math.floor(mtimeMs)];
      }),
    );
    return { whole: digest(lines), tensors: digest(lines.filter(([name]) => TENSORS.test(name as string))) };
  } catch {
    return null;
  }
}

function digest(lines: readonly (readonly (string | number)[])[]): string {
  return createHash('sha256').update(JSON.stringify(lines)).digest('hex').slice(0, 32);
}

/**
 * Tells checkpoints that stay as they are from those still being written: a file system event, or sizes that
 * fit the headers, say nothing about a file that was allocated whole and is filled now.
 */
export class Settling {
  readonly #seconds: number;
  readonly #now: () => number;
  readonly #seen = new Map<string, { readonly whole: string; readonly since: number }>();

  /** @param now clock in seconds */
  constructor(seconds: number, now: () => number = () => performance.now() / 1000) {
    this.#seconds = seconds;
    this.#now = now;
  }

  /** Whether the checkpoint looked like this for long enough, over at least two looks. */
  settled(path: string, { whole }: Signature): boolean {
    const before = this.#seen.get(path);
    if (before?.whole === whole) return this.#now() - before.since >= this.#seconds;
    this.#seen.set(path, { whole, since: this.#now() });
    return false;
  }
}
