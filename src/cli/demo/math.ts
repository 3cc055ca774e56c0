import { dot } from '../../base/numbers/matrix.ts';

/** Each vector of x (as long as `gain`) divided by its root mean square, times `gain`. */
export function rmsNorm(x: Float64Array, gain: Float64Array, epsilon: number): Float64Array {
  const y = new Float64Array(x.length);
  const width = gain.length;
  for (let start = 0; start < x.length; start += width) {
    const scale = 1 / Math.sqrt(dot(x, x, start, start, width) / width + epsilon);
    for (let i = 0; i < width; i++) y[start + i] = x[start + i]! * scale * gain[i]!;
  }
  return y;
}

/**
 * Turns x[start … start + length) into probabilities, in place; returns the logarithm of the sum of the
 * exponentials that went in.
 */
export function softmax(x: Float64Array, start: number, length: number): number {
  const end = start + length;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = start; i < end; i++) if (x[i]! > max) max = x[i]!;
  let sum = 0;
  for (let i = start; i < end; i++) sum += x[i] = Math.exp(x[i]! - max);
  for (let i = start; i < end; i++) x[i]! /= sum;
  return max + Math.log(sum);
}

/** silu(gate) * up, elementwise, written over `gate`. */
export function swiGlu(gate: Float64Array, up: Float64Array): Float64Array {
  for (let i = 0; i < gate.length; i++) gate[i] = (gate[i]! / (1 + Math.exp(-gate[i]!))) * up[i]!;
  return gate;
}

export function addInPlace(x: Float64Array, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
}
