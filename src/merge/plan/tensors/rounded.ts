import { dtypeByCode, type FloatDtypeName } from '../../../base/dtype.ts';
import { decodeFloats } from '../../../base/numbers/decode.ts';
import type { ByteReader } from '../../../base/store/byte-reader.ts';
import { readTensor } from '../../../checkpoints/tensors/extents.ts';
import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/** Half a step of a dtype, relative to a number, and near zero, where steps are all of one length. */
const HALF_STEP: Partial<Record<string, readonly [relative: number, absolute: number]>> = {
  BF16: [2 ** -8, 2 ** -134],
  F16: [2 ** -11, 2 ** -25],
  F32: [2 ** -24, 2 ** -150],
  F64: [2 ** -53, 0],
};

/** Elements compared at a time. */
const BLOCK = 1 << 18;

/** A tensor of a checkpoint. */
export interface TensorOf {
  readonly checkpoint: Checkpoint;
  readonly place: TensorPlace;
}

/**
 * Whether two float tensors of different dtypes hold the same numbers, each rounded to its dtype.
 * @throws MergeError E_INPUT_CHANGED, E_NOT_READABLE
 */
export async function sameButForRounding(reader: ByteReader, a: TensorOf, b: TensorOf): Promise<boolean> {
  const [x, y] = [a, b].map(({ checkpoint, place }) => {
    const { tensors } = checkpoint.shards[place.shard]!;
    return { elements: elementsOf(tensors, place.row), dtype: dtypeByCode(tensors.dtypes[place.row]!) };
  });
  const steps = [HALF_STEP[x!.dtype.name], HALF_STEP[y!.dtype.name]];
  if (steps.includes(undefined) || x!.elements !== y!.elements) return false;
  const relative = steps[0]![0] + steps[1]![0];
  const absolute = steps[0]![1] + steps[1]![1];
  for (let from = 0; from < x!.elements; from += BLOCK) {
    const count = Math.min(BLOCK, x!.elements - from);
    const [p, q] = await Promise.all([
      numbers(reader, a, x!.dtype.name as FloatDtypeName, from, count),
      numbers(reader, b, y!.dtype.name as FloatDtypeName, from, count),
    ]);
    for (let i = 0; i < count; i++) {
      const [one, other] = [p![i]!, q![i]!];
      if (!Object.is(one, other) && !(Math.abs(one - other) <= relative * Math.abs(one) + absolute)) return false;
    }
  }
  return true;
}

async function numbers(
  reader: ByteReader,
  { checkpoint, place }: TensorOf,
  dtype: FloatDtypeName,
  from: number,
  count: number,
): Promise<Float64Array> {
  const size = dtypeByCode(checkpoint.shards[place.shard]!.tensors.dtypes[place.row]!).bits / 8;
  return decodeFloats(dtype, await readTensor(reader, checkpoint, place, from * size, count * size));
}
