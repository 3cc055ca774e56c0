import { createHash, getHashes } from 'node:crypto';
import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { type Integrity, readIntegrity } from '../../checkpoints/integrity.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { VerifyProgress } from './verify.ts';

/** Bytes that are hashed between looks at the signal. */
const STEP = 8 * 2 ** 20;

/** The files of a checkpoint that are as its writer left them. */
export interface IntegrityReport {
  /** As the writer calls it: `sha256`. */
  readonly algorithm: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sum: string; readonly ok: true }[];
}

/**
 * Compares the files of a checkpoint with the checksums that its writer left beside them (`integrity.json` of
 * Megatron-core); null where it left none.
 * @throws MergeError E_VERIFY naming the first file that is another, or is not there; E_DCP for checksums
 * that
 *   say nothing; `signal.reason` on an abort
 */
export async function checkIntegrity(
  checkpoint: Pick<Checkpoint, 'path' | 'kind'>,
  {
    signal,
    onProgress,
  }: { readonly signal?: AbortSignal | undefined; readonly onProgress?: ((event: VerifyProgress) => void) | undefined },
): Promise<IntegrityReport | null> {
  const integrity = await readIntegrity(checkpoint);
  if (integrity === null) return null;
  const { path, algorithm, files } = integrity;
  if (!getHashes().includes(algorithm)) {
    throw new MergeError('E_DCP', `${path}: its checksums are ${JSON.stringify(algorithm)}, which is not known here`, {
      details: { file: path },
    });
  }
  const sizes = new Map<string, number>();
  for (const name of files.keys()) sizes.set(name, await sizeOf(checkpoint.path, name, integrity));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let done = 0;
  const checked: IntegrityReport['files'][number][] = [];
  for (const [name, expected] of files) {
    const found = await sumOf(join(checkpoint.path, name), algorithm, (bytes) => {
      done += bytes;
      onProgress?.({ type: 'progress', phase: 'crc', done, total });
      signal?.throwIfAborted();
    });
    if (found !== expected) {
      throw new MergeError('E_VERIFY', `${name} has ${algorithm} ${found}, and ${path} says ${expected}`, {
        details: { file: join(checkpoint.path, name), expected, found },
        help: CHANGED,
      });
    }
    checked.push({ name, bytes: sizes.get(name)!, sum: found, ok: true });
  }
  return { algorithm, files: checked };
}

const CHANGED = 'The file was changed or damaged since the trainer wrote it: take another copy, or leave this checkpoint out of merges.';

async function sizeOf(folder: string, name: string, { path }: Integrity): Promise<number> {
  const file = join(folder, name);
  const size = await storeOf(file)
    .stat(file)
    .then(
      (stat) => stat.size,
      () => null,
    );
  if (size !== null) return size;
  throw new MergeError('E_VERIFY', `${name} is not there, or cannot be read, and ${path} has a checksum for it`, {
    details: { file },
    help: CHANGED,
  });
}

async function sumOf(path: string, algorithm: string, onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash(algorithm);
  const file = await storeOf(path).open(path);
  try {
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(STEP, file.stat.size)));
    for (let at = 0; at < file.stat.size; ) {
      const bytes = await file.read(buffer, at);
      if (bytes === 0) break;
      hash.update(buffer.subarray(0, bytes));
      at += bytes;
      onBytes(bytes);
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}
