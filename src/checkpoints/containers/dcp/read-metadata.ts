import { type Dtype, dtypeByName } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { MAX_DEPTH } from '../pickle/limits.ts';
import { readPickle, type Take } from '../pickle/read-pickle.ts';
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
  const root = readPickle(bytes, { path, what: '.metadata' }, isOfMetadata, parts);
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
    for (const [index, info] of pairs(stored)) {
      const [of, at] = [runOf(index, 'MetadataIndex'), runOf(info, '_StorageInfo')];
      if (of === null) throw this.#fault('says where something lies, and not what');
      for (let i = 0; i < of.count; i++) this.#place(of.number + i, at === null ? null : at.number + i, items, blobs);
    }
    return {
      names: this.#names,
      dtypes: new Int8Array(this.#dtypes),
      torchDtypes: this.#torchDtypes,
      shapes: this.#shapes,
      first: new Int32Array(this.#first),
      boundsAt: new Float64Array(this.#boundsAt),
      bounds: new Float64Array(this.#bounds),
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
    const runs = chunks.map((chunk) => runOf(chunk, 'ChunkStorageMetadata'));
    const count = runs.reduce((sum, run) => sum + (run?.count ?? 1), 0);
    if (this.#first.at(-1)! + count > MAX_PARTS || this.#bounds.length + 2 * shape.length * count > MAX_BOUNDS)
      throw this.#fault(`${name} and the tensors before it have more than ${MAX_PARTS} parts: no real checkpoint has`, name);
    this.#rows.set(name, this.#names.length);
    this.#names.push(name);
    this.#torchDtypes.push(dtype);
    this.#dtypes.push(codeOf(dtype)?.code ?? -1);
    this.#shapes.push(shape);
    const { ranks, boundsAt, bounds } = this.#parts;
    const rank = shape.length;
    for (const run of runs) {
      for (let i = 0; i < (run?.count ?? 1); i++) {
        const part = run === null ? -1 : run.number + i;
        if (ranks[part] !== rank) throw this.#fault(`a part of ${name} has other dimensions than the whole`, name);
        const from = boundsAt[part]!;
        for (let at = from; at < from + 2 * rank; at++) this.#bounds.push(bounds[at]!);
      }
    }
    this.#first.push(this.#first.at(-1)! + count);
    this.#boundsAt.push(this.#bounds.length);
  }

  #place(of: number, at: number | null, items: Mutable, blobs: Mutable): void {
    const { names, files, offsets, lengths, transforms } = this.#parts;
    const name = names[of]!;
    if (name === null) throw this.#fault('says where something lies, and not what');
    const file = at === null ? null : files[at]!;
    const offset = at === null ? -1 : offsets[at]!;
    const length = at === null ? -1 : lengths[at]!;
    if (file === null || offset < 0 || length < 0) throw this.#fault(`says where ${name} lies in no way that is known`, name);
    if (transforms[at!]) throw this.#fault(`${name} is stored compressed or transformed`, name);
    const number = this.#files.get(file) ?? this.#files.size;
    if (number === this.#files.size) this.#files.set(file, number);
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

  /** The box of a tensor that an index means: the one of its number where it begins there, else by its start. */
  #boxOf(row: number, index: number, name: string): number {
    const { starts, startsAt, startRanks, hints } = this.#parts;
    const rank = this.#shapes[row]!.length;
    const given = startRanks[index]!;
    if (given !== rank && given !== NO_START) throw this.#notDescribed(name);
    const from = startsAt[index]!;
    const first = this.#first[row]!;
    const end = this.#first[row + 1]!;
    const hint = hints[index]!;
    const start = (axis: number): number => (given === NO_START ? 0 : starts[from + axis]!);
    if (hint >= 0 && first + hint < end && this.#begins(row, hint, start)) return first + hint;
    let boxes = this.#byStart.get(row);
    if (boxes === undefined) {
      boxes = new Map();
      for (let box = first; box < end; box++) {
        const at = this.#boundsAt[row]! + (box - first) * 2 * rank;
        const key = this.#bounds.slice(at, at + rank).join();
        // Boxes without elements begin where others do.
        const known = boxes.get(key);
        if (known === undefined) boxes.set(key, [box]);
        else known.push(box);
      }
      this.#byStart.set(row, boxes);
    }
    const box = boxes.get(this.#shapes[row]!.map((_, axis) => start(axis)).join())?.shift();
    if (box === undefined) throw this.#notDescribed(name);
    return box;
  }

  #begins(row: number, box: number, start: (axis: number) => number): boolean {
    const rank = this.#shapes[row]!.length;
    const at = this.#boundsAt[row]! + box * 2 * rank;
    for (let axis = 0; axis < rank; axis++) if (this.#bounds[at + axis] !== start(axis)) return false;
    return true;
  }

  #notDescribed(name: string): MergeError {
    return this.#fault(`says where a part of ${name} lies that it does not describe`, name);
  }

  readonly #byStart = new Map<number, Map<string, number[]>>();
}

/** Of an index that says no start: its tensor is whole. */
const NO_START = -1;
/** Of one whose start is none. */
const BAD_START = -2;

/**
 * What there are hundreds of thousands of, taken apart as soon as it is read: parts of tensors, their
 * indices, and the places of items, as columns.
 */
class Parts implements Take {
  /** [parts] -1 of what is described as no part is. */
  readonly ranks: number[] = [];
  /** [parts] Where the starts, then the sizes of each begin in `bounds`. */
  readonly boundsAt: number[] = [];
  readonly bounds: number[] = [];
  /** [indices] Null of what names nothing. */
  readonly names: (string | null)[] = [];
  /** [indices] Dimensions of their starts, which begin in `starts` there. */
  readonly startRanks: number[] = [];
  readonly startsAt: number[] = [];
  readonly starts: number[] = [];
  /** [indices] -1 for none. */
  readonly hints: number[] = [];
  /** [places] Null of what names no file. */
  readonly files: (string | null)[] = [];
  /** [places] -1 of what is none, and so is a length. */
  readonly offsets: number[] = [];
  readonly lengths: number[] = [];
  /** [places] Whether they are stored as what they are not. */
  readonly transforms: boolean[] = [];

  object(object: Call): Value {
    const { callee, state, args } = object;
    switch (callee.name) {
      case 'Size':
        return Array.isArray(args[0]) ? args[0] : object;
      case 'ChunkStorageMetadata':
        return replaced(object, this.#part(sizesOf(under(state, 'offsets')), sizesOf(under(state, 'sizes'))));
      case 'MetadataIndex': {
        const name = under(state, 'fqn');
        this.#start(under(state, 'offset') ?? null);
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

  items(items: Value[]): Value[] {
    return inRuns(items, 1);
  }

  entries(entries: Value[]): Value[] {
    return inRuns(entries, 2);
  }

  #part(start: readonly number[] | null, size: readonly number[] | null): number {
    this.boundsAt.push(this.bounds.length);
    if (start === null || size === null || start.length !== size.length) return this.ranks.push(-1) - 1;
    for (const value of start) this.bounds.push(value);
    for (const value of size) this.bounds.push(value);
    return this.ranks.push(start.length) - 1;
  }

  #start(given: Value): void {
    const start = given === null ? null : sizesOf(given);
    this.startsAt.push(this.starts.length);
    this.startRanks.push(given === null ? NO_START : start === null ? BAD_START : start.length);
    if (start !== null) for (const value of start) this.starts.push(value);
  }
}

/** What stands in the place of an object; the object itself, to which a pickle may come back, has it, too. */
function replaced(object: Call, number: number): Placeholder {
  const taken = new Placeholder(object.callee.name, number);
  object.state = taken;
  return taken;
}

/**
 * Values of which those that follow one another in number, in each of the columns, are one.
 * @param columns 1 for the items of a list, 2 for keys and values in turn
 */
function inRuns(values: Value[], columns: 1 | 2): Value[] {
  if (!(values[0] instanceof Placeholder)) return values;
  const runs: Value[] = [];
  for (let from = 0; from < values.length; ) {
    let count = 1;
    while (follows(values, from, columns, count)) count++;
    for (let i = from; i < from + columns; i++) {
      const value = values[i]!;
      runs.push(count > 1 && value instanceof Placeholder ? new Placeholder(value.name, value.number, count) : value);
    }
    from += count * columns;
  }
  return runs;
}

/** Whether what lies so many rows behind is, in all columns, the object of that number behind the first one's. */
function follows(values: readonly Value[], from: number, columns: number, behind: number): boolean {
  const at = from + behind * columns;
  if (at >= values.length) return false;
  for (let i = 0; i < columns; i++) {
    const first = values[from + i];
    const value = values[at + i];
    if (!(first instanceof Placeholder && value instanceof Placeholder)) return false;
    if (first.count !== 1 || value.count !== 1 || value.number !== first.number + behind || value.name !== first.name) return false;
  }
  return true;
}

/** The numbers of objects that were taken apart; null of anything else. */
function runOf(value: Value, name: string): Placeholder | null {
  const taken = value instanceof Call ? value.state : value;
  return taken instanceof Placeholder && taken.name === name ? taken : null;
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
