import { join } from 'node:path';
import { dtypeByCode } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { readWhole } from '../../../base/store/store.ts';
import { tilingText } from '../../tensors/box-table.ts';
import { type Boxes, tilingFault } from '../../tensors/boxes.ts';
import { SECTIONS, sectionOfName } from '../../tensors/section.ts';
import { locateIn, shardsOf } from '../../tensors/shards.ts';
import { ColumnTable, elementCount } from '../../tensors/table.ts';
import type { BoxColumns, TensorFile } from '../../tensors/types.ts';
import type { OpenCache } from '../open-cache.ts';
import { MAX_PICKLE_BYTES } from '../pickle/limits.ts';
import type { PlacedTensor } from '../torch/archive.ts';
import { isStatedStep } from '../torch/stated-step.ts';
import type { Container, Found, Opened } from '../types.ts';
import { ItemFiles } from './item-files.ts';
import { ItemReader } from './items.ts';
import { KnownMetadata } from './known-metadata.ts';
import { ListedCheckpoints, type ReadCheckpoint } from './listed.ts';
import type { DcpMetadata } from './read-metadata.ts';
import { argumentsOf, stateOf } from './state.ts';
import { formOf, objectsOf } from './writer.ts';

const METADATA = '.metadata';
/** Written while a save goes on, and renamed at its end. */
const UNFINISHED = '.metadata.tmp';
/** A file of items. */
const ITEMS = /^__\d+_\d+\.distcp$/;
/** What each rank says of its own items, where they were saved without speaking to one another. */
const OF_RANK = /^__\d+\.metadata$/;
/** Keys under which a model stands that is a part of a state. */
const WHOLE_MODEL = /^(?:model|module|app|state_dict)\./;
/** Folders beside the model's that trainers save in the same form. */
const NOT_THE_MODEL = /^(?:optim|lr_sched|sched|rng|random|dataloader|critic|ref|reward|value)/;

/**
 * A checkpoint of torch.distributed: `.metadata`, a pickle that says which boxes of which tensors lie where,
 * and files of items, each an archive of torch.save. torchtitan, OLMo-core and Megatron-core save it.
 */
export const dcp: Container = {
  kind: 'DCP',
  recognise: async (found) => (await folderOf(found)) !== null,
  async open(found, cache): Promise<Opened> {
    return (await read(found, cache)).opened;
  },
  list: (found, cache, named) => cache.of(ListedCheckpoints).find(found, named, () => read(found, cache)),
};

async function read(found: Found, cache: OpenCache): Promise<ReadCheckpoint> {
  const inner = (await folderOf(found))!;
  const folder = join(found.path, inner);
  const { store } = found;
  const path = join(folder, METADATA);
  const names = new Set((await store.list(folder))?.map(({ name }) => name));
  refuseWithoutMetadata(folder, names);
  const head = { name: join(inner, METADATA), path, stat: await store.stat(path) };
  const bytes = await readWhole(path, MAX_PICKLE_BYTES);
  const metadata = cache.of(KnownMetadata).read(bytes, path);
  for (const name of metadata.files) checkFileName(path, name, names);
  const files = await ItemFiles.of(store, folder, metadata.files);
  const source = { store, path: found.path, paths: await found.paths(), metadata, files };
  const [state, form] = [await stateOf(source), await formOf(source, folder)];
  const tensors = await tensorsOf(path, inner, metadata, files, cache.of(ItemReader)).catch((error: unknown) =>
    otherItems(error, metadata, files),
  );
  const opened = {
    ...tensors,
    form,
    objects: objectsOf(metadata),
    heads: [head],
    arguments: argumentsOf(source),
    ...(state !== null && { state }),
  };
  return { opened, metadata, bytes, inner };
}

/** Faults that other items than those of torch.save have. */
const OTHER_ITEMS: ReadonlySet<string> = new Set(['E_OVERLAP', 'E_ZIP']);

/**
 * With another format of torch's writer the places of tensors are those of one image of all, and mean
 * nothing.
 * @throws MergeError E_DCP for such items; else the fault that was found
 */
async function otherItems(error: unknown, { items }: DcpMetadata, files: ItemFiles): Promise<never> {
  if (!(error instanceof MergeError) || !OTHER_ITEMS.has(error.code)) throw error;
  const path = error.details.file;
  const number = files.paths.indexOf(path ?? '');
  const offset = items.offset[items.file.indexOf(number)] ?? 0;
  const start = Buffer.alloc(16);
  await files.use(Math.max(0, number), (file) => file.read(start, offset)).catch(() => 0);
  // The header of safetensors, and its length before it.
  if (start[8] !== 0x7b || start.readUInt32LE(4) !== 0) throw error;
  const message = `${path}, byte ${offset}: its items are no archives of torch.save: it was saved with SerializationFormat.SAFETENSORS, whose places are not those of its tensors`;
  throw new MergeError('E_DCP', message, {
    details: error.details,
    help: "Save it again with torch.distributed.checkpoint's own format, or with HuggingFaceStorageWriter.",
    cause: error,
  });
}

