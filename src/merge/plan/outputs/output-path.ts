import { dirname, resolve } from 'node:path';
import { onOutput } from '../../../base/disk/io-error.ts';
import { constants, SYSTEM } from '../../../base/disk/system.ts';
import { type Conflict, MergeError } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { optionWith } from '../../../base/option-words.ts';
import { LIGHTNING } from '../../../checkpoints/containers/torch/file-names.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import { checkOccupant, type Destination, locate } from '../../output/destination.ts';
import { allocatedBytes, findPartials } from '../../output/partial.ts';
import { saveAround } from '../../output/save-around.ts';
import { readRecord } from '../../record/read-provenance.ts';

/** Inputs whose places are looked up at a time. */
const LOOKED_UP_AT_ONCE = 16;

/** Names of single files of torch.save. */
const TORCH_FILE = /\.(?:pt|pth|bin|ckpt)$/;

/** Whether an output of this name is a folder, whatever is merged. */
export const isFolderPath = (path: string): boolean => !TORCH_FILE.test(path) && !path.endsWith('.safetensors');

/**
 * OUT ending in .safetensors is a file where inputs and layout are single files, and so is one with an ending
 * of torch.save's where that is its format; anything else is a folder.
 */
export function outputKind(path: string, sources: readonly Checkpoint[], format: OutputFormat): 'folder' | 'file' {
  refuseEnding(path, sources, format);
  if (format === 'torch') return TORCH_FILE.test(path) ? 'file' : 'folder';
  return path.endsWith('.safetensors') && sources.every((c) => c.kind === 'file') ? 'file' : 'folder';
}

/**
 * A folder is called like a file where folders of that ending are merged, as Lightning calls its own, and where
 * `OUT.safetensors` is made from folders.
 * @throws MergeError E_OPTION where the ending of an output is that of another container's file
 */
function refuseEnding(path: string, sources: readonly Checkpoint[], format: OutputFormat): void {
  const ending = /\.(?:safetensors|pt|pth|bin|ckpt)$/.exec(path)?.[0];
  const fits = format === 'torch' ? TORCH_FILE.test(path) : format === 'safetensors' && ending === '.safetensors';
  const layout = sources.at(-1)!;
  if (ending === undefined || fits || (layout.kind === 'folder' && layout.path.endsWith(ending))) return;
  const made = format === 'safetensors' ? 'safetensors' : format === 'dcp' ? 'a folder of DCP' : 'a folder of torch.save';
  const [whose, instead] =
    ending === '.safetensors'
      ? ['safetensors', `${optionWith('format', 'safetensors')} makes safetensors`]
      : layout.form.kind === 'torch'
        ? ['torch.save', `${optionWith('format', 'torch')} makes such a file`]
        : ['torch.save', `a file of torch.save is made from files of torch.save alone, and ${layout.path} is none`];
  throw new MergeError('E_OPTION', `${path}: ends as a file of ${whose} does, and what is made is ${made}`, {
    details: { file: path },
    help: `Name a folder, without ${ending}; ${instead}.`,
  });
}

/**
 * Whether a checkpoint is files of torch.save, each a whole state as its trainer saved it; or DeepSpeed's with those
 * of its optimizer.
 */
export function isOfWholeFiles({ form, files, shards, fragments }: Checkpoint): boolean {
  return form.kind === 'torch' && (fragments !== undefined || WHOLE.has(form.writer ?? '')) && files.length === shards.length;
}

/** Writers of such files; DeepSpeed and FSDP have others that belong to them. */
const WHOLE: ReadonlySet<string> = new Set(['torch.save', LIGHTNING]);

/**
 * The container of outputs for which none was named: that of the layout, where it is one that is written. A
 * conversion makes safetensors, of files too that are cut anew.
 */
export function formatOf(
  paths: readonly string[],
  layout: Checkpoint,
  { converted, cut }: { readonly converted: boolean; readonly cut: boolean },
): OutputFormat {
  const { form } = layout;
  if (form.kind === 'torch' && paths.every((path) => TORCH_FILE.test(path))) return 'torch';
  if (converted || paths.some((path) => path.endsWith('.safetensors'))) return 'safetensors';
  if (form.kind === 'dcp') return 'dcp';
  return !cut && isOfWholeFiles(layout) ? 'torch' : 'safetensors';
}

/** Of absolute paths without `.` and `..`: a grid compares hundreds of outputs with thousands of files. */
function contains(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? outer : `${outer}/`);
}

/**
 * The first of the inputs that a path is, or lies in, or another checkpoint; null where there is none. @throws MergeError
 * E_OUTPUT_KIND
 */
export async function inputAround(path: string, sources: readonly Pick<Checkpoint, 'path' | 'kind'>[]): Promise<string | null> {
  const destination = await locate(path);
  const folders: string[] = [];
  for (const { path: input, kind } of sources) {
    if (kind !== 'folder') continue;
    const real = await SYSTEM.fs.realpath(input).catch(() => resolve(input));
    if (contains(real, destination.path)) return input;
    folders.push(real);
  }
  return saveAround(destination, folders);
}

