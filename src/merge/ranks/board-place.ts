import { PLAN_RECORD } from '../../base/board/board.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { storeOf } from '../../base/store/store.ts';
import { PLACEHOLDER } from '../../recipe/file/contradictions.ts';
import { type Destination, locate } from '../output/destination.ts';
import { partialPath } from '../output/partial.ts';
import { sharedId } from '../output/shared-publication.ts';
import { type AskedMerge, requestDigest } from '../plan/request-digest.ts';

/** Where the ranks of a merge meet. */
export interface BoardPlace {
  readonly destination: Destination;
  readonly path: string;
  /** Digest of what was asked for. */
  readonly request: string;
}

/** Whether what stands in the name of an output is known with its members alone. */
export const isOpen = (path: string): boolean => path.search(PLACEHOLDER) >= 0;

/** The output beside which the board lies: the first as written, up to where its name depends on the members. */
export function boardOutput({ outputs }: AskedMerge): string | null {
  const path = outputs[0]?.path;
  if (path === undefined) return null;
  const parts = path.split('/');
  const open = parts.findIndex(isOpen);
  return open < 0 ? path : parts.slice(0, open + 1).join('/');
}

/** @throws MergeError E_OUTPUT_KIND for an output that can be nowhere */
export async function boardPlace(asked: AskedMerge): Promise<BoardPlace> {
  const output = boardOutput(asked)!;
  return sharedPlace(output, requestDigest(asked, output));
}

/** Where ranks make an output. @param request digest of what was asked for, for this output */
export async function sharedPlace(output: string, request: string): Promise<BoardPlace> {
  const destination = await locate(output);
  return { destination, path: partialPath(destination, sharedId(request)), request };
}

/**
 * Whether ranks of this user began this very merge, and left or are still at it. What somebody else put under
 * that name, which can be computed, is left alone as any unfinished merge of others.
 */
export async function isBegunByRanks(asked: AskedMerge): Promise<boolean> {
  if (boardOutput(asked) === null) return false;
  const place = await boardPlace(asked).catch(() => null);
  if (place === null) return false;
  const folder = await SYSTEM.fs.lstat(place.path).catch(() => null);
  if (folder?.isDirectory() !== true || folder.uid !== process.getuid?.()) return false;
  return storeOf(place.path)
    .stat(`${place.path}/${PLAN_RECORD}`)
    .then(
      () => true,
      () => false,
    );
}
