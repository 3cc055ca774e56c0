import { dtypeByCode } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { tilingText } from '../../tensors/box-table.ts';
import { type Boxes, tilingFault } from '../../tensors/boxes.ts';
import { SECTIONS, sectionOfName } from '../../tensors/section.ts';
import { locateIn, shardsOf } from '../../tensors/shards.ts';
import { ColumnTable, elementCount } from '../../tensors/table.ts';
import type { BoxColumns, Shard, TensorFile } from '../../tensors/types.ts';
import type { OpenCache } from '../open-cache.ts';
import type { PlacedTensor } from '../torch/archive.ts';
import { isOfLoop } from '../torch/stated-step.ts';
import type { Opened } from '../types.ts';
import type { ItemFiles } from './item-files.ts';
import { ItemReader } from './items.ts';
import type { DcpMetadata } from './read-metadata.ts';

/** Keys under which a model stands that is a part of a state. */
const WHOLE_MODEL = /^(?:model|module|app|state_dict)\./;

/**
 * What the steps of a run say alike: where `.metadata` is the same, and all items are but for their values, their
 * tensors are one table, so that whatever is found out of it is found out once.
 */
class KnownTables {
  #layout: Layout | null = null;
  #forms: readonly PlacedTensor[] = [];
  #shards: readonly Shard[] = [];

  layoutOf(metadata: DcpMetadata): Layout | null {
    return this.#layout?.metadata === metadata ? this.#layout : null;
  }

