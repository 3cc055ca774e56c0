import { type Dtype, dtypeByName } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { MAX_DEPTH } from '../pickle/limits.ts';
import { readPickle } from '../pickle/read-pickle.ts';
import { Call, Dict, Placeholder, type Value } from '../pickle/values.ts';
import { countOf, isCallOf, itemsOf, pairs, sizesOf, torchDtypeOf, under } from '../pickle/walk.ts';
import { TORCH_DTYPES } from '../torch/dtypes.ts';
import { isOfMetadata } from './allowed.ts';

/**
 * What the `.metadata` of a checkpoint of torch.distributed says, as columns: which tensors there are, as
 * which boxes, and which items of which files hold them.
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
 * Parts of all tensors together, and numbers that they begin and end at. Each is of several objects of the
 * pickle, and so no more are real; but a pickle may come back to one list of parts for each of a million
 * tensors.
 */
const MAX_PARTS = 2 ** 21;
const MAX_BOUNDS = 2 ** 24;

/**
 * Reads `.metadata`.
 * @param bytes all of the file
 * @throws MergeError E_PICKLE, E_PICKLE_CLASS; E_DCP for what is a pickle and no metadata of a checkpoint
 */
export function readMetadata(bytes: Uint8Array, path: string): DcpMetadata {
  const parts = new Parts();
  const root = readPickle(bytes, { path, what: '.metadata' }, isOfMetadata, (object) => parts.take(object));
  return new MetadataReader(path, parts).read(root);
}

class MetadataReader {
  readonly #path: string;
  readonly #parts: Parts;
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

  constructor(path: string, parts: Parts) {
    this.#path = path;
    this.#parts = parts;
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
    if (this.#first.at(-1)! + chunks.length > MAX_PARTS || this.#bounds.length + 2 * shape.length * chunks.length > MAX_BOUNDS)
      throw this.#fault(`${name} and the tensors before it have more than ${MAX_PARTS} parts: no real checkpoint has`, name);
    this.#rows.set(name, this.#names.length);
    this.#names.push(name);
    this.#torchDtypes.push(dtype);
    this.#dtypes.push(codeOf(dtype)?.code ?? -1);
    this.#shapes.push(shape);
    for (const chunk of chunks) {
      const { ranks, boundsAt, bounds } = this.#parts;
      const part = numberOf(chunk, 'ChunkStorageMetadata');
      const rank = shape.length;
      if (part === null || ranks[part] !== rank) throw this.#fault(`a part of ${name} has other dimensions than the whole`, name);
      const from = boundsAt[part]!;
      for (let i = from; i < from + 2 * rank; i++) this.#bounds.push(bounds[i]!);
    }
    this.#first.push(this.#first.at(-1)! + chunks.length);
    this.#boundsAt.push(this.#bounds.length);
  }

  #place(index: Value, info: Value, items: Mutable, blobs: Mutable): void {
    const [of, at] = [numberOf(index, 'MetadataIndex'), numberOf(info, '_StorageInfo')];
    const { names, starts, hints, files, offsets, lengths, transforms } = this.#parts;
    const name = of === null ? null : names[of]!;
    if (name === null) throw this.#fault('says where something lies, and not what');
    const [file, offset, length] = at === null ? [null, -1, -1] : [files[at]!, offsets[at]!, lengths[at]!];
    if (file === null || offset < 0 || length < 0) throw this.#fault(`says where ${name} lies in no way that is known`, name);
    if (transforms[at!]) throw this.#fault(`${name} is stored compressed or transformed`, name);
    const number = this.#files.get(file) ?? this.#files.size;
    this.#files.set(file, number);
    const blob = this.#blobRows.get(name);
    const row = this.#rows.get(name);
    if (blob === undefined && row === undefined) throw this.#fault(`says where ${name} lies, which it does not describe`, name);
    const into = blob === undefined ? items : blobs;
    const place = blob ?? this.#boxOf(row!, { start: starts[of!]!, hint: hints[of!]! }, name);
    if (into.file[place] !== -1) throw this.#fault(`says twice where ${name} lies`, name);
    into.file[place] = number;
    into.offset[place] = offset;
    into.length[place] = length;
  }

