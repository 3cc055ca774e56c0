/** Where the sum of products of inputs i ≤ j lies in a triangle of N inputs, row by row. */
export function gramPair(inputs: number, i: number, j: number): number {
  return inputs * i - (i * (i + 1)) / 2 + j;
}

/**
 * Numbers of a span: sums of products, then for each input the square of its step, its largest step, its
 * NaNs, its infinities.
 */
export function gramWidth(inputs: number): number {
  return (inputs * (inputs + 1)) / 2 + 4 * inputs;
}
