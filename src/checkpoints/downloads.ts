import { createHash } from 'node:crypto';
import { basename, dirname, join, parse } from 'node:path';
import { storeOf } from '../base/store/store.ts';
import { isTrainingState } from './training-state.ts';
import type { Checkpoint } from './types.ts';

/** What programs that download keep beside a file until it is whole. */
const UNFINISHED = /\.(aria2|incomplete|part|partial|crdownload|download|lftp-pget-status|!qB)$|\.safetensors\.st$/;
/** Where the Hub's client keeps what it downloads into a folder of the user's. */
const HUB_FOLDER = '.cache/huggingface/download';
/**
 * What it calls a part by, before the ETag: base64url of the SHA-1 of a name, and not the name itself since
 * 2024.
 */
const HASH = /^[\w-]{27}=$/;
/**
 * Files that a merge is made of, and that a checkpoint can be opened without: of the weights that an index
 * names, none may be missing. Of a hash of another name nothing tells whether it is wanted.
 */
const EXPECTED = [
  ...['config', 'generation_config', 'model.safetensors.index', 'tokenizer', 'tokenizer_config', 'special_tokens_map'],
  ...['added_tokens', 'vocab', 'tekken', 'preprocessor_config', 'processor_config', 'chat_template'],
]
  .map((name) => `${name}.json`)
  .concat('model.safetensors', 'tokenizer.model', 'merges.txt', 'vocab.txt', 'chat_template.jinja');

/**
 * The file that says that a checkpoint is still being downloaded, or was not to its end; null where none
 * does. aria2 gives a file its whole length at once and has only the second one say what of it is there; the
 * Hub's client leaves a part behind where it was interrupted, which counts while what it is of is missing: it
 * gives a file its name once it is whole.
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
  const there = new Set(names.map(shortHash));
  const wanted = new Set(EXPECTED.map(shortHash));
  const missing = parts.find((part) => {
    const [hash] = part.split('.', 1) as [string];
    if (HASH.test(hash)) return wanted.has(hash) && !there.has(hash);
    const name = part.replace(/\.[^.]*\.[^.]*$/, '');
    return !isTrainingState(name) && !names.some((one) => part.startsWith(`${one}.`));
  });
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

function shortHash(name: string): string {
  // The client's own padding is that of base64: 20 bytes end in one `=`.
  return `${createHash('sha1').update(`${name}.metadata`).digest('base64url')}=`;
}

/** None of a folder that is not there, or cannot be read. */
async function namesIn(folder: string): Promise<string[]> {
  const entries = await storeOf(folder)
    .list(folder)
    .catch(() => null);
  return (entries ?? []).map(({ name }) => name).sort();
}
