import { basename, dirname, join, parse } from 'node:path';
import { storeOf } from '../base/store/store.ts';
import { isTrainingState } from './training-state.ts';
import type { Checkpoint } from './types.ts';

/** What programs that download keep beside a file until it is whole. */
const UNFINISHED = /\.(aria2|incomplete|part|partial|crdownload|download|lftp-pget-status|!qB)$|\.safetensors\.st$/;
/** Where the Hub's client keeps what it downloads into a folder of the user's. */
const HUB_FOLDER = '.cache/huggingface/download';

/**
 * The file that says that a checkpoint is still being downloaded, or was not to its end; null where none does.
 * aria2 gives a file its whole length at once and has only the second one say what of it is there; the Hub's
 * client leaves a part behind where it was interrupted, which counts while what it is of is missing.
 */
export async function unfinishedDownload({ path, kind }: Pick<Checkpoint, 'path' | 'kind'>): Promise<string | null> {
  const folder = kind === 'folder' ? path : dirname(path);
  const names = await namesIn(folder);
  // Nothing is made of an optimizer's state that is not there in full: what resumes from it says so itself.
  const beside = names.find(
    (name) => UNFINISHED.test(name) && !isTrainingState(parse(name).name) && (kind === 'folder' || name.startsWith(`${basename(path)}.`)),
  );
  if (beside !== undefined) return join(folder, beside);
  const parts = (await namesIn(join(folder, HUB_FOLDER))).filter((name) => UNFINISHED.test(name));
  const missing = parts.find((part) => !names.some((name) => part.startsWith(`${name}.`)));
  if (missing !== undefined) return join(folder, HUB_FOLDER, missing);
  return basename(dirname(folder)) === 'snapshots' ? unfinishedBlob(join(folder, '../../blobs')) : null;
}

/** Of the Hub's cache: which revision it is of, nothing tells. */
async function unfinishedBlob(folder: string): Promise<string | null> {
  const names = await namesIn(folder);
  const there = new Set(names);
  const part = names.find((name) => UNFINISHED.test(name) && !there.has(name.slice(0, name.indexOf('.'))));
  return part === undefined ? null : join(folder, part);
}

/** None of a folder that is not there, or cannot be read. */
async function namesIn(folder: string): Promise<string[]> {
  const entries = await storeOf(folder)
    .list(folder)
    .catch(() => null);
  return (entries ?? []).map(({ name }) => name).sort();
}
