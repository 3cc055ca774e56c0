import type { Dtype } from '../../../base/dtype.ts';
import { Call, Dict, Global, List, type Value } from '../pickle/values.ts';
import { isCallOf, itemsOf, pairs, under } from '../pickle/walk.ts';
import { writePickle } from '../pickle/write-pickle.ts';
import { rowMajor, torchName } from '../torch/write-tensor.ts';

/** An item of a file. */
export interface WrittenPlace {
  /** Name of the file, in the folder of `.metadata`. */
  readonly file: string;
  /** Bytes from the beginning of the file, and bytes of all of the item. */
  readonly offset: number;
  readonly length: number;
}

/** A part of a tensor, and the item that holds it. */
export interface WrittenChunk extends WrittenPlace {
  readonly start: readonly number[];
  readonly size: readonly number[];
}

/** A tensor as the metadata describes it. */
export interface WrittenTensor {
  /** Flat name. */
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly chunks: readonly WrittenChunk[];
}

/** What holds no tensor. */
export interface WrittenBlob extends WrittenPlace {
  readonly name: string;
}

/**
 * Writes `.metadata` in the form of another one: its classes, version and keys of states are those of whoever
 * wrote that, and what it says of tensors is replaced. The plans that Megatron keeps of a save, and the place
 * where it was saved, are left out: they are of that save.
 * @param template what the other one holds, as `readPickle` gives it
 * @throws RangeError for a template that describes no tensor
 */
export function writeMetadata(template: Call, tensors: readonly WrittenTensor[], blobs: readonly WrittenBlob[]): Buffer {
  const form = formOf(template);
  const names = new Set([...tensors, ...blobs].map(({ name }) => name));
  const described = new Dict();
  for (const tensor of tensors) described.entries.push(tensor.name, form.describe(tensor));
  for (const { name } of blobs) described.entries.push(name, form.blob);
  const stored = new Dict();
  for (const { name, chunks } of tensors) {
    for (const [i, chunk] of chunks.entries()) stored.entries.push(form.indexOf(name, chunk.start, i), form.place(chunk));
  }
  for (const blob of blobs) stored.entries.push(form.indexOf(blob.name, null, 0), form.place(blob));

  const root = new Call(template.callee, []);
  const state = new Dict();
  root.state = state;
  for (const [key, value] of pairs(template.state as Dict)) {
    if (key === 'all_local_plans') continue;
    let kept = value;
    if (key === 'state_dict_metadata') kept = described;
    else if (key === 'storage_data') kept = stored;
    else if (key === 'storage_meta') kept = null;
    else if (key === 'planner_data' && value instanceof Dict) kept = only(value, names);
    state.entries.push(key, kept);
  }
  return writePickle(root);
}

/** The entries of a dict that have one of these keys. */
function only(dict: Dict, keys: ReadonlySet<string>): Dict {
  const kept = new Dict();
  for (const [key, value] of pairs(dict)) if (typeof key === 'string' && keys.has(key)) kept.entries.push(key, value);
  return kept;
}

/** How a writer describes tensors: its classes, and the order of what it says. */
interface Form {
  readonly blob: Value;
  describe(tensor: WrittenTensor): Value;
  /** @param start null of a blob */
  indexOf(name: string, start: readonly number[] | null, number: number): Value;
  place(item: WrittenPlace): Value;
}

function formOf(template: Call): Form {
  const described = under(template.state, 'state_dict_metadata');
  const stored = under(template.state, 'storage_data');
  if (!(described instanceof Dict) || !(stored instanceof Dict)) throw new RangeError('metadata that describes nothing');
  const known = new Map<string, Call>();
  let first: Call | undefined;
  let blob: Call | undefined;
  for (const [name, what] of pairs(described)) {
    if (isCallOf(what, 'BytesStorageMetadata')) blob ??= what;
    else if (isCallOf(what, 'TensorStorageMetadata')) {
      // Tensors without parts tell of no class.
      if ((itemsOf(under(what.state, 'chunks'))?.length ?? 0) > 0) first ??= what;
      known.set(name as string, what);
    }
  }
  let index: Call | undefined;
  let blobIndex: Call | undefined;
  let info: Call | undefined;
  for (const [key, value] of pairs(stored)) {
    const of = key as Call;
    if (known.has(under(of.state, 'fqn') as string)) index ??= of;
    else blobIndex ??= of;
    info ??= value as Call;
    if (index !== undefined && (blobIndex !== undefined || blob === undefined)) break;
  }
  if (first === undefined || index === undefined || info === undefined) throw new RangeError('metadata that describes no tensor');
  const chunk = (itemsOf(under(first.state, 'chunks')) as readonly Call[])[0]!;
  const size = sizeLike(under(first.state, 'size')!);
  return {
    blob: blob ?? new Call(new Global(first.callee.module, 'BytesStorageMetadata'), []),
    describe({ name, dtype, shape, chunks }) {
      const like = known.get(name) ?? first;
      const of = new List();
      for (const { start, size: extent } of chunks) of.items.push(withState(chunk, { offsets: size(start), sizes: size(extent) }));
      const properties = propertiesOf(under(like.state, 'properties') as Call, dtype, chunks[0]?.size ?? shape);
      return withState(like, { properties, size: size(shape), chunks: of });
    },
    indexOf(name, start, number) {
      const like = start === null ? (blobIndex ?? index) : index;
      const numbered = under(like.state, 'index') == null ? null : number;
      const made = withState(like, { fqn: name, index: numbered, offset: start === null ? null : size(start) });
      // torch leaves out what is None: its reader looks for the very same index.
      const { entries } = made.state as Dict;
      const at = entries.indexOf('offset');
      if (start === null && at >= 0) entries.splice(at, 2);
      else if (start !== null && at < 0) entries.push('offset', size(start));
      return made;
    },
    place: ({ file, offset, length }) => withState(info, { relative_path: file, offset, length, transform_descriptors: null }),
  };
}

/**
 * An object like another, with other values of its attributes; it has no attribute that the other has not.
 */
function withState(like: Call, values: Readonly<Record<string, Value>>): Call {
  const state = new Dict();
  for (const [key, value] of pairs(like.state as Dict))
    state.entries.push(key, Object.hasOwn(values, key as string) ? values[key as string]! : value);
  const made = new Call(like.callee, like.args);
  made.state = state;
  return made;
}

/** dtype, layout, requires_grad, memory format, pin_memory and, of newer versions, strides. */
function propertiesOf(like: Call, dtype: Dtype, shape: readonly number[]): Value {
  const name = new Global('torch', torchName(dtype));
  const made = new Call(like.callee, like.args);
  if (like.state instanceof Dict) return withState(like, { dtype: name });
  const [, ...rest] = itemsOf(like.state)!;
  made.state = [name, ...rest.slice(0, 4), ...(rest.length > 4 ? [rowMajor(shape)] : [])];
  return made;
}

/** Makes sizes as the writer has them: of torch's class, or plain tuples. */
function sizeLike(example: Value): (sizes: readonly number[]) => Value {
  return example instanceof Call ? (sizes) => new Call(example.callee, [[...sizes]]) : (sizes) => [...sizes];
}
