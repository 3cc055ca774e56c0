import { basename, join, relative } from 'node:path';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { syncFile, syncFolder } from '../../base/disk/own-file.ts';
import type { System } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { checkLoss, type Destination } from './destination.ts';
import { PAYLOAD, READY } from './partial.ts';
import { place, type SwappedIn } from './replace.ts';

/** A whole payload, and what it is to become. */
export interface Payload {
  readonly destination: Destination;
  readonly kind: 'folder' | 'file';
  readonly partial: HeldFolder;
  readonly force: boolean;
  readonly sync: boolean;
}

/** What lay where the new OUT was could not be put back, and lies beside the payload: nothing may remove it. */
export class SetAside extends MergeError {}

/**
 * Makes OUT of a payload: fsyncs what is in it, renames it, fsyncs the folder around. When it throws, the
 * payload is where it was, but where OUT is another merge's by now.
 * @param before done when the payload is on disk, and before it gets another name
 * @throws MergeError E_OUTPUT_EXISTS, E_IO; SetAside
 */
export async function placePayload(system: System, payload: Payload, before: () => Promise<void>): Promise<SwappedIn> {
  const { destination, kind, partial, force, sync } = payload;
  const { parent, output } = destination;
  const content = await contentOf(system, payload);
  if (sync) await syncContent(system, partial, content);
  await before();
  const ready = partial.at(READY);
  /** The new OUT is where it was: what was finished of it may be gone on with. */
  const unready = (): Promise<void> => system.fs.rename(ready, partial.at(PAYLOAD)).catch(() => {});
  // From here on the journal speaks of nothing: after an exchange the old OUT lies where the new one was,
  // and must not pass for half of it.
  await onOutput('publish', output, () => system.fs.rename(partial.at(PAYLOAD), ready));
  const from = kind === 'folder' ? ready : join(ready, basename(content.files[0]!));
  const placed = await place(system, from, destination, partial.path.slice(-12), kind, force).catch(async (error: unknown) => {
    // What another process finished first is not to be gone on with.
    if (!(error instanceof MergeError && error.code === 'E_OUTPUT_EXISTS')) await unready();
    throw error;
  });
  try {
    // What lay there may be another thing than the one that was looked at when the merge began.
    if (placed.old !== null) await checkLoss(output, placed.old, kind);
    if (sync) await syncFolder(system, parent);
    return placed;
  } catch (error) {
    await onOutput('take back', output, () => placed.undo()).catch((cause: unknown) => setAside(system, partial, output, error, cause));
    await unready();
    throw error;
  }
}

/** Under a name that no merge knows it is left alone by all of them. */
async function setAside(system: System, partial: HeldFolder, output: string, error: unknown, cause: unknown): Promise<never> {
  const name = 'not-replaced';
  await system.fs.rename(partial.at(READY), partial.at(name)).catch(() => {});
  const { code, message, details } = toMergeError(error, { action: 'publish', file: output, side: 'output' });
  throw new SetAside(code, `${message}. It could not be put back, and lies in ${join(partial.path, name)}`, {
    details,
    help: `Move it to where it belongs, and remove ${partial.path}.`,
    cause,
  });
}

interface Content {
  readonly files: readonly string[];
  /** Each after what it holds. */
  readonly folders: readonly string[];
}

async function contentOf(system: System, { destination: { output }, kind, partial }: Payload): Promise<Content> {
  const root = partial.at(PAYLOAD);
  const entries = await onOutput('list', partial.path, () => system.fs.readdir(root, { withFileTypes: true, recursive: true }));
  const paths = (wanted: boolean) => entries.filter((e) => e.isDirectory() === wanted).map((e) => join(e.parentPath, e.name));
  const files = paths(false);
  const whole = kind === 'folder' ? files.length > 0 : files.length === 1;
  if (!whole)
    throw new MergeError('E_INTERNAL', `the unfinished ${output} does not hold what is to be published`, {
      details: { file: partial.path },
    });
  return { files, folders: [...paths(true).sort().reverse(), root] };
}

async function syncContent(system: System, partial: HeldFolder, { files, folders }: Content): Promise<void> {
  const shown = (path: string) => join(partial.path, relative(partial.here, path));
  for (const file of files) await syncFile(system, file, shown(file));
  for (const folder of folders) await syncFolder(system, folder, shown(folder));
}
