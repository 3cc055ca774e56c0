import { type Dtype, dtypeByName } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { readPickle } from '../pickle/read-pickle.ts';
import { Dict, type Value } from '../pickle/values.ts';
import { countOf, isCallOf, itemsOf, pairs, sizesOf, torchDtypeOf, under } from '../pickle/walk.ts';
import { TORCH_DTYPES } from '../torch/dtypes.ts';
import { isOfMetadata } from './allowed.ts';

/**
 * What the `.metadata` of a checkpoint of torch.distributed says, as columns: which tensors there are, as which
 * boxes, and which items of which files hold them.
 */
export interface DcpMetadata {
  /** [tensors] Flat names. */
  readonly names: readonly string[];
  /** [tensors] Dtype codes; -1 for what we have no name for. */
  readonly dtypes: Int8Array;
  /** [tensors] Names of dtypes as torch has them, for what is said of them. */
  readonly torchDtypes: readonly string[];
  /** [tensors] */
  readonly shapes: readonly (readonly number[])[];
  /** [tensors + 1] The first box of each. */
  readonly first: Int32Array;
  /** [tensors + 1] Where the starts and sizes of each tensor's boxes begin in `bounds`. */
  readonly boundsAt: Float64Array;
  /** For each box the start in each dimension, then the size in each. */
  readonly bounds: Float64Array;
  /** [boxes] The item that holds each. */
  readonly items: ItemColumns;
  /** What holds no tensor: steps, learning rates, states that only the trainer understands. */
  readonly blobs: { readonly names: readonly string[]; readonly items: ItemColumns };
  /** Names of the files that items are in. */
  readonly files: readonly string[];
  /** The path of keys that a flat name stands for, where the writer says it. */
  readonly paths: ReadonlyMap<string, readonly (string | number)[]> | null;
  /** Of the metadata's form, since torch has one; null in those of before, and where it is left open. */
  readonly version: string | null;
}

/** Where items lie. */
export interface ItemColumns {
  /** Index into `files`; -1 where the metadata names no place. */
  readonly file: Int32Array;
  readonly offset: Float64Array;
  readonly length: Float64Array;
}

/**
 * Reads `.metadata`.
 * @param bytes all of the file
 * @throws MergeError E_PICKLE, E_PICKLE_CLASS; E_DCP for what is a pickle and no metadata of a checkpoint
 */
export function readMetadata(bytes: Uint8Array, path: string): DcpMetadata {
  return new MetadataReader(path).read(readPickle(bytes, { path, what: '.metadata' }, isOfMetadata));
}

class MetadataReader {
  readonly #path: string;
  readonly #names: string[] = [];
  readonly #dtypes: number[] = [];
  readonly #torchDtypes: string[] = [];
  readonly #shapes: (readonly number[])[] = [];
  readonly #first: number[] = [0];
  readonly #boundsAt: number[] = [0];
  readonly #bounds: number[] = [];
  readonly #rows = new Map<string, number>();
  readonly #blobRows = new Map<string, number>();
  readonly #files = new Map<string, number>();

  constructor(path: string) {
    this.#path = path;
  }

