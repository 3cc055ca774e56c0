import type { FloatDtypeName } from '../../src/base/dtype.ts';
import { encodeFloat, FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import { randomSource } from './native-job.ts';

/** Tensors by name: shape and elements. */
export type Weights = Map<string, { readonly shape: readonly number[]; readonly values: Float64Array }>;

export const MOE_LAYERS = 6;
const MOE_EXPERTS = 4;

/**
 * Weights of a small mixture of experts that looks trained, `step` small steps from where it began. The same
 * for the same step.
 */
export function trainedMoe(step: number): Weights {
  const weights: Weights = new Map();
  const add = (name: string, shape: readonly number[], scale: number, centre = 0): void => {
    const seed = [...name].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7);
    const [base, drift] = [randomSource(seed), randomSource(seed + 1)];
    const values = new Float64Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < values.length; i++) values[i] = centre + scale * ((base() - 0.5) * 2 + step * (drift() - 0.5) * 0.1);
    weights.set(name, { shape, values });
  };
  add('model.embed_tokens.weight', [40, 16], 0.5);
  for (let layer = 0; layer < MOE_LAYERS; layer++) {
    const at = `model.layers.${layer}`;
    add(`${at}.input_layernorm.weight`, [16], 0.1, 1);
    for (const name of ['q', 'k', 'v', 'o']) add(`${at}.self_attn.${name}_proj.weight`, [16, 16], 0.2);
    add(`${at}.mlp.gate.weight`, [MOE_EXPERTS, 16], 0.3);
    for (let expert = 0; expert < MOE_EXPERTS; expert++) {
      for (const name of ['gate', 'up']) add(`${at}.mlp.experts.${expert}.${name}_proj.weight`, [24, 16], 0.2);
      add(`${at}.mlp.experts.${expert}.down_proj.weight`, [16, 24], 0.2);
    }
  }
  add('model.norm.weight', [16], 0.1, 1);
  add('lm_head.weight', [40, 16], 0.5);
  return weights;
}

/** Config of {@link trainedMoe}. */
const CONFIG = {
  model_type: 'olmoe',
  num_hidden_layers: MOE_LAYERS,
  num_experts: MOE_EXPERTS,
  num_experts_per_tok: 2,
  hidden_size: 16,
};

/** Writes weights as a checkpoint of a mixture of experts. */
export function writeWeights(
  folder: string,
  weights: Weights,
  dtype: FloatDtypeName = 'BF16',
  extra: readonly FixtureTensor[] = [],
): string {
  const tensors = [...weights].map(([name, { shape, values }]): FixtureTensor => {
    const data = new Uint8Array(values.length * FLOAT_BYTES[dtype]);
    const view = new DataView(data.buffer);
    for (const [i, value] of values.entries()) encodeFloat(dtype, value, view, i);
    return { name, dtype, shape, data };
  });
  return writeCheckpoint(folder, [[...tensors, ...extra]], 1, { 'config.json': JSON.stringify(CONFIG) });
}
