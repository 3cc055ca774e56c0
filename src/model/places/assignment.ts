/**
 * The permutation of 0..n-1 with the largest sum of similarity[e, permutation[e]], O(n³): shortest augmenting
 * paths over reduced costs, after a column reduction that leaves few rows to be placed. R. Jonker and A.
 * Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
 * Computing 38, 1987; the search for one path as D. F. Crouse, "On implementing 2D rectangular assignment
 * algorithms", IEEE TAES 52(4), 2016, algorithm in section III.
 *
 * @param similarity [n x n], finite
 * @returns [n] columns of the rows; the identity where nothing has a larger sum in any row
 */
export function assignment(similarity: Float64Array, n: number): number[] {
  // No assignment has more than the largest of every row.
  if (diagonalIsLargest(similarity, n)) return Array.from({ length: n }, (_, e) => e);
  const price = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const nearest = new Int32Array(n);
  for (let e = 0; e < n; e++) {
    for (let f = 0; f < n; f++) {
      const cost = -similarity[e * n + f]!;
      // The diagonal where it is as good: what could stay stays.
      if (cost < price[f]! || (cost === price[f]! && e === f)) {
        price[f] = cost;
        nearest[f] = e;
      }
    }
  }
  const columnOf = new Int32Array(n).fill(-1);
  const rowOf = new Int32Array(n).fill(-1);
  const place = (e: number, f: number) => {
    columnOf[e] = f;
    rowOf[f] = e;
  };
  for (let f = 0; f < n; f++) if (nearest[f] === f) place(f, f);
  for (let f = 0; f < n; f++) if (columnOf[nearest[f]!] === -1) place(nearest[f]!, f);
  const free = [...columnOf.keys()].filter((e) => columnOf[e] === -1);
  const distance = new Float64Array(n);
  const cameFrom = new Int32Array(n);
  const columns = new Int32Array(n);
  for (const start of free) {
    // Dijkstra's search from the row to a column that no row has; the first `scanned` of `columns` have their
    // distance for good.
    for (let f = 0; f < n; f++) {
      columns[f] = f;
      distance[f] = -similarity[start * n + f]! - price[f]!;
      cameFrom[f] = start;
    }
    let scanned = 0;
    let end: number;
    for (;;) {
      let best = scanned;
      for (let at = scanned + 1; at < n; at++) if (distance[columns[at]!]! < distance[columns[best]!]!) best = at;
      end = columns[best]!;
      if (rowOf[end] === -1) break;
      columns[best] = columns[scanned]!;
      columns[scanned++] = end;
      const e = rowOf[end]!;
      const less = -similarity[e * n + end]! - price[end]! - distance[end]!;
      for (let at = scanned; at < n; at++) {
        const f = columns[at]!;
        const through = -similarity[e * n + f]! - price[f]! - less;
        if (through < distance[f]!) {
          distance[f] = through;
          cameFrom[f] = e;
        }
      }
    }
    for (let at = 0; at < scanned; at++) price[columns[at]!]! += distance[columns[at]!]! - distance[end]!;
    for (let e = -1; e !== start; ) {
      e = cameFrom[end]!;
      const left = columnOf[e]!;
      place(e, end);
      end = left;
    }
  }
  return [...columnOf];
}

function diagonalIsLargest(similarity: Float64Array, n: number): boolean {
  for (let e = 0; e < n; e++) {
    const own = similarity[e * n + e]!;
    for (let f = 0; f < n; f++) if (similarity[e * n + f]! > own) return false;
  }
  return true;
}
