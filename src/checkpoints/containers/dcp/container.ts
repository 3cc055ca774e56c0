import { join } from 'node:path';
import { dtypeByCode } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { readWhole } from '../../../base/store/store.ts';
import type { OpenFile } from '../../../base/store/types.ts';
import { tilingText } from '../../tensors/box-table.ts';
import { type Boxes, tilingFault } from '../../tensors/boxes.ts';
import { SECTIONS, sectionOfName } from '../../tensors/section.ts';
import { locateIn, shardsOf } from '../../tensors/shards.ts';
import { ColumnTable, elementCount } from '../../tensors/table.ts';
import type { BoxColumns, TensorFile } from '../../tensors/types.ts';
import { MAX_PICKLE_BYTES } from '../pickle/limits.ts';
import type { Container, Found, Opened } from '../types.ts';
import { ItemReader } from './items.ts';
import { type DcpMetadata, readMetadata } from './read-metadata.ts';
import { stateOf } from './state.ts';
import { formOf, objectsOf } from './writer.ts';

const METADATA = '.metadata';
/** Written while a save goes on, and renamed at its end. */
const UNFINISHED = '.metadata.tmp';
/** A file of items. */
const ITEMS = /^__\d+_\d+\.distcp$/;
/** What each rank says of its own items, where they were saved without speaking to one another. */
const OF_RANK = /^__\d+\.metadata$/;
/** Folders beside the model's that trainers save in the same form. */
const NOT_THE_MODEL = /^(?:optim|lr_sched|sched|rng|random|dataloader|critic|ref|reward|value)/;
/** Files that are read at the same time. */
const READS = 16;

/**
 * A checkpoint of torch.distributed: `.metadata`, a pickle that says which boxes of which tensors lie where, and
 * files of items, each an archive of torch.save. torchtitan, OLMo-core and Megatron-core save it.
 */
