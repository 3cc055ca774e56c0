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

/**
 * Files that hold tensors, or say where they lie, by the last part of their names: of safetensors, of
 * torch.distributed, and what torch.save's writers call theirs. Optimizers' files of torch.save are none.
 */
const TENSORS =
  /^(.*\.safetensors(\.index\.json)?|.*\.distcp|\.metadata|pytorch_model.*\.bin(\.index\.json)?|(model|pytorch_model|consolidated\.\d+)\.(pt|pth|bin|ckpt)|model(_optim)?_rng\.pt|mp_rank_\d+_model_states\.pt|model_world_size_\d+_rank_\d+\.pt)$/;

/**
 * Folders of a checkpoint that are looked into: those of a few hold its weights, those of many are something
 * else.
 */
const FOLDERS_READ = 16;

/** Whether a file, by its path in the checkpoint, is one of its tensors' files or says where they lie. */
export const holdsTensors = (name: string): boolean => TENSORS.test(basename(name));

/** What lies in a folder and in the folders of it, by paths from there; folders themselves, too. */
export async function namesWithin(folder: string): Promise<string[]> {
  const entries = await SYSTEM.fs.readdir(folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).slice(0, FOLDERS_READ);
  const inner = await Promise.all(
    folders.map(async ({ name }) => (await SYSTEM.fs.readdir(join(folder, name)).catch(() => [])).map((file) => `${name}/${file}`)),
  );
  return [...entries.map(({ name }) => name), ...inner.flat()].sort();
}

/**
 * The signature of a checkpoint, a folder or a file; null where it is gone or going. Times count in whole
 * milliseconds, which copies keep.
 */
export async function signatureOf(path: string): Promise<Signature | null> {
  try {
    const folder = (await SYSTEM.fs.stat(path)).isDirectory();
    // Of the optimizer's files in a folder of their own there may be one for each of thousands of ranks.
    const names = folder ? (await namesWithin(path)).filter((name) => !name.includes('/') || holdsTensors(name)) : [basename(path)];
    const base = folder ? path : dirname(path);
    const isOfTensors = (name: string): boolean => !folder || holdsTensors(name);
    const lines = await Promise.all(
      names.map(async (name) => {
        const file = join(base, name);
        // A side file that is a link to nothing is not going: what becomes of it is for the merge to say.
        const { size, mtimeMs } = await (isOfTensors(name)
          ? SYSTEM.fs.stat(file)
          : SYSTEM.fs.stat(file).catch(() => SYSTEM.fs.lstat(file)));
        return [name, size, Math.floor(mtimeMs)];
      }),
    );
    return { whole: digest(lines), tensors: digest(lines.filter(([name]) => isOfTensors(name as string))) };
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
