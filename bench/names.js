/**
 * What other names cost: four checkpoints under the names of torchtitan and of Megatron-core, merged into
 * safetensors as they are, and with `names: 'hf'`, which writes rows in another order. Each in a fresh
 * process, in turn.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { mergeInChild } from './support/child.js';
import { llama, makeCheckpoint } from './support/data.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const MEMBERS = 4;

/** @typedef {import('./support/data.js').Tensor} Tensor */

const ENDS = /** @type {const} */ ({
  torchtitan: { 'model.embed_tokens': 'tok_embeddings', 'model.norm': 'norm', lm_head: 'output' },
  megatron: { 'model.embed_tokens': 'embedding.word_embeddings', 'model.norm': 'decoder.final_layernorm', lm_head: 'output_layer' },
});
const IN_LAYER = /** @type {const} */ ({
  torchtitan: {
    input_layernorm: 'attention_norm',
    'mlp.down_proj': 'feed_forward.w2',
    'mlp.gate_proj': 'feed_forward.w1',
    'mlp.up_proj': 'feed_forward.w3',
    post_attention_layernorm: 'ffn_norm',
    'self_attn.k_proj': 'attention.wk',
    'self_attn.o_proj': 'attention.wo',
    'self_attn.q_proj': 'attention.wq',
    'self_attn.v_proj': 'attention.wv',
  },
  /** Of those that are one matrix there, the first has the name, and the rows of all. */
  megatron: {
    input_layernorm: 'input_layernorm',
    'mlp.down_proj': 'mlp.linear_fc2',
    'mlp.gate_proj': 'mlp.linear_fc1',
    'mlp.up_proj': 'mlp.linear_fc1',
    post_attention_layernorm: 'pre_mlp_layernorm',
    'self_attn.k_proj': 'self_attention.linear_qkv',
    'self_attn.o_proj': 'self_attention.linear_proj',
    'self_attn.q_proj': 'self_attention.linear_qkv',
    'self_attn.v_proj': 'self_attention.linear_qkv',
  },
});
const FRAMEWORKS = /** @type {const} */ (['torchtitan', 'megatron']);

/**
 * The tensors of a Llama under the names of a framework, in its order of names.
 * @param {readonly Tensor[]} tensors
 * @param {typeof FRAMEWORKS[number]} framework
 */
function renamed(tensors, framework) {
  /** @type {Map<string, Tensor>} */
  const made = new Map();
  for (const { name, shape } of tensors) {
    const [, layer, inner] = /^model\.layers\.(\d+)\.(.*)\.weight$/.exec(name) ?? [];
    const stem = name.replace(/\.weight$/, '');
    const own =
      layer === undefined
        ? /** @type {Record<string, string>} */ (ENDS[framework])[stem]
        : `${framework === 'megatron' ? 'decoder.' : ''}layers.${layer}.${/** @type {Record<string, string>} */ (IN_LAYER[framework])[inner]}`;
    const before = made.get(own);
    if (before === undefined) made.set(own, { name: `${own}.weight`, shape: [...shape] });
    else before.shape[0] += shape[0];
  }
  return [...made.values()];
}

/** @param {import('./support/context.js').Context} context */
export default async function names(context) {
  const model = llama(context.size);
  /** @type {Record<string, string[]>} */
  const inputs = {};
  for (const framework of FRAMEWORKS) {
    const tensors = renamed(model.tensors, framework);
    const folders = Array.from({ length: MEMBERS }, (_, seed) =>
      join(context.dir, `names-${framework}`, `checkpoint-${(seed + 1) * 1000}`),
    );
    // With the config.json of transformers, which says how many heads there are.
    const paths = folders.flatMap((folder, seed) => makeCheckpoint(folder, { tensors, config: model.config, shards: 2, seed }));
    await context.warm(paths);
    inputs[framework] = folders;
  }
  /** @type {Record<string, number[]>} */
  const net = {};
  /** @type {Record<string, () => Promise<number>>} */
  const contestants = {};
  for (const framework of FRAMEWORKS) {
    for (const [label, options] of /** @type {const} */ ([
      [`${framework}, its names`, {}],
      [`${framework}, hf`, { names: 'hf' }],
    ])) {
      contestants[label] = async () => {
        const output = context.output();
        const { said } = await mergeInChild({ average: { inputs: inputs[framework], output, sync: false, ...options } });
        rmSync(output, { recursive: true, force: true });
        net[label] ??= [];
        net[label].push(said.seconds);
        return said.seconds;
      };
    }
  }
  await interleaved(context.rounds, contestants, () => context.prime(2 * context.size));
  const results = FRAMEWORKS.map((framework) => {
    const [own, hf] = [net[`${framework}, its names`], net[`${framework}, hf`]];
    return { framework, own: summary(own), hf: summary(hf), rate: summary(own.map((seconds, i) => seconds / hf[i])) };
  });
  table(
    results.map(({ framework, own, hf, rate }) => ({
      'checkpoints of': framework,
      'its names, s': spread(own),
      'names of hf, s': spread(hf),
      rate: spread(rate, 2),
    })),
  );
  for (const framework of FRAMEWORKS) context.discard(`names-${framework}`);
  return { members: MEMBERS, results };
}
