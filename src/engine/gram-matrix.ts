import { gramPair, gramWidth } from '../reference/gram.ts';

/**
 * The inner products of N inputs over some elements, and what follows from them. Positions where some input is not finite are left out of everything but their counts.
 *
 * With `steps` it holds the products of the basis b_0 = x_0, b_i = x_i − x_(i−1) instead of those of the inputs themselves: x_j − x_i is the sum of b_(i+1) … b_j, so
 *
 *     ‖x_j − x_i‖² = Σ b_k·b_l for k, l in i+1 … j        x_i·x_j = Σ b_k·b_l for k in 0 … i, l in 0 … j
 *
 * The distance of neighbours is then a sum of squares, exact to rounding however close they are, and exactly 0 only where they are equal; from the products of the inputs,
 * ‖x_i‖² + ‖x_j‖² − 2 x_i·x_j cancels below about 1e-7 of the norm.
 */
export class Gram {
  readonly inputs: number;
  readonly steps: boolean;
  /** Elements summed over, those left out included. */
  elements: number;
  /** As a span of `GramResult.sums`. */
  readonly values: Float64Array;

  constructor(inputs: number, steps: boolean, elements = 0, values: Float64Array = new Float64Array(gramWidth(inputs))) {
    this.inputs = inputs;
    this.steps = steps;
    this.elements = elements;
    this.values = values;
  }

  /** Adds what another one holds over other elements of the same inputs. */
  add(other: Gram): void {
    this.elements += other.elements;
    this.addValues(other.values, 0);
  }

  /** Adds `gramWidth(inputs)` numbers of `from`: sums and counts are added, of the largest steps the larger one is kept. */
  addValues(from: Float64Array, at: number): void {
    const { values, inputs } = this;
    const largest = values.length - 3 * inputs;
    for (let i = 0; i < values.length; i++) {
      const value = from[at + i]!;
      if (i >= largest && i < largest + inputs) values[i] = Math.max(values[i]!, value);
      else values[i] = values[i]! + value;
    }
  }

  /** x_i·x_j */
  dot(i: number, j: number): number {
    return this.steps ? this.#sum(0, i, 0, j) : this.#row(i, j);
  }

  /** ‖x_i‖₂ */
  norm(i: number): number {
    return Math.sqrt(Math.max(0, this.dot(i, i)));
  }

  /** ‖x_i − x_j‖₂ */
  distance(i: number, j: number): number {
    if (i === j) return 0;
    const [a, b] = i < j ? [i, j] : [j, i];
    const square = this.steps ? this.#sum(a + 1, b, a + 1, b) : this.#row(a, a) + this.#row(b, b) - 2 * this.#row(a, b);
    return Math.sqrt(Math.max(0, square));
  }

  /** ‖x_i − x_j‖ / ‖x_i‖; 0 for two zeros, null where only x_i is zero. */
  relativeDistance(i: number, j: number): number | null {
    const distance = this.distance(i, j);
    if (distance === 0) return 0;
    const norm = this.norm(i);
    return norm === 0 ? null : distance / norm;
  }

  /** Cosine of the angle between x_i and x_j, within [−1, 1]; null where either is zero. */
  cosine(i: number, j: number): number | null {
    const [a, b] = [this.norm(i), this.norm(j)];
    return a === 0 || b === 0 ? null : Math.max(-1, Math.min(1, this.dot(i, j) / a / b));
  }

  /** max |x_i − x_(i−1)| over the elements; with `steps` only. */
  largestStep(i: number): number {
    return this.values[this.values.length - 3 * this.inputs + i]!;
  }

  nan(i: number): number {
    return this.values[this.values.length - 2 * this.inputs + i]!;
  }

  inf(i: number): number {
    return this.values[this.values.length - this.inputs + i]!;
  }

  #row(i: number, j: number): number {
    return this.values[i <= j ? gramPair(this.inputs, i, j) : gramPair(this.inputs, j, i)]!;
  }

  #sum(fromI: number, toI: number, fromJ: number, toJ: number): number {
    let sum = 0;
    for (let k = fromI; k <= toI; k++) for (let l = fromJ; l <= toJ; l++) sum += this.#row(k, l);
    return sum;
  }
}
