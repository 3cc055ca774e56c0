import type { Dtype } from '../../../base/dtype.ts';
import { Call, Global, Persistent, type Value } from '../pickle/values.ts';
import { writePickle } from '../pickle/write-pickle.ts';
import { STORAGE_DTYPES, TORCH_DTYPES } from './dtypes.ts';

const ORDERED = new Global('collections', 'OrderedDict');

/**
 * The `data.pkl` of one tensor that lies in storage 0 whole and in row-major order, as `torch.save(tensor)`
 * writes it. Source: PyTorch's torch/_tensor.py (`_reduce_ex_internal`).
 * @param shape sizes of the dimensions; [] for a scalar
 */
export function tensorPickle(dtype: Dtype, shape: readonly number[]): Buffer {
  return writePickle(tensorValue(dtype, shape), 2);
}

function tensorValue(dtype: Dtype, shape: readonly number[]): Value {
  const count = shape.reduce((product, size) => product * size, 1);
  const hooks = new Call(ORDERED, []);
  const view = [0, [...shape], rowMajor(shape), false, hooks];
  const storage = storageClass(dtype);
  if (storage !== null) {
    const id = ['storage', new Global('torch', storage), '0', 'cpu', count];
    return new Call(new Global('torch._utils', '_rebuild_tensor_v2'), [new Persistent(id), ...view]);
  }
  const id = ['storage', new Global('torch.storage', 'UntypedStorage'), '0', 'cpu', (count * dtype.bits) / 8];
  return new Call(new Global('torch._utils', '_rebuild_tensor_v3'), [new Persistent(id), ...view, new Global('torch', torchName(dtype))]);
}

/** Elements from one to the next in each dimension; of a dimension without elements torch counts one. */
export function rowMajor(shape: readonly number[]): number[] {
  const stride: number[] = [];
  let step = 1;
  for (const size of shape.toReversed()) {
    stride.unshift(step);
    step *= Math.max(size, 1);
  }
  return stride;
}

/** The class of storages that have that dtype; null for newer dtypes, which have none. */
function storageClass(dtype: Dtype): string | null {
  const found = [...STORAGE_DTYPES].find(([, name]) => TORCH_DTYPES.get(name) === dtype.name);
  return found === undefined ? null : found[0];
}

/** What torch calls a dtype, as `bfloat16`. */
export function torchName(dtype: Dtype): string {
  return [...TORCH_DTYPES].find(([, name]) => name === dtype.name)![0];
}
