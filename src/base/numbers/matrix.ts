/** A dense matrix, row after row. Float64 throughout: float32 storage would only add conversions. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/**
 * y = x Wᵀ, the linear layer of torch: x holds `count` vectors of `w.columns` numbers, the result `count`
 * vectors of `w.rows`. Works on blocks of 2 vectors x 4 outputs, so that each number loaded is used several
 * times and the eight sums stay in registers.
 */
export function linear(x: Float64Array, count: number, w: Matrix): Float64Array {
  const { rows, columns, data } = w;
  const y = new Float64Array(count * rows);
  const blockedRows = rows - (rows % 4);
  for (let t = 0; t < count; t += 2) {
    const x0 = t * columns;
    const second = t + 1 < count;
    const x1 = second ? x0 + columns : x0;
    for (let o = 0; o < blockedRows; o += 4) {
      const w0 = o * columns;
      const w1 = w0 + columns;
      const w2 = w1 + columns;
      const w3 = w2 + columns;
      let a0 = 0;
      let a1 = 0;
      let a2 = 0;
      let a3 = 0;
      let b0 = 0;
      let b1 = 0;
      let b2 = 0;
      let b3 = 0;
      for (let i = 0; i < columns; i++) {
        const u = x[x0 + i]!;
        const v = x[x1 + i]!;
        const p = data[w0 + i]!;
        const q = data[w1 + i]!;
        const r = data[w2 + i]!;
        const s = data[w3 + i]!;
        a0 += u * p;
        a1 += u * q;
        a2 += u * r;
        a3 += u * s;
        b0 += v * p;
        b1 += v * q;
        b2 += v * r;
        b3 += v * s;
      }
      const y0 = t * rows + o;
      y[y0] = a0;
      y[y0 + 1] = a1;
      y[y0 + 2] = a2;
      y[y0 + 3] = a3;
      if (!second) continue;
      y[y0 + rows] = b0;
      y[y0 + rows + 1] = b1;
      y[y0 + rows + 2] = b2;
      y[y0 + rows + 3] = b3;
    }
    for (let o = blockedRows; o < rows; o++) {
      y[t * rows + o] = dot(x, data, x0, o * columns, columns);
      if (second) y[(t + 1) * rows + o] = dot(x, data, x1, o * columns, columns);
    }
  }
  return y;
}

/**
 * Inner product of `count` numbers of `a` from `fromA` and of `b` from `fromB`; of all of them without these.
 */
export function dot(a: Float64Array, b: Float64Array, fromA = 0, fromB = 0, count = a.length): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[fromA + i]! * b[fromB + i]!;
  return sum;
}