/** The folder of the checkpoint below a path: '' for itself, null where there is none. */
async function folderOf({ entries, paths }: Found): Promise<string | null> {
  if (entries === null) return null;
  if ([...entries.keys()].some(isPart)) return '';
  const inner = new Set<string>();
  for (const path of await paths()) {
    const [folder, name] = path.split('/');
    if (name !== undefined && isPart(name) && !NOT_THE_MODEL.test(folder!)) inner.add(folder!);
  }
  const [only, other] = inner;
  return other === undefined ? (only ?? null) : null;
}

function isPart(name: string): boolean {
  return name === METADATA || name === UNFINISHED || ITEMS.test(name);
}

/** @throws MergeError for a folder that has items and says nowhere what they are */
function refuseWithoutMetadata(folder: string, names: ReadonlySet<string>): void {
  if (names.has(METADATA)) return;
  const file = join(folder, METADATA);
  if ([...names].some((name) => OF_RANK.test(name))) {
    throw new MergeError('E_DCP', `${file}: is not there, and each rank describes its own items: it was saved with use_collectives=False`, {
      details: { file },
      help: 'Load it with torch.distributed.checkpoint, and save it again without that option.',
    });
  }
  throw new MergeError('E_SHARD_MISSING', `${file}: is not there: the save goes on, or was broken off`, { details: { file } });
}

function checkFileName(metadata: string, name: string, there: ReadonlySet<string>): void {
  const plain = name !== '' && !/[/\\\0]/.test(name) && name !== '.' && name !== '..';
  if (!plain)
    throw new MergeError('E_INDEX_PATH', `${metadata}: names the file ${JSON.stringify(name)}, which is no plain name`, {
      details: { file: metadata },
    });
  if (there.has(name)) return;
  throw new MergeError('E_SHARD_MISSING', `${metadata} names ${name}, and it is not there`, { details: { file: metadata } });
}

async function tensorsOf(
  path: string,
  inner: string,
  metadata: DcpMetadata,
  opened: ItemFiles,
  reader: ItemReader,
): Promise<Omit<Opened, 'heads' | 'form'>> {
  const { names, shapes, first, boundsAt, items } = metadata;
  const fault = (tensor: string, text: string, file = path): MergeError =>
    new MergeError('E_DCP', `${file}: ${tensor} ${text}`, { details: { file, tensor } });
  const count = names.length;
  if (count === 0) throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
  const boxCount = first[count]!;
  const bytes = new Float64Array(count);
  // The last tensor of a shape and number of boxes that was proved: those of other layers are like it.
  const tiled = new Map<string, number>();
  for (let row = 0; row < count; row++) {
    if (metadata.dtypes[row]! < 0)
      throw fault(names[row]!, `is of the dtype torch.${metadata.torchDtypes[row]}, which safetensors does not have`);
    const elements = elementCount(shapes[row]!);
    if (Number.isNaN(elements)) throw fault(names[row]!, `is too large to be real: [${shapes[row]!.join(', ')}]`);
    bytes[row] = (elements * dtypeByCode(metadata.dtypes[row]!).bits) / 8;
    const key = `${first[row + 1]! - first[row]!}:${shapes[row]!.join()}`;
    const proved = tiled.get(key);
    if (proved === undefined || !sameBoxes(metadata, proved, row)) {
      const found = tilingFault(describedBoxes(metadata, row));
      if (found !== null) throw fault(names[row]!, tilingText(found, shapes[row]!));
      tiled.set(key, row);
    }
    for (let box = first[row]!; box < first[row + 1]!; box++) {
      const file = items.file[box]!;
      if (file < 0) throw fault(names[row]!, 'has a part of which nothing says where it lies');
      const end = items.offset[box]! + items.length[box]!;
      const { size } = opened.stats[file]!;
      if (!(end <= size)) {
        const at = opened.paths[file]!;
        throw new MergeError('E_FILE_TRUNCATED', `${at} has ${size} bytes, and ${names[row]} reaches to ${end}`, {
          details: { file: at, tensor: names[row]! },
        });
      }
    }
  }
  const inFiles = orderInFiles(metadata, opened);

  const boxes = {
    first,
    file: items.file,
    offset: new Float64Array(boxCount),
    boundsAt: Float64Array.from(boundsAt, (at) => at * 1.5),
    bounds: new Float64Array(boundsAt[count]! * 1.5),
  } satisfies BoxColumns;
  const rowOf = new Int32Array(boxCount);
  for (let row = 0; row < count; row++) rowOf.fill(row, first[row], first[row + 1]);
  for (const [number, order] of inFiles.entries()) {
    const file = opened.paths[number]!;
    const places = {
      count: order.length,
      offset: (i: number): number => items.offset[order[i]!]!,
      length: (i: number): number => items.length[order[i]!]!,
      name: (i: number): string => names[rowOf[order[i]!]!]!,
    };
    const place = (i: number, form: PlacedTensor): void => {
      const box = order[i]!;
      const row = rowOf[box]!;
      const rank = shapes[row]!.length;
      const from = boundsAt[row]! + (box - first[row]!) * 2 * rank;
      if (form.dtype.code !== metadata.dtypes[row]) {
        throw fault(names[row]!, `is ${form.dtype.name} here, and ${dtypeByCode(metadata.dtypes[row]!).name} in .metadata`, file);
      }
      const to = boxes.boundsAt[row]! + (box - first[row]!) * 3 * rank;
      for (let i = 0; i < 2 * rank; i++) boxes.bounds[to + i] = metadata.bounds[from + i]!;
      let same = form.shape.length === rank;
      for (let axis = 0; axis < rank && same; axis++) {
        same = form.shape[axis] === metadata.bounds[from + rank + axis];
        boxes.bounds[to + 2 * rank + axis] = form.stride[axis]!;
      }
      if (!same) {
        const sizes = metadata.bounds.subarray(from + rank, from + 2 * rank);
        throw fault(names[row]!, `has a part of [${form.shape.join(', ')}] here, which .metadata says is [${sizes.join(', ')}]`, file);
      }
      boxes.offset[box] = items.offset[box]! + form.at;
    };
    await opened.use(number, (one) => reader.read(one, places, place));
  }

  const prefix = inner === '' ? '' : `${inner}/`;
  const files = metadata.files.map((name, i): TensorFile => ({ name: `${prefix}${name}`, path: opened.paths[i]!, stat: opened.stats[i]! }));
  const table = new ColumnTable({
    names,
    dtypes: Uint8Array.from(metadata.dtypes),
    shapes,
    bytes,
    offset: Float64Array.from(first.subarray(0, count), (box) => boxes.offset[box] ?? 0),
    boxes,
    sections: sectionsOf(names, shapes),
  });
  const shards = shardsOf(table, files);
  return {
    shards,
    files,
    indexMetadata: null,
    indexName: null,
    namesPerFile: false,
    warnings: [],
    locate: locateIn(shards),
  };
}

