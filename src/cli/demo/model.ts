import { linear, type Matrix } from '../../base/numbers/matrix.ts';
import { type Attention, attend, readAttention } from './attention.ts';
import { type DemoConfig, readDemoConfig } from './config.ts';
import { type FeedForward, readFeedForward } from './feed-forward.ts';
import { addInPlace, rmsNorm } from './math.ts';
import { type WeightReader, withWeights } from './tensors.ts';

interface Layer {
  readonly attentionNorm: Float64Array;
  readonly attention: Attention;
  readonly feedForwardNorm: Float64Array;
  readonly feedForward: FeedForward;
}

/**
 * Is shown what goes into the feed-forward block of a layer (into its router, where there is one): rows of
 * `config.hidden` numbers.
 */
export type Tap = (layer: number, hidden: Float64Array) => void;

/** A Llama or OLMoE language model held in memory, in float64. */
export interface Model {
  readonly config: DemoConfig;
  /**
   * Next-token logits for one window: `tokens.length` rows of `config.vocabulary` numbers. @throws RangeError
   * for a token outside the vocabulary.
   */
  logits(tokens: Uint8Array, tap?: Tap): Float64Array;
}

/**
 * Loads the checkpoint folder at `path` (config.json beside safetensors, as `save_pretrained` writes it).
 *
 * @throws MergeError E_MODEL when it is not a model this forward pass knows, and whatever opening a
 *   checkpoint throws.
 */
export async function loadModel(path: string): Promise<Model> {
  const config = await readDemoConfig(path);
  return await withWeights(path, async (weights) => {
    const embeddings = await weights.matrix('model.embed_tokens.weight', config.vocabulary, config.hidden);
    const head = config.tiedEmbeddings ? embeddings : await weights.matrix('lm_head.weight', config.vocabulary, config.hidden);
    const norm = await weights.vector('model.norm.weight', config.hidden);
    const layers: Layer[] = [];
    for (let i = 0; i < config.layers; i++) layers.push(await readLayer(weights, `model.layers.${i}`, config));
    return { config, logits: (tokens, tap) => forward(tokens, embeddings, layers, norm, head, config, tap) };
  });
}

async function readLayer(weights: WeightReader, prefix: string, config: DemoConfig): Promise<Layer> {
  return {
    attentionNorm: await weights.vector(`${prefix}.input_layernorm.weight`, config.hidden),
    attention: await readAttention(weights, `${prefix}.self_attn`, config),
    feedForwardNorm: await weights.vector(`${prefix}.post_attention_layernorm.weight`, config.hidden),
    feedForward: await readFeedForward(weights, `${prefix}.mlp`, config),
  };
}

function forward(
  tokens: Uint8Array,
  embeddings: Matrix,
  layers: readonly Layer[],
  norm: Float64Array,
  head: Matrix,
  config: DemoConfig,
  tap: Tap | undefined,
): Float64Array {
  const { hidden, normEpsilon } = config;
  const x = new Float64Array(tokens.length * hidden);
  tokens.forEach((token, t) => {
    if (token >= embeddings.rows) throw new RangeError(`token ${token} is outside the vocabulary of ${embeddings.rows}`);
    x.set(embeddings.data.subarray(token * hidden, (token + 1) * hidden), t * hidden);
  });
  for (const [i, layer] of layers.entries()) {
    addInPlace(x, attend(rmsNorm(x, layer.attentionNorm, normEpsilon), tokens.length, layer.attention, config));
    const y = rmsNorm(x, layer.feedForwardNorm, normEpsilon);
    tap?.(i, y);
    addInPlace(x, layer.feedForward(y, tokens.length));
  }
  return linear(rmsNorm(x, norm, normEpsilon), tokens.length, head);
}
