import { gramPair, gramWidth } from '../../native/gram.ts';

/**
 * The inner products of N inputs over some elements, and what follows from them. Positions where some input
 * is not finite are left out of everything but their counts.
 *
 * ‖x_i − x_j‖² = ‖x_i‖² + ‖x_j‖² − 2 x_i·x_j is exactly 0 for equal inputs (their products are the same
 * numbers), but otherwise cancels: distances below about 1e-7 of the norm are noise. Of neighbours (j = i +
 * 1) the squares of the differences themselves are there where `steps` were asked for: those distances are
 * exact to rounding however small, and 0 only where the inputs are equal.
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

  /**
   * Adds `gramWidth(inputs)` numbers of `from`: sums and counts are added, of the largest steps the larger
   * one is kept.
   */
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
    return this.values[i <= j ? gramPair(this.inputs, i, j) : gramPair(this.inputs, j, i)]!;
  }

  /** ‖x_i‖₂ */
  norm(i: number): number {
    return Math.sqrt(this.dot(i, i));
  }

  /** ‖x_i − x_j‖₂ */
  distance(i: number, j: number): number {
    if (this.steps && Math.abs(i - j) === 1) return Math.sqrt(this.values[this.values.length - 4 * this.inputs + Math.max(i, j)]!);
    return Math.sqrt(Math.max(0, this.dot(i, i) + this.dot(j, j) - 2 * this.dot(i, j)));
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

  /** Whether no element was left out: all were finite in all inputs. */
  get complete(): boolean {
    return this.values.subarray(this.values.length - 2 * this.inputs).every((count) => count === 0);
  }

  nan(i: number): number {
    return this.values[this.values.length - 2 * this.inputs + i]!;
  }

  inf(i: number): number {
    return this.values[this.values.length - this.inputs + i]!;
  }
}