  /** The shards of a step of this layout whose items have the same forms, as those of other files; else null. */
  shardsOf(layout: Layout, forms: readonly PlacedTensor[], { path, stat }: TensorFile): Shard[] | null {
    if (this.#layout !== layout || forms.some((form, box) => form !== this.#forms[box])) return null;
    return this.#shards.map((shard) => ({ ...shard, path, stat }));
  }

  keep(layout: Layout, forms: readonly PlacedTensor[], shards: readonly Shard[]): void {
    [this.#layout, this.#forms, this.#shards] = [layout, forms, shards];
  }
}

/**
 * The tensors that `.metadata` describes and items hold.
 * @param path of `.metadata`
 * @param inner the folder that it is in, below the checkpoint; '' for itself
 * @throws MergeError E_DCP, E_NO_TENSORS, E_OVERLAP, E_FILE_TRUNCATED; what {@link ItemReader} throws
 */
export async function tensorsOf(
  path: string,
  inner: string,
  metadata: DcpMetadata,
  opened: ItemFiles,
  cache: OpenCache,
): Promise<Omit<Opened, 'heads' | 'form'>> {
  const { names, items } = metadata;
  const known = cache.of(KnownTables);
  const layout = known.layoutOf(metadata) ?? layoutOf(metadata, path, opened.paths);
  refuseTruncated(layout, opened);
  const reader = cache.of(ItemReader);
  const forms: PlacedTensor[] = new Array(items.file.length);
  for (const [number, order] of layout.order.entries()) {
    const places = {
      count: order.length,
      offset: (i: number): number => items.offset[order[i]!]!,
      length: (i: number): number => items.length[order[i]!]!,
      name: (i: number): string => names[layout.rowOf[order[i]!]!]!,
    };
    const found = (i: number, form: PlacedTensor): void => {
      forms[order[i]!] = form;
    };
    await opened.use(number, (one) => reader.read(one, places, found));
  }
  const prefix = inner === '' ? '' : `${inner}/`;
  const files = metadata.files.map((name, i): TensorFile => ({ name: `${prefix}${name}`, path: opened.paths[i]!, stat: opened.stats[i]! }));
  let shards = known.shardsOf(layout, forms, files[0]!);
  if (shards === null) {
    shards = shardsOf(tableOf(layout, forms, opened.paths), files);
    known.keep(layout, forms, shards);
  }
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

/** @throws MergeError E_FILE_TRUNCATED for a file that ends before its last item does */
function refuseTruncated({ order, rowOf, metadata: { items, names } }: Layout, { paths, stats }: ItemFiles): void {
  for (const [number, boxes] of order.entries()) {
    const { size } = stats[number]!;
    const last = boxes.at(-1);
    if (last === undefined || items.offset[last]! + items.length[last]! <= size) continue;
    const box = boxes.find((box) => !(items.offset[box]! + items.length[box]! <= size))!;
    const tensor = names[rowOf[box]!]!;
    const end = items.offset[box]! + items.length[box]!;
    throw new MergeError('E_FILE_TRUNCATED', `${paths[number]} has ${size} bytes, and ${tensor} reaches to ${end}`, {
      details: { file: paths[number]!, tensor },
    });
  }
}

/**
 * The tensors of a checkpoint.
 * @param forms [boxes] what the item of each says
 * @throws MergeError E_DCP where that is not what `.metadata` says
 */
function tableOf({ metadata, rowOf, bytes }: Layout, forms: readonly PlacedTensor[], paths: readonly string[]): ColumnTable {
  const { names, shapes, first, boundsAt, items } = metadata;
  const boxes = {
    first,
    file: items.file,
    offset: new Float64Array(forms.length),
    boundsAt: Float64Array.from(boundsAt, (at) => at * 1.5),
    bounds: new Float64Array(boundsAt[names.length]! * 1.5),
  } satisfies BoxColumns;
  for (const [box, form] of forms.entries()) {
    const row = rowOf[box]!;
    const rank = shapes[row]!.length;
    const from = boundsAt[row]! + (box - first[row]!) * 2 * rank;
    const file = paths[items.file[box]!]!;
    if (form.dtype.code !== metadata.dtypes[row])
      throw fault(file, names[row]!, `is ${form.dtype.name} here, and ${dtypeByCode(metadata.dtypes[row]!).name} in .metadata`);
    const to = boxes.boundsAt[row]! + (box - first[row]!) * 3 * rank;
    for (let i = 0; i < 2 * rank; i++) boxes.bounds[to + i] = metadata.bounds[from + i]!;
    let same = form.shape.length === rank;
    for (let axis = 0; axis < rank && same; axis++) {
      same = form.shape[axis] === metadata.bounds[from + rank + axis];
      boxes.bounds[to + 2 * rank + axis] = form.stride[axis]!;
    }
    if (!same) {
      const sizes = metadata.bounds.subarray(from + rank, from + 2 * rank);
      throw fault(file, names[row]!, `has a part of [${form.shape.join(', ')}] here, which .metadata says is [${sizes.join(', ')}]`);
    }
    boxes.offset[box] = items.offset[box]! + form.at;
  }
  return new ColumnTable({
    names,
    dtypes: Uint8Array.from(metadata.dtypes),
    shapes,
    bytes,
    offset: Float64Array.from(first.subarray(0, names.length), (box) => boxes.offset[box] ?? 0),
    boxes,
    sections: sectionsOf(names, shapes),
  });
}

/** What `.metadata` alone says of the tensors. */
interface Layout {
  readonly metadata: DcpMetadata;
  /** [tensors] */
  readonly bytes: Float64Array;
  /** [boxes] The tensor that each is of. */
  readonly rowOf: Int32Array;
  /** [files] The boxes of each, in the order in which their items lie there. */
  readonly order: readonly Int32Array[];
}

/**
 * @param path of `.metadata`
 * @param paths of the files that it names
 * @throws MergeError E_DCP for tensors that there cannot be, or that are not there as a whole; E_NO_TENSORS; E_OVERLAP
 */
function layoutOf(metadata: DcpMetadata, path: string, paths: readonly string[]): Layout {
  const { names, shapes, first, items } = metadata;
  const count = names.length;
  if (count === 0) throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
  const bytes = new Float64Array(count);
  const rowOf = new Int32Array(first[count]!);
  // The last tensor of a shape and number of boxes that was proved: those of other layers are like it.
  const tiled = new Map<string, number>();
  for (let row = 0; row < count; row++) {
    if (metadata.dtypes[row]! < 0)
      throw fault(path, names[row]!, `is of the dtype torch.${metadata.torchDtypes[row]}, which safetensors does not have`);
    const elements = elementCount(shapes[row]!);
    if (Number.isNaN(elements)) throw fault(path, names[row]!, `is too large to be real: [${shapes[row]!.join(', ')}]`);
    bytes[row] = (elements * dtypeByCode(metadata.dtypes[row]!).bits) / 8;
    const key = `${first[row + 1]! - first[row]!}:${shapes[row]!.join()}`;
    const proved = tiled.get(key);
    if (proved === undefined || !sameBoxes(metadata, proved, row)) {
      const found = tilingFault(describedBoxes(metadata, row));
      if (found !== null) throw fault(path, names[row]!, tilingText(found, shapes[row]!));
      tiled.set(key, row);
    }
    rowOf.fill(row, first[row], first[row + 1]);
    for (let box = first[row]!; box < first[row + 1]!; box++)
      if (items.file[box]! < 0) throw fault(path, names[row]!, 'has a part of which nothing says where it lies');
  }
  return { metadata, bytes, rowOf, order: orderInFiles(metadata, rowOf, paths) };
}

function fault(file: string, tensor: string, text: string): MergeError {
  return new MergeError('E_DCP', `${file}: ${tensor} ${text}`, { details: { file, tensor } });
}

/** [names] Indices into `SECTIONS`. */
function sectionsOf(names: readonly string[], shapes: readonly (readonly number[])[]): Uint8Array {
  const sections = Uint8Array.from(names, (name) => SECTIONS.indexOf(sectionOfName(name)));
  const ofLoop = names.flatMap((name, row) => (isOfLoop(name, shapes[row]!) ? row : []));
  // A model alone may have a buffer of any name.
  const more = ofLoop.length > 0 && names.some((name, row) => WHOLE_MODEL.test(name) || sections[row] !== SECTIONS.indexOf('model'));
  if (more) for (const row of ofLoop) sections[row] = SECTIONS.indexOf('blob');
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
function orderInFiles({ names, items }: DcpMetadata, rowOf: Int32Array, paths: readonly string[]): Int32Array[] {
  const { file, offset, length } = items;
  const counts = new Int32Array(paths.length);
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
      const tensor = names[rowOf[box]!]!;
      const path = paths[number]!;
      throw new MergeError('E_OVERLAP', `${path}, byte ${offset[next]}: the item of ${tensor} reaches into the one behind it`, {
        details: { file: path, tensor, position: offset[next]! },
      });
    }
  }
  return orders;
}
