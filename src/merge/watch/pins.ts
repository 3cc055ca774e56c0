import { constants } from 'node:fs';
import { copyFile, link, mkdir, realpath, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { NO_HARD_LINKS } from '../../base/disk/owner.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { sideFiles } from '../../checkpoints/side-files.ts';
import { signatureOf } from './settle.ts';

/** State files that say where a checkpoint stands; the rest of the training state is not held on to. */
const STATE_FILES = new Set(['trainer_state.json', 'checkpoint_metadata.json', 'metadata.json']);

/**
 * Holds on to a checkpoint under its own name in `folder`: tensor files, index, configuration, tokenizer and
 * trainer state as hard links to what they are (through symbolic links, as in the Hub's cache), or as copies
 * where the file system cannot link. Appears whole.
 * @param tensors signature that the checkpoint had when it was found complete
 * @param own whether what has the pin's name may be replaced: an older pin, or one of a watch that was killed
 * @returns the path of the pin
 * @throws MergeError E_INPUT_CHANGED where the checkpoint is not that one any more, E_OUTPUT_EXISTS where
 *   something else has its name
 */
export async function pin(checkpoint: string, folder: string, tensors: string, own: boolean): Promise<string> {
  const path = join(folder, basename(checkpoint));
  const there = await signatureOf(path);
  if (there !== null && !own) throw new MergeError('E_OUTPUT_EXISTS', `${path} is in the way of a pin`, { details: { file: path } });
  if (there?.tensors === tensors) return path;
  const draft = join(folder, `.pinning-${basename(checkpoint)}`);
  await onOutput('create', folder, () => mkdir(folder, { recursive: true }));
  await rm(draft, { recursive: true, force: true });
  try {
    if ((await stat(checkpoint)).isDirectory()) await linkFolder(checkpoint, draft);
    else await linkFile(checkpoint, draft);
    if (own) await rm(path, { recursive: true, force: true });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (errnoOf(error) === 'ENOENT') throw changed(checkpoint, error);
    throw toMergeError(error, { action: 'pin', file: checkpoint, side: 'output' });
  }
  if ((await signatureOf(path))?.tensors === tensors) return path;
  await unpin(path);
  throw changed(checkpoint);
}

/** Lets go of a checkpoint: what the trainer still has of it stays. */
export async function unpin(path: string): Promise<void> {
  await onOutput('remove', path, () => rm(path, { recursive: true, force: true }));
}

async function linkFolder(folder: string, draft: string): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const { copied, left } = await sideFiles(checkpoint);
  const names = [
    ...checkpoint.shards.map(({ name }) => name),
    ...(checkpoint.indexName === null ? [] : [checkpoint.indexName]),
    ...[...copied, ...left.filter(({ name }) => STATE_FILES.has(name))].map(({ name }) => name),
  ];
  await onOutput('create', draft, () => mkdir(draft));
  for (const name of names) {
    const target = join(draft, name);
    if (name.includes('/')) await mkdir(dirname(target), { recursive: true });
    await linkFile(join(folder, name), target);
  }
}

async function linkFile(source: string, target: string): Promise<void> {
  const file = await realpath(source);
  try {
    await link(file, target);
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno !== 'EXDEV' && !NO_HARD_LINKS.has(errno)) throw error;
    await copy(file, target);
  }
}

/** Keeps the time of last change to the millisecond, by which a signature knows the file. */
async function copy(file: string, target: string): Promise<void> {
  const { mtimeMs } = await stat(file);
  // Only a regular file is opened by the store: copying would wait for the writer of a FIFO.
  await (await storeOf(file).open(file)).close();
  await onOutput('copy', target, async () => {
    await copyFile(file, target, constants.COPYFILE_FICLONE);
    // The middle of the millisecond: seconds as a float64 are a little off.
    const seconds = (Math.floor(mtimeMs) + 0.5) / 1000;
    await utimes(target, seconds, seconds);
  });
}

function changed(checkpoint: string, cause?: unknown): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${checkpoint}: changed or was deleted before it could be pinned`, {
    details: { file: checkpoint },
    cause,
  });
}
