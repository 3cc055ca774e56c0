import { dot } from './similarity.ts';
import type { LayerReport, RouterDrift } from './types.ts';

/**
 * How far the router of one layer moved between two checkpoints.
 *
 * @param a [experts x width] the older one's rows @param b the newer one's
 */
export function routerDrift(a: Float64Array, b: Float64Array, experts: number): Omit<RouterDrift, 'correctionBias'> {
  const width = a.length / experts;
  let [aa, bb, ab, dd] = [0, 0, 0, 0];
  let worst: RouterDrift['worst'] = { expert: 0, relative: 0 };
  for (let expert = 0; expert < experts; expert++) {
    const x = a.subarray(expert * width, (expert + 1) * width);
    const y = b.subarray(expert * width, (expert + 1) * width);
    // One pass: large models have hundreds of millions of these numbers.
    let [xx, yy, xy, moved] = [0, 0, 0, 0];
    for (let i = 0; i < width; i++) {
      const [u, v] = [x[i]!, y[i]!];
      xx += u * u;
      yy += v * v;
      xy += u * v;
      moved += (v - u) * (v - u);
    }
    const relative = relativeLength(moved, xx);
    if ((relative ?? Number.POSITIVE_INFINITY) > (worst.relative ?? Number.POSITIVE_INFINITY)) worst = { expert, relative };
    aa += xx;
    bb += yy;
    ab += xy;
    dd += moved;
  }
  const both = Math.sqrt(aa) * Math.sqrt(bb);
  return { relative: relativeLength(dd, aa), cosine: finite(ab / both), worst };
}

/** ‖b − a‖ / ‖a‖ of two correction biases, the mean of each removed: one number added to all of them changes no choice. */
export function biasDrift(a: Float64Array, b: Float64Array): number | null {
  const centred = (values: Float64Array) => {
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    return values.map((v) => v - mean);
  };
  const x = centred(a);
  return relativeLength(squaredDistance(x, centred(b)), dot(x, x));
}

/** What averaging does to the length of a router's rows: shorter rows are softer logits. */
export class Midpoint {
  readonly #sum: Float64Array;
  readonly #lengths: Float64Array;

  constructor(experts: number, width: number) {
    this.#sum = new Float64Array(experts * width);
    this.#lengths = new Float64Array(experts);
  }

  /** @param rows [experts x width] of a member @param weight its weight in the average */
  add(rows: Float64Array, weight: number): void {
    for (let i = 0; i < rows.length; i++) this.#sum[i]! += weight * rows[i]!;
    const width = rows.length / this.#lengths.length;
    for (let e = 0; e < this.#lengths.length; e++) {
      const row = rows.subarray(e * width, (e + 1) * width);
      this.#lengths[e]! += Math.abs(weight) * Math.sqrt(dot(row, row));
    }
  }

  /** Of ‖Σ w·row‖ / Σ |w|·‖row‖ of each expert: 1 for rows without length; rows that are not finite do not count. */
  result(): LayerReport['midpoint'] {
    const width = this.#sum.length / this.#lengths.length;
    const ratios = this.#lengths.map((length, e) => {
      const row = this.#sum.subarray(e * width, (e + 1) * width);
      return length === 0 ? 1 : Math.sqrt(dot(row, row)) / length;
    });
    const finite = ratios.filter((ratio) => Number.isFinite(ratio));
    if (finite.length === 0) return { least: 1, expert: 0, mean: 1 };
    const least = finite.reduce((a, b) => Math.min(a, b));
    return { least, expert: ratios.indexOf(least), mean: finite.reduce((sum, r) => sum + r, 0) / finite.length };
  }
}

/** From squared lengths. Null where something moved away from nothing, and where anything is not finite. */
function relativeLength(distance: number, length: number): number | null {
  return distance === 0 ? 0 : finite(Math.sqrt(distance / length));
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function squaredDistance(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (b[i]! - a[i]!) ** 2;
  return sum;
}
