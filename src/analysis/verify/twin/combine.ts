/**
 * The arithmetic promise, one element at a time: the slow obvious twin of the native engine. Tests compare
 * the engine with it, and `verify` recomputes merges with it.
 */
import type { AveragedDtypeName } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { decodeFloat, encodeFloat, FLOAT_BYTES } from '../../../base/numbers/float.ts';

export interface ReferenceInput {
  /** Little-endian elements; any alignment. Not looked at when `weight` is 0. */
  readonly bytes: Uint8Array;
  readonly dtype: AveragedDtypeName;
  readonly weight: number;
}

export interface ReferenceRequest {
  /** Members in the order of the sum. */
  readonly inputs: readonly ReferenceInput[];
  /** Elements of each input and of the output. */
  readonly count: number;
  readonly outDtype: AveragedDtypeName;
}

export interface ReferenceResult {
  /** `count` elements of the output dtype. */
  readonly bytes: Uint8Array;
  /** NaNs and infinities found in each member; 0 for members of weight 0, which take no part. */
  readonly nan: number[];
  readonly inf: number[];
  /**
   * Elements written as infinity or NaN although every member that takes part is finite there: the sum, or
   * its output dtype, overflowed.
   */
  readonly overflow: number;
}

/**
 * The float64 sum `w_1 x_1 + w_2 x_2 + ...` of one element, in the order given, each multiply and each add
 * rounded on its own. Members of weight 0 take no part, and the sum starts with the first product, not with 0
 * (so that -0 survives).
 *
 * @throws MergeError E_WEIGHTS when no weight differs from 0.
 */
export function combineElement(values: readonly number[], weights: readonly number[]): number {
  let sum: number | undefined;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    const product = weight * values[i]!;
    sum = sum === undefined ? product : sum + product;
  }
  if (sum === undefined) throw new MergeError('E_WEIGHTS', 'every weight is 0: there is nothing to sum');
  return sum;
}

/**
 * The weighted sum of whole arrays, exactly as the promise defines it.
 *
 * @throws MergeError E_WEIGHTS when no weight differs from 0; RangeError when a member is shorter than
 *   `count` elements.
 */
export function combineReference({ inputs, count, outDtype }: ReferenceRequest): ReferenceResult {
  const members = inputs.flatMap((input, member) =>
    input.weight === 0 ? [] : [{ member, dtype: input.dtype, view: viewOf(input.bytes), weight: input.weight }],
  );
  const weights = members.map((m) => m.weight);
  if (weights.length === 0) throw new MergeError('E_WEIGHTS', 'every weight is 0: there is nothing to sum');

  const bytes = new Uint8Array(count * FLOAT_BYTES[outDtype]);
  const out = viewOf(bytes);
  const nan = inputs.map(() => 0);
  const inf = inputs.map(() => 0);
  let overflow = 0;
  const values = weights.map(() => 0);
  for (let i = 0; i < count; i++) {
    for (let m = 0; m < members.length; m++) {
      const { member, dtype, view } = members[m]!;
      const value = decodeFloat(dtype, view, i);
      if (Number.isNaN(value)) nan[member]!++;
      else if (!Number.isFinite(value)) inf[member]!++;
      values[m] = value;
    }
    const written = encodeFloat(outDtype, combineElement(values, weights), out, i);
    if (!Number.isFinite(written) && values.every(Number.isFinite)) overflow++;
  }
  return { bytes, nan, inf, overflow };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
