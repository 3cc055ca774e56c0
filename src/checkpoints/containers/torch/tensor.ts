import { MAX_DEPTH } from '../pickle/limits.ts';
import { Call, Dict, Global, Persistent, type Value } from '../pickle/values.ts';
import { countOf, itemsOf, sizesOf, torchDtypeOf } from '../pickle/walk.ts';
import { STORAGE_DTYPES } from './dtypes.ts';

/** A tensor as torch.save describes it: a view of a storage. */
export interface TorchTensor {
  /** Name of its storage: that of an entry of the archive. */
  readonly storage: string;
  /** Elements of the storage, or its bytes where it has no dtype. */
  readonly numel: number;
  /** Dtype of the storage, as `bfloat16`; null where it has none of its own. */
  readonly storageDtype: string | null;
  /** As `bfloat16`. */
  readonly dtype: string;
  /** First element in the storage. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** Elements from one to the next in each dimension. */
  readonly stride: readonly number[];
}

/** What stands where a tensor could, and is none that has bytes of its own. */
export interface NoTensor {
  /** Half a sentence, as `is sparse`. */
  readonly refused: string;
}

/** Names that are numbers: torch itself takes any, also `../x`. */
const STORAGE_KEY = /^\d{1,10}$/;

const REFUSED: ReadonlyMap<string, string> = new Map([
  ['_rebuild_meta_tensor_no_storage', 'is of the device meta, and has no bytes'],
  ['_rebuild_sparse_tensor', 'is sparse: save it with .to_dense()'],
  ['_rebuild_qtensor', 'is quantised: save it with .dequantize()'],
  ['_rebuild_nested_tensor', 'is a nested tensor: save its parts, or .to_padded_tensor(0)'],
  ['_rebuild_wrapper_subclass', 'is of a class that wraps other tensors'],
  ['_rebuild_device_tensor_from_numpy', 'is of a device that keeps its tensors in another form'],
  ['_rebuild_device_tensor_from_cpu_tensor', 'is of a device that keeps its tensors in another form'],
]);
/** Classes that are tensors and nothing else: an attribute of Python may stand beside. */
const PLAIN_CLASSES: ReadonlySet<string> = new Set(['torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer']);

/**
 * The tensor that a value is. Null where it is something else altogether.
 * @see torch/_utils.py: _rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter
 */
export function tensorOf(value: Value): TorchTensor | NoTensor | null {
  return wrappedTensor(value, 0);
}

/** @param depth calls around it: torch writes two or three, and a pickle can have a million */
function wrappedTensor(value: Value, depth: number): TorchTensor | NoTensor | null {
  if (!(value instanceof Call)) return null;
  if (depth > MAX_DEPTH) return { refused: `is wrapped in more than ${MAX_DEPTH} calls` };
  const { callee, args } = value;
  switch (callee.path) {
    case 'torch._utils._rebuild_tensor_v2':
      return viewOf(args, null);
    case 'torch._utils._rebuild_tensor_v3':
      return viewOf(args, torchDtypeOf(args[6]));
    case 'torch._utils._rebuild_parameter':
    case 'torch._utils._rebuild_parameter_with_state':
      return args[0] === undefined ? DAMAGED : wrappedTensor(args[0], depth + 1);
    case 'torch._tensor._rebuild_from_type_v2': {
      const [make, type, inner] = args;
      if (!(make instanceof Global) || !(type instanceof Global) || !Array.isArray(inner)) return DAMAGED;
      if (!PLAIN_CLASSES.has(type.path)) return { refused: `is of the class ${type.path}` };
      return wrappedTensor(new Call(make, inner as readonly Value[]), depth + 1);
    }
    default: {
      const refused = callee.module.startsWith('torch.') ? REFUSED.get(callee.name) : undefined;
      return refused === undefined ? null : { refused };
    }
  }
}

const DAMAGED: NoTensor = { refused: 'is described as no tensor is' };

/** @param given dtype of a tensor over a storage without one; null where the storage has it */
function viewOf(args: readonly Value[], given: string | null): TorchTensor | NoTensor {
  const [reference, offsetValue, size, strides] = args;
  const metadata = args[given === null ? 6 : 7];
  const id = reference instanceof Persistent ? itemsOf(reference.id) : null;
  const [kind, type, key, , count] = id ?? [];
  const numel = countOf(count);
  const [offset, shape, stride] = [countOf(offsetValue), sizesOf(size), sizesOf(strides)];
  if (id?.length !== 5 || kind !== 'storage' || !(type instanceof Global) || numel === null) return DAMAGED;
  if (typeof key !== 'string' || !STORAGE_KEY.test(key)) return { refused: 'names its storage by what is no number' };
  if (offset === null || shape === null || stride === null || shape.length !== stride.length) return DAMAGED;
  // A conjugate or a negative view: its bytes are not its values.
  if (metadata instanceof Dict && metadata.entries.length > 0)
    return { refused: 'is a conjugate or negative view, whose bytes are not its values: save it with .resolve_conj().resolve_neg()' };
  const untyped = type.path === 'torch.storage.UntypedStorage';
  const storageDtype = type.module === 'torch' ? (STORAGE_DTYPES.get(type.name) ?? null) : null;
  const dtype = given ?? storageDtype;
  if (dtype === null || (!untyped && storageDtype === null)) return { refused: `lies in a ${type.path}` };
  return { storage: key, numel, storageDtype: untyped ? null : storageDtype, dtype, offset, shape, stride };
}

/**
 * Elements of a storage up to the end of a view of it; 0 for an empty one, NaN where it is beyond 2^53 - 1.
 */
export function extentOfView({ offset, shape, stride }: Pick<TorchTensor, 'offset' | 'shape' | 'stride'>): number {
  if (shape.includes(0)) return 0;
  let end = offset + 1;
  for (const [axis, size] of shape.entries()) {
    end += (size - 1) * stride[axis]!;
    if (end > Number.MAX_SAFE_INTEGER) return Number.NaN;
  }
  return end;
}
