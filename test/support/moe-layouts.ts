import { join } from 'node:path';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import { EXPERTS, f32, type MoeLayer } from './moe-run.ts';

const [HIDDEN, INNER] = [32, 16];
const PART = INNER * HIDDEN;

/** How one family names a layer of experts in two versions of transformers. */
export interface MoeFamily {
  readonly config: object;
  /** Experts one by one, or as the family's own files have them. */
  readonly v4: (layer: string, own: MoeLayer) => FixtureTensor[];
  /** Experts in stacks. */
  readonly v5: (layer: string, own: MoeLayer) => FixtureTensor[];
}

const joined = (vectors: readonly Float32Array[]) => Float32Array.from(vectors.flatMap((vector) => [...vector]));
/** Gate, up and down of an expert, one after the other. */
const gateUp = (expert: Float32Array) => expert.subarray(0, 2 * PART);
const down = (expert: Float32Array) => expert.subarray(2 * PART);

const router = (name: string, { rows }: MoeLayer) => f32(name, [EXPERTS, HIDDEN], joined(rows));
const bias = (name: string, { rows }: MoeLayer) =>
  f32(
    name,
    [EXPERTS],
    Float32Array.from(rows, (row) => row[0]!),
  );

function oneByOne(block: string, [gate, up, out]: readonly [string, string, string], { experts }: MoeLayer): FixtureTensor[] {
  return experts.flatMap((expert, e) => [
    f32(`${block}.experts.${e}.${gate}.weight`, [INNER, HIDDEN], expert.subarray(0, PART)),
    f32(`${block}.experts.${e}.${up}.weight`, [INNER, HIDDEN], expert.subarray(PART, 2 * PART)),
    f32(`${block}.experts.${e}.${out}.weight`, [HIDDEN, INNER], down(expert)),
  ]);
}

function stacked({ experts }: MoeLayer, first: string, second: string): FixtureTensor[] {
  return [
    f32(first, [EXPERTS, 2 * INNER, HIDDEN], joined(experts.map(gateUp))),
    f32(second, [EXPERTS, HIDDEN, INNER], joined(experts.map(down))),
  ];
}

const configOf = (model_type: string, more: object = {}) => ({
  model_type,
  hidden_size: HIDDEN,
  num_hidden_layers: 2,
  num_experts: EXPERTS,
  num_local_experts: EXPERTS,
  num_experts_per_tok: 2,
  ...more,
});
const fused = (block: string, own: MoeLayer) => stacked(own, `${block}.experts.gate_up_proj`, `${block}.experts.down_proj`);
const PLAIN = ['gate_proj', 'up_proj', 'down_proj'] as const;
const NUMBERED = ['w1', 'w3', 'w2'] as const;

/** As transformers 5.24 writes them with and without `save_original_format`. */
export const MOE_FAMILIES: Readonly<Record<string, MoeFamily>> = {
  olmoe: {
    config: configOf('olmoe'),
    v4: (l, own) => [router(`${l}.mlp.gate.weight`, own), ...oneByOne(`${l}.mlp`, PLAIN, own)],
    v5: (l, own) => [router(`${l}.mlp.gate.weight`, own), ...fused(`${l}.mlp`, own)],
  },
  mixtral: {
    config: configOf('mixtral'),
    v4: (l, own) => [router(`${l}.block_sparse_moe.gate.weight`, own), ...oneByOne(`${l}.block_sparse_moe`, NUMBERED, own)],
    v5: (l, own) => [router(`${l}.mlp.gate.weight`, own), ...fused(`${l}.mlp`, own)],
  },
  minimax_m2: {
    config: configOf('minimax_m2'),
    v4: (l, own) => [
      router(`${l}.block_sparse_moe.gate.weight`, own),
      bias(`${l}.block_sparse_moe.e_score_correction_bias`, own),
      ...oneByOne(`${l}.block_sparse_moe`, NUMBERED, own),
    ],
    v5: (l, own) => [router(`${l}.mlp.gate.weight`, own), bias(`${l}.mlp.e_score_correction_bias`, own), ...fused(`${l}.mlp`, own)],
  },
  phimoe: {
    config: configOf('phimoe', { router_jitter_noise: 0.01 }),
    v4: (l, own) => [router(`${l}.block_sparse_moe.gate.weight`, own), ...oneByOne(`${l}.block_sparse_moe`, NUMBERED, own)],
    v5: (l, own) => [router(`${l}.mlp.router.weight`, own), ...fused(`${l}.mlp`, own)],
  },
  granitemoe: {
    config: configOf('granitemoe'),
    v4: (l, own) => [
      router(`${l}.block_sparse_moe.router.layer.weight`, own),
      ...stacked(own, `${l}.block_sparse_moe.input_linear.weight`, `${l}.block_sparse_moe.output_linear.weight`),
    ],
    v5: (l, own) => [router(`${l}.block_sparse_moe.router.weight`, own), ...fused(`${l}.block_sparse_moe`, own)],
  },
  hy_v3: {
    config: configOf('hy_v3'),
    v4: (l, own) => [router(`${l}.mlp.router.gate.weight`, own), ...oneByOne(`${l}.mlp`, PLAIN, own)],
    v5: (l, own) => [router(`${l}.mlp.gate.weight`, own), ...fused(`${l}.mlp`, own)],
  },
  // Every name begins another way, as where a framework wraps the model.
  qwen3_moe: {
    config: configOf('qwen3_moe'),
    v4: (l, own) => [router(`${l}.mlp.gate.weight`, own), ...oneByOne(`${l}.mlp`, PLAIN, own)],
    v5: (l, own) => [router(`language_model.${l}.mlp.gate.weight`, own), ...fused(`language_model.${l}.mlp`, own)],
  },
};

/** Writes `checkpoint-STEP` of a family in one of its layouts, in F32. @returns the folder */
export function writeMoe(folder: string, step: number, layers: readonly MoeLayer[], family: MoeFamily, layout: 'v4' | 'v5'): string {
  const tensors = layers.flatMap((own, l) => family[layout](`model.layers.${l}`, own));
  return writeCheckpoint(join(folder, `checkpoint-${step}`), [tensors], 0, { 'config.json': JSON.stringify(family.config) });
}