/** [names] Indices into `SECTIONS`. */
function sectionsOf(names: readonly string[], shapes: readonly (readonly number[])[]): Uint8Array {
  const sections = Uint8Array.from(names, (name) => SECTIONS.indexOf(sectionOfName(name)));
  const steps = names.flatMap((name, row) => (isStatedStep(name, shapes[row]!) ? row : []));
  // A model alone may have a buffer of any name.
  const more = steps.length > 0 && names.some((name, row) => WHOLE_MODEL.test(name) || sections[row] !== SECTIONS.indexOf('model'));
  if (more) for (const row of steps) sections[row] = SECTIONS.indexOf('blob');
  return sections;
}

/** The parts that a tensor is said to have. */
function describedBoxes({ shapes, first, boundsAt, bounds }: DcpMetadata, row: number): Boxes {
  const shape = shapes[row]!;
  const rank = shape.length;
  const from = boundsAt[row]!;
  return {
    shape,
    count: first[row + 1]! - first[row]!,
    start: (box, axis) => bounds[from + box * 2 * rank + axis]!,
    size: (box, axis) => bounds[from + (box * 2 + 1) * rank + axis]!,
  };
}

/** Whether two tensors of one shape and number of boxes have the same ones. */
function sameBoxes({ shapes, first, boundsAt, bounds }: DcpMetadata, one: number, other: number): boolean {
  const numbers = 2 * shapes[one]!.length * (first[one + 1]! - first[one]!);
  const [from, to] = [boundsAt[one]!, boundsAt[other]!];
  for (let i = 0; i < numbers; i++) if (bounds[from + i] !== bounds[to + i]) return false;
  return true;
}

/**
 * The boxes of each file, in the order in which their items lie there.
 * @throws MergeError where two items share bytes: one of them is not what it says
 */
function orderInFiles({ names, first, items }: DcpMetadata, opened: ItemFiles): Int32Array[] {
  const { file, offset, length } = items;
  const counts = new Int32Array(opened.paths.length);
  for (const number of file) counts[number]!++;
  const orders = Array.from(counts, (count) => new Int32Array(count));
  counts.fill(0);
  for (let box = 0; box < file.length; box++) orders[file[box]!]![counts[file[box]!]!++] = box;
  for (const [number, order] of orders.entries()) {
    // Most writers list them as they lie.
    if (order.some((box, i) => i > 0 && offset[order[i - 1]!]! > offset[box]!)) order.sort((a, b) => offset[a]! - offset[b]!);
    for (let i = 1; i < order.length; i++) {
      const [box, next] = [order[i - 1]!, order[i]!];
      if (offset[box]! + length[box]! <= offset[next]!) continue;
      const tensor = names[first.findIndex((from) => from > box) - 1]!;
      const path = opened.paths[number]!;
      throw new MergeError('E_OVERLAP', `${path}, byte ${offset[next]}: the item of ${tensor} reaches into the one behind it`, {
        details: { file: path, tensor, position: offset[next]! },
      });
    }
  }
  return orders;
}
