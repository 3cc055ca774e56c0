import { basename, dirname, join, resolve } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { storeOf } from '../base/store/store.ts';

/**
 * An organisation or user, and a name: letters, digits, `-`, `_` and `.`, no two `-` or `.` in a row, none at
 * the ends, 96 characters in all.
 */
const ID = /^(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?\/[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?$/;

/**
 * Whether a text can be the id of a model on the Hugging Face Hub (huggingface_hub, `validate_repo_id`), with
 * its organisation.
 */
export function isRepoId(text: string): boolean {
  return text.length <= 96 && ID.test(text) && !text.endsWith('.git');
}

/** @throws MergeError E_OPTION for what is no id of the form org/name */
export function checkRepoId(id: string): string {
  if (isRepoId(id)) return id;
  throw new MergeError('E_OPTION', `the base model ${JSON.stringify(id)} is no id of the Hugging Face Hub`, {
    help: 'An id is org/name, as in the address of the model: huggingface.co/org/name. A local folder has none: leave the option out.',
  });
}

/**
 * The Hub's id of checkpoints that all lie in the cache of one model,
 * `models--org--name/snapshots/<revision>/…` (huggingface_hub's `repo_folder_name`; an id never has two
 * dashes in a row); null otherwise.
 */
export function cachedRepoId(paths: readonly string[]): string | null {
  const ids = new Set(paths.map((path) => /\/models--([^/]+)\/snapshots\/[^/]+(?:\/|$)/.exec(resolve(path))?.[1]?.replace('--', '/')));
  const [id] = ids;
  return ids.size === 1 && id !== undefined && isRepoId(id) ? id : null;
}

/**
 * The folder of a repository in the Hub's cache (`models--org--name`, with `refs/` and `snapshots/`), if
 * `path` is that or its `snapshots`; else null.
 */
export async function hubRepository(path: string): Promise<string | null> {
  const folder = basename(resolve(path)) === 'snapshots' ? dirname(resolve(path)) : path;
  const entries = await storeOf(folder)
    .list(folder)
    .catch(() => null);
  const holds = (wanted: string) => entries?.some(({ name }) => name === wanted);
  return holds('refs') && holds('snapshots') ? folder : null;
}

/** Commits whose files a repository in the Hub's cache holds, in no order of training. */
export async function snapshotFolders(repository: string): Promise<string[]> {
  const folder = join(repository, 'snapshots');
  return ((await storeOf(folder).list(folder)) ?? []).map(({ name }) => join(folder, name)).sort();
}
