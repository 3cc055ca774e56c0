import { linear, type Matrix } from '../../base/numbers/matrix.ts';
import type { DemoConfig } from './config.ts';
import { softmax, swiGlu } from './math.ts';
import type { WeightReader } from './tensors.ts';

/** The part of a layer after attention: x holds `count` hidden vectors, and so does the result. */
export type FeedForward = (x: Float64Array, count: number) => Float64Array;

/** The SwiGLU block of a dense layer, or one expert. */
async function readSwiGlu(weights: WeightReader, prefix: string, config: DemoConfig): Promise<FeedForward> {
  const gate = await weights.matrix(`${prefix}.gate_proj.weight`, config.feedForward, config.hidden);
  const up = await weights.matrix(`${prefix}.up_proj.weight`, config.feedForward, config.hidden);
  const down = await weights.matrix(`${prefix}.down_proj.weight`, config.hidden, config.feedForward);
  return (x, count) => linear(swiGlu(linear(x, count, gate), linear(x, count, up)), count, down);
}

/** Dense for Llama; for OLMoE a router over experts. */
export async function readFeedForward(weights: WeightReader, prefix: string, config: DemoConfig): Promise<FeedForward> {
  if (config.experts === 0) return await readSwiGlu(weights, prefix, config);
  const router = await weights.matrix(`${prefix}.gate.weight`, config.experts, config.hidden);
  const experts: FeedForward[] = [];
  for (let e = 0; e < config.experts; e++) experts.push(await readSwiGlu(weights, `${prefix}.experts.${e}`, config));
  return (x, count) => mixture(x, count, router, experts, config);
}

/**
 * Each vector goes through its most probable experts; the results are added in proportion to those
 * probabilities.
 */
function mixture(x: Float64Array, count: number, router: Matrix, experts: readonly FeedForward[], config: DemoConfig): Float64Array {
  const { hidden } = config;
  const y = new Float64Array(x.length);
  const shares = routerShares(x, count, router, config);
  experts.forEach((expert, e) => {
    const members: number[] = [];
    for (let t = 0; t < count; t++) if (shares[t * experts.length + e] !== 0) members.push(t);
    if (members.length === 0) return;
    const gathered = new Float64Array(members.length * hidden);
    members.forEach((t, row) => {
      gathered.set(x.subarray(t * hidden, (t + 1) * hidden), row * hidden);
    });
    const result = expert(gathered, members.length);
    members.forEach((t, row) => {
      const share = shares[t * experts.length + e]!;
      for (let i = 0; i < hidden; i++) y[t * hidden + i]! += share * result[row * hidden + i]!;
    });
  });
  return y;
}

/**
 * For each vector the weight of every expert: softmax over all, then only the top ones kept (and made to sum
 * to 1 where config says so).
 */
function routerShares(x: Float64Array, count: number, router: Matrix, config: DemoConfig): Float64Array {
  const shares = linear(x, count, router);
  for (let t = 0; t < count; t++) {
    const row = shares.subarray(t * router.rows, (t + 1) * router.rows);
    softmax(row, 0, row.length);
    const chosen = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, config.expertsPerToken);
    const total = config.normalizeRouter ? chosen.reduce((sum, e) => sum + row[e]!, 0) : 1;
    const kept = chosen.map((e) => row[e]! / total);
    row.fill(0);
    chosen.forEach((e, rank) => {
      row[e] = kept[rank]!;
    });
  }
  return shares;
}
