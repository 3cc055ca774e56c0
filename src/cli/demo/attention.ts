import { linear, type Matrix } from '../../base/numbers/matrix.ts';
import type { DemoConfig } from './config.ts';
import { rmsNorm, softmax } from './math.ts';
import type { WeightReader } from './tensors.ts';

export interface Attention {
  readonly q: Matrix;
  readonly k: Matrix;
  readonly v: Matrix;
  readonly o: Matrix;
  /** OLMoE normalises whole queries and keys before it splits them into heads; Llama does not. */
  readonly qNorm: Float64Array | null;
  readonly kNorm: Float64Array | null;
}

export async function readAttention(weights: WeightReader, prefix: string, config: DemoConfig): Promise<Attention> {
  const { hidden, heads, kvHeads, headSize } = config;
  const normalised = config.type === 'olmoe';
  return {
    q: await weights.matrix(`${prefix}.q_proj.weight`, heads * headSize, hidden),
    k: await weights.matrix(`${prefix}.k_proj.weight`, kvHeads * headSize, hidden),
    v: await weights.matrix(`${prefix}.v_proj.weight`, kvHeads * headSize, hidden),
    o: await weights.matrix(`${prefix}.o_proj.weight`, hidden, heads * headSize),
    qNorm: normalised ? await weights.vector(`${prefix}.q_norm.weight`, heads * headSize) : null,
    kNorm: normalised ? await weights.vector(`${prefix}.k_norm.weight`, kvHeads * headSize) : null,
  };
}

/** Causal grouped-query attention over one window: x holds `count` hidden vectors, and so does the result. */
export function attend(x: Float64Array, count: number, layer: Attention, config: DemoConfig): Float64Array {
  const { heads, kvHeads, headSize, normEpsilon } = config;
  let q = linear(x, count, layer.q);
  let k = linear(x, count, layer.k);
  const v = linear(x, count, layer.v);
  if (layer.qNorm !== null) q = rmsNorm(q, layer.qNorm, normEpsilon);
  if (layer.kNorm !== null) k = rmsNorm(k, layer.kNorm, normEpsilon);
  rotate(q, count, heads, config);
  rotate(k, count, kvHeads, config);
  const scale = 1 / Math.sqrt(headSize);
  const mixed = new Float64Array(count * heads * headSize);
  for (let head = 0; head < heads; head++) {
    const keyHead = Math.floor((head * kvHeads) / heads);
    const queries = oneHead(q, count, head, heads, headSize);
    const keys = oneHead(k, count, keyHead, kvHeads, headSize);
    const values = transpose(oneHead(v, count, keyHead, kvHeads, headSize));
    const shares = linear(queries.data, count, keys);
    for (let t = 0; t < count; t++) {
      const row = shares.subarray(t * count, (t + 1) * count);
      for (let s = 0; s <= t; s++) row[s]! *= scale;
      softmax(row, 0, t + 1);
      row.fill(0, t + 1); // a position sees itself and what came before
    }
    const result = linear(shares, count, values);
    for (let t = 0; t < count; t++) mixed.set(result.subarray(t * headSize, (t + 1) * headSize), (t * heads + head) * headSize);
  }
  return linear(mixed, count, layer.o);
}

/** The part of x (`count` vectors of all heads) that belongs to one head. */
function oneHead(x: Float64Array, count: number, head: number, heads: number, headSize: number): Matrix {
  const data = new Float64Array(count * headSize);
  for (let t = 0; t < count; t++) {
    const start = (t * heads + head) * headSize;
    data.set(x.subarray(start, start + headSize), t * headSize);
  }
  return { rows: count, columns: headSize, data };
}

function transpose({ rows, columns, data }: Matrix): Matrix {
  const transposed = new Float64Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) transposed[c * rows + r] = data[r * columns + c]!;
  return { rows: columns, columns: rows, data: transposed };
}

/**
 * Rotary positions as transformers lays them out: dimension i of a head turns together with dimension i +
 * headSize / 2.
 */
function rotate(x: Float64Array, count: number, heads: number, config: DemoConfig): void {
  const { headSize, ropeTheta } = config;
  const half = headSize / 2;
  for (let i = 0; i < half; i++) {
    const frequency = ropeTheta ** (-i / half);
    for (let t = 0; t < count; t++) {
      const cosine = Math.cos(t * frequency);
      const sine = Math.sin(t * frequency);
      for (let head = 0; head < heads; head++) {
        const a = (t * heads + head) * headSize + i;
        const b = a + half;
        const first = x[a]!;
        const second = x[b]!;
        x[a] = first * cosine - second * sine;
        x[b] = second * cosine + first * sine;
      }
    }
  }
}
