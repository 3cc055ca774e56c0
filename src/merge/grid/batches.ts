/** One output, as far as it matters which others are made in the same read. */
export interface OutputRead {
  /** Indices of the inputs that it reads, ascending. */
  readonly members: readonly number[];
}

/**
 * Outputs in batches of at most `most`, so that the batches together read as few bytes as can be of outputs in the
 * order of their newest members, oldest members breaking ties: windows that end near each other share most of their
 * members. Of ways that read alike the one of fewest batches.
 *
 * @param bytes of each input
 * @returns indices of outputs by batch, in that order
 */
export function batchesOf(outputs: readonly OutputRead[], most: number, bytes: readonly number[]): number[][] {
  const order = [...outputs.keys()].sort((a, b) => {
    const [x, y] = [outputs[a]!.members, outputs[b]!.members];
    return x.at(-1)! - y.at(-1)! || x[0]! - y[0]! || a - b;
  });
  const reads = new Float64Array(order.length + 1).fill(Number.POSITIVE_INFINITY);
  const batches = new Float64Array(order.length + 1);
  const begins = new Int32Array(order.length + 1);
  // By input the last end for which it was counted.
  const counted = new Int32Array(bytes.length);
  reads[0] = 0;
  for (let end = 1; end <= order.length; end++) {
    let sum = 0;
    for (let begin = end - 1; begin >= Math.max(0, end - most); begin--) {
      for (const member of outputs[order[begin]!]!.members) {
        if (counted[member] === end) continue;
        counted[member] = end;
        sum += bytes[member]!;
      }
      const total = reads[begin]! + sum;
      const isLess = total < reads[end]! || (total === reads[end]! && batches[begin]! + 1 < batches[end]!);
      if (!isLess) continue;
      [reads[end], batches[end], begins[end]] = [total, batches[begin]! + 1, begin];
    }
  }
  const found: number[][] = [];
  for (let end = order.length; end > 0; end = begins[end]!) found.unshift(order.slice(begins[end], end));
  return found;
}
