import { join } from 'node:path';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import { seeded } from './safetensors.ts';

const LAYERS = 2;
export const EXPERTS = 6;
const HIDDEN = 32;
const INNER = 16;

/** OLMoE's way: softmax over all, the best two, weights as they come. */
const OLMOE = { model_type: 'olmoe', num_hidden_layers: LAYERS, num_experts: EXPERTS, num_experts_per_tok: 2, norm_topk_prob: false };

/** One layer of one checkpoint: a router row and one flat vector of weights for each expert. */
export interface MoeLayer {
  readonly rows: Float32Array[];
  readonly experts: Float32Array[];
}

/** Standard normal numbers that a seed decides (twelve uniform ones, summed). */
export function normals(seed: number): () => number {
  const random = seeded(seed);
  return () => Array.from({ length: 12 }, () => random(1 << 30) / (1 << 30)).reduce((a, b) => a + b, -6);
}

/** Layers of a model, all of it noise of size 1. */
export function someLayers(seed: number): MoeLayer[] {
  const normal = normals(seed);
  const vectors = (length: number) => Array.from({ length: EXPERTS }, () => Float32Array.from({ length }, normal));
  return Array.from({ length: LAYERS }, () => ({ rows: vectors(HIDDEN), experts: vectors(3 * INNER * HIDDEN) }));
}

/** A step of training: everything moves a little. */
export function trained(layers: readonly MoeLayer[], seed: number, by = 0.2): MoeLayer[] {
  const normal = normals(seed);
  const moved = (vectors: readonly Float32Array[]) => vectors.map((vector) => vector.map((v) => v + by * normal()));
  return layers.map(({ rows, experts }) => ({ rows: moved(rows), experts: moved(experts) }));
}

/** The experts of a layer in another order: place i has what was at `order[i]`. */
export function reordered(
  layers: readonly MoeLayer[],
  layer: number,
  order: readonly number[],
  what: readonly (keyof MoeLayer)[] = ['rows', 'experts'],
): MoeLayer[] {
  const place = (vectors: Float32Array[]) => order.map((e) => vectors[e]!);
  return layers.map((own, l) => (l !== layer ? own : { ...own, ...Object.fromEntries(what.map((key) => [key, place(own[key])])) }));
}

/**
 * Writes a run: `checkpoint-100`, `checkpoint-200`, … as transformers saves OLMoE, in F32. @returns the
 * folders
 */
export function writeMoeRun(folder: string, checkpoints: readonly (readonly MoeLayer[])[], config: object = OLMOE): string[] {
  return checkpoints.map((layers, i) => {
    const tensors = layers.flatMap(({ rows, experts }, l) => [
      f32(`model.layers.${l}.post_attention_layernorm.weight`, [HIDDEN], new Float32Array(HIDDEN).fill(1)),
      f32(`model.layers.${l}.mlp.gate.weight`, [EXPERTS, HIDDEN], join32(rows)),
      ...experts.flatMap((weights, e) =>
        ['gate_proj', 'up_proj', 'down_proj'].map((name, part) => {
          const data = weights.subarray(part * INNER * HIDDEN, (part + 1) * INNER * HIDDEN);
          return f32(`model.layers.${l}.mlp.experts.${e}.${name}.weight`, name === 'down_proj' ? [HIDDEN, INNER] : [INNER, HIDDEN], data);
        }),
      ),
    ]);
    return writeCheckpoint(join(folder, `checkpoint-${100 * (i + 1)}`), [tensors], 0, { 'config.json': JSON.stringify(config) });
  });
}

function join32(rows: readonly Float32Array[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

export function f32(name: string, shape: readonly number[], data: Float32Array): FixtureTensor {
  return { name, dtype: 'F32', shape, data: new Uint8Array(data.slice().buffer) };
}
