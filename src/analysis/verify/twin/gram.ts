/**
 * Sums of products, one element at a time: the slow twin of the native `gram`, in the same order of
 * additions.
 */
import type { AveragedDtypeName } from '../../../base/dtype.ts';
import { decodeFloat } from '../../../base/numbers/float.ts';
import { gramPair, gramWidth } from '../../../merge/native/gram.ts';

/** Elements of a span, and partial sums of each sum in it: element i of a span is added to lane i % LANES. */
const SPAN = 8192;
const LANES = 8;

export interface GramInput {
  /** Little-endian elements; any alignment. */
  readonly bytes: Uint8Array;
  readonly dtype: AveragedDtypeName;
}

/** The rows of all spans of `count` elements, as `GramResult.sums` has them. */
export function gramReference(inputs: readonly GramInput[], count: number, steps: boolean): Float64Array {
  const views = inputs.map(({ bytes, dtype }) => ({ dtype, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }));
  const [n, width] = [inputs.length, gramWidth(inputs.length)];
  const pairs = (n * (n + 1)) / 2;
  const spans = Math.ceil(count / SPAN);
  const sums = new Float64Array(spans * width);
  for (let span = 0; span < spans; span++) {
    const row = sums.subarray(span * width, (span + 1) * width);
    const lanes = Array.from({ length: pairs + n }, () => new Float64Array(LANES));
    for (let i = span * SPAN; i < Math.min(count, (span + 1) * SPAN); i++) {
      const x = views.map(({ dtype, view }) => decodeFloat(dtype, view, i));
      if (!x.every(Number.isFinite)) {
        for (const [k, value] of x.entries()) {
          if (Number.isNaN(value)) row[pairs + 2 * n + k]! += 1;
          else if (!Number.isFinite(value)) row[pairs + 3 * n + k]! += 1;
        }
        continue;
      }
      for (let k = 0; k < n; k++) {
        for (let l = k; l < n; l++) lanes[gramPair(n, k, l)]![i % LANES]! += x[k]! * x[l]!;
        if (!steps || k === 0) continue;
        const step = x[k]! - x[k - 1]!;
        lanes[pairs + k]![i % LANES]! += step * step;
        row[pairs + n + k] = Math.max(row[pairs + n + k]!, Math.sqrt(step * step));
      }
    }
    for (const [sum, lane] of lanes.entries()) {
      const halves = [0, 1, 2, 3].map((l) => lane[l]! + lane[l + 4]!);
      row[sum] = halves[0]! + halves[2]! + (halves[1]! + halves[3]!);
    }
  }
  return sums;
}