export const dcp: Container = {
  kind: 'DCP',
  recognise: async (found) => (await folderOf(found)) !== null,
  async open(found): Promise<Opened> {
    const inner = (await folderOf(found))!;
    const folder = join(found.path, inner);
    const { store } = found;
    const path = join(folder, METADATA);
    const names = new Set((await store.list(folder))?.map(({ name }) => name));
    refuseWithoutMetadata(folder, names);
    const head = { name: join(inner, METADATA), path, stat: await store.stat(path) };
    const metadata = readMetadata(await readWhole(path, MAX_PICKLE_BYTES), path);
    for (const name of metadata.files) checkFileName(path, name, names);
    const opened = await mapBounded(metadata.files, READS, (name) => store.open(join(folder, name)));
    try {
      const source = { store, path: found.path, paths: await found.paths(), metadata, opened };
      const [state, form] = [await stateOf(source), await formOf(source)];
      return {
        ...(await tensorsOf(path, inner, metadata, opened)),
        form,
        objects: objectsOf(metadata),
        heads: [head],
        ...(state !== null && { state }),
      };
    } finally {
      await Promise.all(opened.map((one) => one.close()));
    }
  },
};

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
  opened: readonly OpenFile[],
): Promise<Omit<Opened, 'heads' | 'form'>> {
  const { names, shapes, first, boundsAt, items } = metadata;
  const fault = (tensor: string, text: string, file = path): MergeError =>
    new MergeError('E_DCP', `${file}: ${tensor} ${text}`, { details: { file, tensor } });
  const count = names.length;
  if (count === 0) throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
  const boxCount = first[count]!;
  const bytes = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    if (metadata.dtypes[row]! < 0)
      throw fault(names[row]!, `is of the dtype torch.${metadata.torchDtypes[row]}, which safetensors does not have`);
    const elements = elementCount(shapes[row]!);
    if (Number.isNaN(elements)) throw fault(names[row]!, `is too large to be real: [${shapes[row]!.join(', ')}]`);
    bytes[row] = (elements * dtypeByCode(metadata.dtypes[row]!).bits) / 8;
    const found = tilingFault(describedBoxes(metadata, row));
    if (found !== null) throw fault(names[row]!, tilingText(found, shapes[row]!));
    for (let box = first[row]!; box < first[row + 1]!; box++) {
      const file = items.file[box]!;
      if (file < 0) throw fault(names[row]!, 'has a part of which nothing says where it lies');
      const end = items.offset[box]! + items.length[box]!;
      if (!(end <= opened[file]!.stat.size)) {
        throw new MergeError(
          'E_FILE_TRUNCATED',
          `${opened[file]!.path} has ${opened[file]!.stat.size} bytes, and ${names[row]} reaches to ${end}`,
          {
            details: { file: opened[file]!.path, tensor: names[row]! },
          },
        );
      }
    }
  }
  checkApart(metadata, opened);

  const boxes = {
    first,
    file: items.file,
    offset: new Float64Array(boxCount),
    boundsAt: Float64Array.from(boundsAt, (at) => at * 1.5),
    bounds: new Float64Array(boundsAt[count]! * 1.5),
  } satisfies BoxColumns;
  const rowOf = new Int32Array(boxCount);
  for (let row = 0; row < count; row++) rowOf.fill(row, first[row], first[row + 1]);
  const reader = new ItemReader();
  const order = [...rowOf.keys()].sort((a, b) => items.file[a]! - items.file[b]! || items.offset[a]! - items.offset[b]!);
  await mapBounded(order, READS, async (box) => {
    const row = rowOf[box]!;
    const name = names[row]!;
    const file = opened[items.file[box]!]!;
    const form = await reader.read(file, items.offset[box]!, items.length[box]!, name);
    const rank = shapes[row]!.length;
    const from = boundsAt[row]! + (box - first[row]!) * 2 * rank;
    const sizes = metadata.bounds.subarray(from + rank, from + 2 * rank);
    if (form.dtype.code !== metadata.dtypes[row]) {
      throw fault(name, `is ${form.dtype.name} here, and ${dtypeByCode(metadata.dtypes[row]!).name} in .metadata`, file.path);
    }
    if (form.shape.length !== rank || form.shape.some((size, axis) => size !== sizes[axis])) {
      throw fault(name, `has a part of [${form.shape.join(', ')}] here, which .metadata says is [${sizes.join(', ')}]`, file.path);
    }
    const to = boxes.boundsAt[row]! + (box - first[row]!) * 3 * rank;
    boxes.bounds.set(metadata.bounds.subarray(from, from + 2 * rank), to);
    boxes.bounds.set(form.stride, to + 2 * rank);
    boxes.offset[box] = items.offset[box]! + form.at;
  });

  const prefix = inner === '' ? '' : `${inner}/`;
  const files = opened.map(({ path: at, stat }, i): TensorFile => ({ name: `${prefix}${metadata.files[i]}`, path: at, stat }));
  const table = new ColumnTable({
    names,
    dtypes: Uint8Array.from(metadata.dtypes),
    shapes,
    bytes,
    offset: Float64Array.from(first.subarray(0, count), (box) => boxes.offset[box] ?? 0),
    boxes,
    sections: Uint8Array.from(names, (name) => SECTIONS.indexOf(sectionOfName(name))),
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

/** @throws MergeError where two items share bytes: one of them is not what it says */
function checkApart({ names, first, items }: DcpMetadata, opened: readonly OpenFile[]): void {
  const order = Array.from(items.file.keys()).sort((a, b) => items.file[a]! - items.file[b]! || items.offset[a]! - items.offset[b]!);
  for (const [i, box] of order.entries()) {
    const next = order[i + 1];
    if (next === undefined || items.file[next] !== items.file[box] || items.offset[box]! + items.length[box]! <= items.offset[next]!)
      continue;
    const tensor = names[first.findIndex((from) => from > box) - 1]!;
    const file = opened[items.file[box]!]!.path;
    throw new MergeError('E_OVERLAP', `${file}, byte ${items.offset[next]}: the item of ${tensor} reaches into the one behind it`, {
      details: { file, tensor, position: items.offset[next]! },
    });
  }
}