  /** The box of a tensor that an index means. */
  #boxOf(row: number, { start: given, hint }: { readonly start: Value; readonly hint: number }, name: string): number {
    const start = given === null ? this.#shapes[row]!.map(() => 0) : sizesOf(given);
    const box = start === null ? -1 : this.#boxAt(row, start, hint);
    if (box === -1) throw this.#fault(`says where a part of ${name} lies that it does not describe`, name);
    return box;
  }

  /** The box of a tensor that begins there: the one of that number where it is, else by its start. */
  #boxAt(row: number, start: readonly number[], hint: number): number {
    const [from, to] = [this.#first[row]!, this.#first[row + 1]!];
    const rank = this.#shapes[row]!.length;
    if (start.length !== rank) return -1;
    const begins = (box: number): boolean => {
      const at = this.#boundsAt[row]! + (box - from) * 2 * rank;
      for (let d = 0; d < rank; d++) if (this.#bounds[at + d] !== start[d]) return false;
      return true;
    };
    if (hint >= 0 && from + hint < to && begins(from + hint)) return from + hint;
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

/**
 * What there are hundreds of thousands of, taken apart as soon as it is read: parts of tensors, their
 * indices, and the places of items, as columns.
 */
class Parts {
  /** [parts] -1 of what is described as no part is. */
  readonly ranks: number[] = [];
  /** [parts] Where the starts, then the sizes of each begin in `bounds`. */
  readonly boundsAt: number[] = [];
  readonly bounds: number[] = [];
  /** [indices] Null of what names nothing. */
  readonly names: (string | null)[] = [];
  /** [indices] As the pickle has them. */
  readonly starts: Value[] = [];
  /** [indices] -1 for none. */
  readonly hints: number[] = [];
  /** [places] Null of what names no file. */
  readonly files: (string | null)[] = [];
  /** [places] -1 of what is none, and so is a length. */
  readonly offsets: number[] = [];
  readonly lengths: number[] = [];
  /** [places] Whether they are stored as what they are not. */
  readonly transforms: boolean[] = [];

  take(object: Call): Value {
    const { callee, state, args } = object;
    switch (callee.name) {
      case 'Size':
        return Array.isArray(args[0]) ? args[0] : object;
      case 'ChunkStorageMetadata':
        return replaced(object, this.#part(sizesOf(under(state, 'offsets')), sizesOf(under(state, 'sizes'))));
      case 'MetadataIndex': {
        const name = under(state, 'fqn');
        this.starts.push(under(state, 'offset') ?? null);
        this.hints.push(countOf(under(state, 'index')) ?? -1);
        return replaced(object, this.names.push(typeof name === 'string' ? name : null) - 1);
      }
      case '_StorageInfo': {
        const file = under(state, 'relative_path');
        this.offsets.push(countOf(under(state, 'offset')) ?? -1);
        this.lengths.push(countOf(under(state, 'length')) ?? -1);
        this.transforms.push((under(state, 'transform_descriptors') ?? null) !== null);
        return replaced(object, this.files.push(typeof file === 'string' ? file : null) - 1);
      }
      default:
        return object;
    }
  }

  #part(start: readonly number[] | null, size: readonly number[] | null): number {
    this.boundsAt.push(this.bounds.length);
    if (start === null || size === null || start.length !== size.length) return this.ranks.push(-1) - 1;
    for (const value of start) this.bounds.push(value);
    for (const value of size) this.bounds.push(value);
    return this.ranks.push(start.length) - 1;
  }
}

/** What stands in the place of an object; the object itself, to which a pickle may come back, has it, too. */
function replaced(object: Call, number: number): Placeholder {
  const taken = new Placeholder(object.callee.name, number);
  object.state = taken;
  return taken;
}

/** The number of an object that was taken apart; null of anything else. */
function numberOf(value: Value, name: string): number | null {
  const taken = value instanceof Call ? value.state : value;
  return taken instanceof Placeholder && taken.name === name ? taken.number : null;
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
    // No deeper than a state is read.
    if (typeof name !== 'string' || items === null || items.length > MAX_DEPTH) continue;
    if (!items.every((item) => typeof item === 'string' || typeof item === 'number')) continue;
    paths.set(name, items as readonly (string | number)[]);
  }
  return paths;
}
