import { basename, join } from 'node:path';
import { type VerifyProgress, verify } from '../../analysis/verify/verify.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { innerCheckpoints } from '../../checkpoints/inner-checkpoint.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';
import { asideOf, namesSetAside } from '../../checkpoints/run/set-aside.ts';
import { bytesOfAll } from '../keep/save-bytes.ts';
import { placeOfCopy } from './script.ts';
import type { UnfinishedSave } from './types.ts';

/**
 * Saves of a run that a script which was cut short left set aside, and how to go on: with the copy that is in its place
 * or waits in `output`, else by moving the save back. A copy is compared with the save where `compare` is given, and
 * taken by its record where not.
 * @throws MergeError of the side of inputs; `signal.reason` when aborted
 */
export async function unfinishedSaves(
  run: string,
  output: string,
  compare: { readonly signal: AbortSignal | undefined; readonly onProgress: (event: VerifyProgress) => void } | null,
): Promise<UnfinishedSave[]> {
  const names = ((await storeOf(run).list(run)) ?? []).map(({ name }) => name);
  const unfinished: UnfinishedSave[] = [];
  for (const name of namesSetAside(names)) {
    compare?.signal?.throwIfAborted();
    const path = join(run, name);
    const isFolder = (await storeOf(run).list(asideOf(path))) !== null;
    const copy = join(output, isFolder ? name : `${name.replace(/\.[^.]*$/, '')}.safetensors`);
    const place = placeOfCopy({ path, copy });
    const save = { path, aside: asideOf(path), copy, step: positionFromName(name)?.step ?? null };
    const taken = [path, place].find((one) => names.includes(basename(one)));
    const found = taken ?? copy;
    const bytes = await bytesOfAll(found).catch(() => null);
    // Of a file nothing beside it says what it is a copy of, and under the name that it has now it is not opened.
    const isCopy = bytes !== null && isFolder && (await isCopyOf(found, save.aside, compare));
    if (isCopy) unfinished.push({ ...save, copyBytes: bytes, end: 'finish', reason: `${found} is its copy` });
    else if (taken === undefined) unfinished.push({ ...save, copyBytes: 0, end: 'restore', reason: 'no copy of it is there' });
    else
      unfinished.push({
        ...save,
        copyBytes: 0,
        end: 'leave',
        reason: `${taken} is there as well, and is no copy of it that can be compared`,
      });
  }
  return unfinished;
}

async function isCopyOf(copy: string, aside: string, compare: Parameters<typeof unfinishedSaves>[2]): Promise<boolean> {
  if ((await storeOf(copy).list(copy))?.some(({ name }) => name === PROVENANCE_FILE) !== true) return false;
  if (compare === null) return true;
  const own = positionFromName(basename(copy))?.step ?? null;
  const [inner = ''] = await innerCheckpoints({ store: storeOf(aside), path: aside }, own, true);
  try {
    await verify(copy, { inputs: [join(aside, inner)], ranks: 'off', ...compare });
    return true;
  } catch (error) {
    if (error instanceof MergeError) return false;
    throw error;
  }
}

/** A sentence of each for a report. */
export function unfinishedNotes(unfinished: readonly UnfinishedSave[]): string[] {
  const ENDS = {
    finish: 'the script finishes it',
    restore: 'the script moves it back; this command strips it then',
    leave: 'move one of them away',
  } as const;
  return unfinished.map(({ path, aside, end, reason }) => {
    return `${path} was set aside as ${basename(aside)} by a script that was cut short, and ${reason}: ${ENDS[end]}`;
  });
}
