import { type DtypeName, dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict, ErrorCode } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import { readTensor } from '../../../checkpoints/tensors/extents.ts';
import type { TensorPlace, TensorSource } from '../../../checkpoints/tensors/types.ts';

/** One copy of a tensor. */
export interface TensorCopy {
  /** The file that messages name. */
  readonly path: string;
  /** Those of another dtype are another tensor; what is given without one has that of all others. */
  readonly dtype?: DtypeName;
  /** Bytes of the tensor. */
  read(reader: ByteReader, at: number, length: number): Promise<Buffer>;
}

/** A tensor of a checkpoint. */
export function copyOfTensor(source: TensorSource, place: TensorPlace): TensorCopy {
  const { path, tensors } = source.shards[place.shard]!;
  const dtype = dtypeByCode(tensors.dtypes[place.row]!).name;
  return { path, dtype, read: (reader, at, length) => readTensor(reader, source, place, at, length) };
}

/** A tensor that must be the same in every member that is to have it. */
export interface EqualTensor {
  readonly name: string;
  readonly bytes: number;
  readonly copies: readonly TensorCopy[];
  /** What it is when they differ. */
  readonly code: ErrorCode;
  /** E_UNKNOWN_TENSOR: what speaks against averaging it, as half a sentence. */
  readonly doubt?: string | null;
}

/** Bytes compared at a time. */
const BLOCK = 1 << 20;

/** What a tensor is and why it may not differ. */
const WHY: Partial<Record<ErrorCode, readonly [what: string, why: (tensor: EqualTensor) => string]>> = {
  E_INTEGERS_DIFFER: ['integer tensor', () => 'integers are never averaged'],
  E_BUFFERS_DIFFER: ['constant buffer', () => 'a difference means another configuration (RoPE base, decay), not training'],
  E_UNKNOWN_TENSOR: [
    'tensor',
    ({ name, doubt }) =>
      worded`no rule knows its name, and ${doubt ?? 'it was the same in all members a moment ago'}: where it is a weight all the same, --policy 'name=${name}:use=average' averages it and --allow-unknown all such tensors; --policy 'name=${name}:use=newest' takes the newest one`,
  ],
};

/** Names the first difference of each tensor. */
export async function unequalTensors(tensors: readonly EqualTensor[], signal?: AbortSignal): Promise<Conflict[]> {
  const conflicts: Conflict[] = [];
  const reader = new ByteReader();
  try {
    for (const tensor of tensors) {
      signal?.throwIfAborted();
      const conflict = await firstDifference(tensor, reader);
      if (conflict !== undefined) conflicts.push(conflict);
    }
  } finally {
    await reader.close();
  }
  return conflicts;
}

async function firstDifference(tensor: EqualTensor, reader: ByteReader): Promise<Conflict | undefined> {
  const [first, ...others] = tensor.copies;
  if (first === undefined || others.length === 0) return undefined;
  const [what, why] = WHY[tensor.code] ?? ['tensor', () => 'a policy wants it equal'];
  const cast = others.find(({ dtype }) => dtype !== first.dtype);
  if (cast !== undefined) {
    const more = tensor.code === 'E_BUFFERS_DIFFER' ? ', and not the same but for rounding' : '';
    const message = `${what} ${tensor.name} is ${first.dtype} in ${first.path} and ${cast.dtype} in ${cast.path}${more}; ${why(tensor)}`;
    return { code: tensor.code, message, file: cast.path, tensor: tensor.name };
  }
  for (let at = 0; at < tensor.bytes; at += BLOCK) {
    const length = Math.min(BLOCK, tensor.bytes - at);
    const expected = await first.read(reader, at, length);
    for (const other of others) {
      const found = await other.read(reader, at, length);
      if (expected.equals(found)) continue;
      const byte = at + expected.findIndex((b, i) => b !== found[i]);
      const between = first.path === other.path ? `in ${first.path}` : `between ${first.path} and ${other.path}`;
      const message = `${what} ${tensor.name} differs ${between} (first at byte ${byte} of it); ${why(tensor)}`;
      return { code: tensor.code, message, file: other.path, tensor: tensor.name };
    }
  }
  return undefined;
}
