import { basename, dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { makeFolder } from '../../base/disk/make-folder.ts';
import { copyWithTime } from '../../base/disk/own-file.ts';
import { NO_HARD_LINKS } from '../../base/disk/owner.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { type OpenOptions, openCheckpoint } from '../../checkpoints/open.ts';
import { foldersOfStep } from '../../checkpoints/position.ts';
import type { RunCheckpoint } from '../../checkpoints/run/types.ts';
import { findSideFile, groundOf, type LeftFile, type SideFile, type SideFileOptions, sideFiles } from '../../checkpoints/side-files.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { copySideFiles } from '../../merge/output/copy-side-files.ts';
import { checkLoss } from '../../merge/output/destination.ts';
import { holdsTensors, namesWithin, signatureOf } from './settle.ts';

/** State files that say where a checkpoint stands; the rest of the training state is not held on to. */
const STATE_FILES = new Set(['trainer_state.json', 'checkpoint_metadata.json', 'metadata.json']);
/**
 * The same of containers, and what tells who wrote them: `train/rank0.pt` and `.metadata.json` of OLMo-core,
 * Megatron-core's of before.
 */
const CONTAINER_STATE = /^(train\/rank\d+\.pt|\.metadata\.json|common\.pt)$/;

type PinOptions = SideFileOptions & Pick<OpenOptions, 'withState'>;

/**
 * Holds on to a checkpoint under its own name in `folder`: tensor files, index, configuration, tokenizer and
 * trainer state as hard links to what they are (through symbolic links, as in the Hub's cache), or as copies
 * where the file system cannot link. A side file that leads outside the checkpoint and its run stays the link
 * that it is: as a file of the pin it would be copied where the checkpoint's own would not. Appears whole.
 * @param tensors signature that the checkpoint had when it was found complete
 * @param options `name`: that of the pin, where it is not the checkpoint's own; `withState`: the files of the
 *   optimizer's ranks as well; the others as for side files
 * @param own whether what has the pin's name may be replaced: an older pin, or one of a watch that was killed
 * @returns the path of the pin
 * @throws MergeError E_NOT_READABLE for a side file that cannot be had, E_INPUT_CHANGED where the checkpoint
 *   is not that one any more, E_OUTPUT_EXISTS where something else has its name
 */
export async function pin(
  checkpoint: string,
  folder: string,
  tensors: string,
  own: boolean,
  { name = basename(checkpoint), ...options }: PinOptions & { readonly name?: string } = {},
): Promise<string> {
  const path = join(folder, name);
  const there = await signatureOf(path);
  if (there !== null && !own) throw new MergeError('E_OUTPUT_EXISTS', `${path} is in the way of a pin`, { details: { file: path } });
  if (there?.tensors === tensors) return path;
  const draft = join(folder, `.pinning-${name}`);
  await onOutput('create', folder, () => makeFolder(folder));
  // Left by a kill, or anything that somebody gave this name.
  await unpin(draft, 'rest');
  try {
    if ((await SYSTEM.fs.stat(checkpoint)).isDirectory()) await linkFolder(checkpoint, draft, options);
    else await linkFile(checkpoint, draft);
    if (own) await unpin(path);
    await SYSTEM.fs.rename(draft, path);
  } catch (error) {
    await removeTree(SYSTEM, draft);
    if (errnoOf(error) === 'ENOENT') throw changed(checkpoint, error);
    throw toMergeError(error, { action: 'pin', file: checkpoint, side: 'output' });
  }
  if ((await signatureOf(path))?.tensors === tensors) return path;
  await unpin(path);
  throw changed(checkpoint);
}

/** What the pin of a checkpoint is called: as its step's folder is, where it lies deeper in that. */
export function pinName({ name, path }: Pick<RunCheckpoint, 'name' | 'path'>): string {
  return path.split('/').includes(name) ? name : basename(path);
}

/**
 * Lets go of a checkpoint: what the trainer still has of it stays.
 * @param as `rest` for one that may be half made
 * @throws MergeError E_OUTPUT_KIND where there is something else than a pin by now; of the side of outputs
 */
export async function unpin(path: string, as: 'folder' | 'rest' = 'folder'): Promise<void> {
  const there = await SYSTEM.fs.lstat(path).catch(() => null);
  if (there === null) return;
  await checkLoss(path, path, there.isDirectory() ? as : 'file');
  await onOutput('remove', path, () => removeTree(SYSTEM, path));
}

async function linkFolder(folder: string, draft: string, { withState, ...options }: PinOptions): Promise<void> {
  const checkpoint = await openCheckpoint(folder, { withState });
  const { copied, left, faults } = await sideFiles(checkpoint, options);
  if (faults.length > 0) throw faults[0]!;
  await onOutput('create', draft, () => SYSTEM.fs.mkdir(draft));
  for (const name of await tensorFilesOf(checkpoint)) {
    if (name.includes('/')) await makeFolder(dirname(join(draft, name)));
    await linkFile(join(folder, name), join(draft, name));
  }
  const ground = await groundOf(folder, options.followLinks ?? false);
  const states: (SideFile | LeftFile)[] = [];
  for (const { name, leadsTo } of left) {
    if (leadsTo === undefined && STATE_FILES.has(name)) states.push(await findSideFile(folder, name, ground));
  }
  // Those of the folder of its step around it, where the checkpoint lies deeper in that.
  for (const outer of foldersOfStep(folder).slice(1)) {
    const around = await groundOf(outer, options.followLinks ?? false);
    for (const name of STATE_FILES) {
      if (states.some((state) => state.name === name)) continue;
      const found = await findSideFile(outer, name, around).catch(() => null);
      if (found !== null && 'real' in found) states.push(found);
    }
  }
  for (const found of [...copied, ...left, ...states]) {
    if ('real' in found) await pinSideFile(found, draft);
    else if (found.leadsTo !== undefined) await SYSTEM.fs.symlink(found.leadsTo, join(draft, found.name));
  }
}

/**
 * Files that a checkpoint is read from, by their names in it: those that hold tensors, and those that say
 * where.
 */
async function tensorFilesOf({ path, files, heads, indexName, form }: Checkpoint): Promise<ReadonlySet<string>> {
  const named = [...files, ...heads].map(({ name }) => name);
  if (form.kind === 'safetensors') return new Set([...named, ...(indexName === null ? [] : [indexName])]);
  const others = (await namesWithin(path)).filter((name) => holdsTensors(name) || CONTAINER_STATE.test(name));
  return new Set([...named, ...others]);
}

/** The very file that was looked at. */
async function pinSideFile(file: SideFile, draft: string): Promise<void> {
  const target = join(draft, file.name);
  await makeFolder(dirname(target));
  if (!(await hardLink(file.real, target))) await copySideFiles([file], { dir: draft, shown: draft });
  else if ((await storeOf(target).stat(target)).version !== file.version) throw changed(file.path);
}

async function linkFile(source: string, target: string): Promise<void> {
  const file = await SYSTEM.fs.realpath(source);
  if (await hardLink(file, target)) return;
  // Only a regular file is opened by the store: copying would wait for the writer of a FIFO.
  await (await storeOf(file).open(file)).close();
  await onOutput('copy', target, () => copyWithTime(file, target));
}

/** @returns false where the file system cannot, or it is another one */
async function hardLink(file: string, target: string): Promise<boolean> {
  try {
    await SYSTEM.fs.link(file, target);
    return true;
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno !== 'EXDEV' && !NO_HARD_LINKS.has(errno)) throw error;
    return false;
  }
}

function changed(checkpoint: string, cause?: unknown): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${checkpoint}: changed or was deleted before it could be pinned`, {
    details: { file: checkpoint },
    cause,
  });
}