/** A place of an input: its folder or one of its files, with links followed. */
export interface InputPlace {
  readonly path: string;
  readonly real: string;
  /** Nothing may be written inside it. */
  readonly isFolder: boolean;
}

/** Where inputs lie: looked up once, whatever number of outputs is compared with them. */
export async function inputPlaces(sources: readonly Checkpoint[]): Promise<InputPlace[]> {
  const found = await mapBounded(sources, LOOKED_UP_AT_ONCE, (source) =>
    Promise.all(
      [source.path, ...source.files.map((file) => file.path)].map(async (path) => ({
        path,
        real: await SYSTEM.fs.realpath(path).catch(() => resolve(path)),
        isFolder: path === source.path && source.kind === 'folder',
      })),
    ),
  );
  return found.flat();
}

/**
 * What forbids an output where it is: an input there, something existing, a thing that cannot be replaced.
 * Space is {@link freeSpace}'s.
 */
export async function outputConflicts(
  path: string,
  kind: 'folder' | 'file',
  inputs: readonly InputPlace[],
  force: boolean,
): Promise<Conflict[]> {
  try {
    const destination = await locate(path);
    for (const { path: place, real, isFolder } of inputs) {
      const inside = isFolder && contains(real, destination.path);
      if (!inside && !contains(destination.path, real)) continue;
      const how = destination.path === real ? 'is' : inside ? 'lies inside' : 'contains';
      return [{ code: 'E_OUTPUT_OVERLAPS_INPUT', message: `the output ${path} ${how} the input ${place}`, file: path }];
    }
    // What lies beside the files that are merged is beside them, whatever the folder is called.
    const files = new Set(inputs.filter(({ isFolder }) => !isFolder).map(({ real }) => dirname(real)));
    const folders = inputs.filter(({ isFolder }) => isFolder).map(({ real }) => real);
    const save = files.has(destination.parent) ? null : await saveAround(destination, folders);
    if (save !== null)
      return [{ code: 'E_OUTPUT_OVERLAPS_INPUT', message: `the output ${path} lies inside the checkpoint ${save}`, file: path }];
    await checkOccupant(destination, kind, force);
    await checkWritable(destination);
    return [];
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    const { code, message, help, details } = error;
    return [{ code, message, file: details.file ?? path, ...(help === new MergeError(code, message).help ? {} : { help }) }];
  }
}

/** What forbids the record beside an output: something else of its name. */
export async function recordConflicts(record: string): Promise<Conflict[]> {
  const there = await readRecord(record).then(
    () => true,
    () => false,
  );
  if (there) return [];
  const message = `${record} is where the record of the merge would lie, and is none of a merge`;
  return [{ code: 'E_OUTPUT_EXISTS', message, file: record, help: 'Move it away, or choose another output.' }];
}

/**
 * @throws MergeError E_READ_ONLY where nothing can be made in the folder of an output, or in the nearest
 * there is
 */
async function checkWritable({ output, parent, missing }: Destination): Promise<void> {
  const folder = missing.length > 0 ? dirname(missing[0]!) : parent;
  await onOutput('create', output, () => SYSTEM.fs.access(folder, constants.W_OK | constants.X_OK));
}

/**
 * Outputs that are the same place, or one of which lies inside another: whichever appeared last would take
 * the other's place.
 */
export async function outputsOverlap(paths: readonly string[]): Promise<Conflict[]> {
  const conflicts: Conflict[] = [];
  const places: { readonly path: string; readonly real: string }[] = [];
  for (const path of paths) {
    // A place that cannot be looked up has its own conflict.
    const real = await locate(path).then(
      (destination) => destination.path,
      () => resolve(path),
    );
    const other = places.find((p) => contains(p.real, real) || contains(real, p.real));
    places.push({ path, real });
    if (other === undefined) continue;
    const how = other.real === real ? 'are the same place' : 'lie one inside the other';
    conflicts.push({ code: 'E_OUTPUTS_OVERLAP', message: `the outputs ${other.path} and ${path} ${how}`, file: path });
  }
  return conflicts;
}

/**
 * Bytes that may still be written where an output will be, with the file system's device to add outputs up,
 * and bytes that unfinished merges to this output hold there: these are continued or removed.
 */
export async function freeSpace(path: string): Promise<{ device: number; available: number; held: number }> {
  const destination = await locate(path);
  const place = destination.missing.length > 0 ? dirname(destination.missing[0]!) : destination.parent;
  const [space, { dev }] = await Promise.all([SYSTEM.fs.statfs(place), SYSTEM.fs.stat(place)]);
  // Some network and user-space file systems report no size at all.
  if (space.blocks === 0) return { device: dev, available: Number.POSITIVE_INFINITY, held: 0 };
  let held = 0;
  for (const partial of await findPartials(path)) if (partial.state === 'stale') held += await allocatedBytes(SYSTEM, destination, partial);
  return { device: dev, available: space.bavail * space.bsize, held };
}