  #fault(text: string, tensor?: string): MergeError {
    return new MergeError('E_DCP', `${this.#path}: ${text}`, { details: { file: this.#path, ...(tensor !== undefined && { tensor }) } });
  }

  read(root: Value): DcpMetadata {
    if (!isCallOf(root, 'Metadata') && !isCallOf(root, 'MCoreMetadata'))
      throw this.#fault('is no metadata of a checkpoint of torch.distributed');
    const described = under(root.state, 'state_dict_metadata');
    if (!(described instanceof Dict)) throw this.#fault('describes no tensors: state_dict_metadata is not there');
    for (const [name, what] of pairs(described)) this.#describe(name, what);
    const stored = under(root.state, 'storage_data');
    if (!(stored instanceof Dict)) throw this.#fault('says of no tensor where it lies: storage_data is not there');
    const items = columns(this.#first.at(-1)!);
    const blobs = columns(this.#blobRows.size);
    for (const [index, info] of pairs(stored)) this.#place(index, info, items, blobs);
    return {
      names: this.#names,
      dtypes: Int8Array.from(this.#dtypes),
      torchDtypes: this.#torchDtypes,
      shapes: this.#shapes,
      first: Int32Array.from(this.#first),
      boundsAt: Float64Array.from(this.#boundsAt),
      bounds: Float64Array.from(this.#bounds),
      items,
      blobs: { names: [...this.#blobRows.keys()], items: blobs },
      files: [...this.#files.keys()],
      paths: pathsOf(under(root.state, 'planner_data')),
      version: textOf(under(root.state, 'version')),
    };
  }

  #describe(name: Value, what: Value): void {
    if (typeof name !== 'string') throw this.#fault('names a tensor by what is no text');
    if (this.#rows.has(name) || this.#blobRows.has(name)) throw this.#fault(`describes ${name} twice`, name);
    if (isCallOf(what, 'BytesStorageMetadata')) {
      this.#blobRows.set(name, this.#blobRows.size);
      return;
    }
    const state = isCallOf(what, 'TensorStorageMetadata') ? what.state : undefined;
    const properties = under(state, 'properties');
    const dtype = isCallOf(properties, 'TensorProperties')
      ? torchDtypeOf(itemsOf(properties.state)?.[0] ?? under(properties.state, 'dtype'))
      : null;
    const shape = sizesOf(under(state, 'size'));
    const chunks = itemsOf(under(state, 'chunks'));
    if (dtype === null || shape === null || chunks === null) throw this.#fault(`${name} is described as no tensor is`, name);
    this.#rows.set(name, this.#names.length);
    this.#names.push(name);
    this.#torchDtypes.push(dtype);
    this.#dtypes.push(codeOf(dtype)?.code ?? -1);
    this.#shapes.push(shape);
    for (const chunk of chunks) {
      const of = isCallOf(chunk, 'ChunkStorageMetadata') ? chunk.state : undefined;
      const [start, size] = [sizesOf(under(of, 'offsets')), sizesOf(under(of, 'sizes'))];
      if (start?.length !== shape.length || size?.length !== shape.length)
        throw this.#fault(`a part of ${name} has other dimensions than the whole`, name);
      for (const value of start) this.#bounds.push(value);
      for (const value of size) this.#bounds.push(value);
    }
    this.#first.push(this.#first.at(-1)! + chunks.length);
    this.#boundsAt.push(this.#bounds.length);
  }

  #place(index: Value, info: Value, items: Mutable, blobs: Mutable): void {
    const of = isCallOf(index, 'MetadataIndex') ? index.state : undefined;
    const name = under(of, 'fqn');
    const at = isCallOf(info, '_StorageInfo') ? info.state : undefined;
    const file = under(at, 'relative_path');
    const [offset, length] = [countOf(under(at, 'offset')), countOf(under(at, 'length'))];
    if (typeof name !== 'string') throw this.#fault('says where something lies, and not what');
    if (typeof file !== 'string' || offset === null || length === null)
      throw this.#fault(`says where ${name} lies in no way that is known`, name);
    const transformed = under(at, 'transform_descriptors');
    if (transformed !== undefined && transformed !== null) throw this.#fault(`${name} is stored compressed or transformed`, name);
    const number = this.#files.get(file) ?? this.#files.size;
    this.#files.set(file, number);
    const blob = this.#blobRows.get(name);
    const row = this.#rows.get(name);
    if (blob === undefined && row === undefined) throw this.#fault(`says where ${name} lies, which it does not describe`, name);
    const into = blob === undefined ? items : blobs;
    const place = blob ?? this.#boxOf(row!, of, name);
    if (into.file[place] !== -1) throw this.#fault(`says twice where ${name} lies`, name);
    into.file[place] = number;
    into.offset[place] = offset;
    into.length[place] = length;
  }

  /** The box of a tensor that an index means. */
  #boxOf(row: number, index: Value | undefined, name: string): number {
    const given = under(index, 'offset');
    const start = given == null ? this.#shapes[row]!.map(() => 0) : sizesOf(given);
    const box = start === null ? -1 : this.#boxAt(row, start, countOf(under(index, 'index')));
    if (box === -1) throw this.#fault(`says where a part of ${name} lies that it does not describe`, name);
    return box;
  }

  /** The box of a tensor that begins there: the one of that number where it is, else by its start. */
  #boxAt(row: number, start: readonly number[], hint: number | null): number {
    const [from, to] = [this.#first[row]!, this.#first[row + 1]!];
    const rank = this.#shapes[row]!.length;
    if (start.length !== rank) return -1;
    const begins = (box: number): boolean => {
      const at = this.#boundsAt[row]! + (box - from) * 2 * rank;
      for (let d = 0; d < rank; d++) if (this.#bounds[at + d] !== start[d]) return false;
      return true;
    };
    if (hint !== null && from + hint < to && begins(from + hint)) return from + hint;
    let boxes = this.#byStart.get(row);
    if (boxes === undefined) {
      boxes = new Map();
      for (let box = from; box < to; box++) {
        const at = this.#boundsAt[row]! + (box - from) * 2 * rank;
        const key = this.#bounds.slice(at, at + rank).join();
        // Boxes without elements begin where others do.
        const known = boxes.get(key);
        if (known === undefined) boxes.set(key, [box]);
        else known.push(box);
      }
      this.#byStart.set(row, boxes);
    }
    return boxes.get(start.join())?.shift() ?? -1;
  }

  readonly #byStart = new Map<number, Map<string, number[]>>();
}

interface Mutable extends ItemColumns {
  readonly file: Int32Array;
  readonly offset: Float64Array;
  readonly length: Float64Array;
}

function columns(count: number): Mutable {
  return { file: new Int32Array(count).fill(-1), offset: new Float64Array(count), length: new Float64Array(count) };
}

function codeOf(torchDtype: string): Dtype | undefined {
  const name = TORCH_DTYPES.get(torchDtype);
  return name === undefined ? undefined : dtypeByName(name);
}

function textOf(value: Value | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function pathsOf(planned: Value | undefined): Map<string, readonly (string | number)[]> | null {
  if (!(planned instanceof Dict)) return null;
  const paths = new Map<string, readonly (string | number)[]>();
  for (const [name, path] of pairs(planned)) {
    const items = itemsOf(path);
    if (typeof name !== 'string' || items?.every((item) => typeof item === 'string' || typeof item === 'number') !== true) continue;
    paths.set(name, items as readonly (string | number)[]);
  }
  return paths;
}
