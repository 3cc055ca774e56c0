import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber, languageConfigs, type ModelConfig } from './model-config.ts';
import { configuredTie, saidTie } from './tied.ts';

const CAUSAL = /(?:ForCausalLM|LMHeadModel)$/;
/**
 * What generates, too, where it has a language model in it: encoder-decoders and codecs have heads of many
 * names.
 */
const GENERATES = /ForConditionalGeneration$/;
/** Where the body of what generates lies; saved without its head on purpose, it has no such prefix. */
const BODY = /(?:^|\.)model\./;
/** What a folder of sentence-transformers has: the head is not used there. */
const EMBEDDING_MODEL = 'modules.json';

/**
 * Families of transformers (5.24, and all versions from 4.40 on that know them) in which embedding and head
 * are two where config.json says nothing of it.
 */
const APART: ReadonlySet<string> = setOf(
  'apertus arcee bamba bitnet codegen dbrx deepseek_v2 deepseek_v3 deepseek_v32 diffllama doge dots1 exaone4 exaone_moe',
  'falcon_h1 flex_olmo glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa gpt_neox gpt_oss gptj granite granitemoe',
  'granitemoehybrid granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe jamba llama llama4_text longcat_flash mamba2',
  'minimax minimax_m2 ministral ministral3 mistral mixtral nemotron nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe persimmon',
  'phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next rwkv seed_oss solar_open stablelm xlstm',
);

/**
 * Families of language models whose last layer ends in a norm of its own, or whose last norm has another
 * size.
 */
const WITHOUT_NORM: ReadonlySet<string> = setOf('electra fsmt marian openai-gpt reformer rembert xlnet');

function setOf(...lines: readonly string[]): Set<string> {
  return new Set(lines.flatMap((line) => line.split(' ')));
}

/** What there is of a language model, by roles and shapes. */
interface Parts {
  embedding: boolean;
  /** The embedding where a whole model has it. */
  embeddingOfBody: boolean;
  head: boolean;
  /** Whether that is, beyond doubt, a matrix with a row for each token. */
  headMatrix: boolean;
  norm: boolean;
  /** Sizes of the norms in its layers. */
  readonly norms: Set<number>;
  readonly layers: Set<number>;
}

/**
 * What a language model cannot be without, by its configuration, and is not there: its input embedding, its
 * last norm, and the head that is said to be a matrix of its own. A library makes these of random numbers,
 * and says so at most in passing. Nothing is said of a part of a model.
 */
export async function missingParts(checkpoint: Checkpoint, roles: CheckpointRoles): Promise<Warning[]> {
  const { path, namesPerFile, kind } = checkpoint;
  const { config } = roles;
  const architectures = config?.architectures;
  const kinds = config !== null && joinsLanguageModel(config) ? [CAUSAL, GENERATES] : [CAUSAL];
  const causal =
    Array.isArray(architectures) && architectures.find((name) => typeof name === 'string' && kinds.some((one) => one.test(name)));
  if (!causal || namesPerFile) return [];
  const parts = partsOf(checkpoint, roles);
  // One matrix under the head's name, as safetensors' save_model keeps it.
  if (parts.headMatrix && saidTie(checkpoint, config) === true) parts.embedding = true;
  const warnings: Warning[] = [];
  const said = `and config.json says that it is ${causal}`;
  const layers = configNumber(config, CONFIG_KEYS.layers);
  const whole = layers !== null && parts.layers.has(0) && parts.layers.has(layers - 1);
  const missing = [
    ...(whole && !parts.embedding && configNumber(config, ['vocab_size']) !== null ? ['input embedding'] : []),
    ...(whole && !parts.norm && parts.norms.size > 0 && !endsWithoutNorm(config!) ? ['norm after its last layer'] : []),
  ];
  if (missing.length > 0) {
    const message = `${path} has no ${missing.join(' and no ')}, ${said}: whatever loads it makes ${missing.length === 1 ? 'it' : 'them'} of random numbers; look for a shard that was not saved or copied`;
    warnings.push({ code: 'W_PART_MISSING', message });
  }
  const apart = headIsApart(config!);
  const body = CAUSAL.test(causal) ? parts.embedding : parts.embeddingOfBody;
  if (apart === null || parts.head || !body || (kind === 'folder' && (await isThere(join(path, EMBEDDING_MODEL))))) return warnings;
  const message = `${path} has no output head, ${said} with a head of its own (${apart}): whatever loads it makes a head of random numbers; find the head, or set tie_word_embeddings to true where embedding and head are one`;
  return [...warnings, { code: 'W_NO_HEAD', message }];
}

function partsOf({ shards }: Checkpoint, roles: CheckpointRoles): Parts {
  const vocabulary = configNumber(roles.config, ['vocab_size']) ?? Number.POSITIVE_INFINITY;
  const parts: Parts = {
    embedding: false,
    embeddingOfBody: false,
    head: false,
    headMatrix: false,
    norm: false,
    norms: new Set(),
    layers: new Set(),
  };
  const outside = new Set<number>();
  for (const [s, { tensors }] of shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const { role, mtp, layer, tower } = roles.of(s, row);
      const shape = tensors.shapes[row]!;
      const name = tensors.names[row]!;
      if (mtp) continue;
      if (role === 'embedding') parts.embeddingOfBody ||= BODY.test(name);
      // What no rule knows, and has a row for each token, may be the head or the embedding by another name.
      if (role === 'lm_head' || (role === null && shape[0] === vocabulary)) parts.head = true;
      parts.headMatrix ||= role === 'lm_head' && shape.length === 2 && shape[0]! >= vocabulary;
      const perToken = layer === null && (role === null || role === 'other') && shape.some((size) => size >= vocabulary);
      if (role === 'embedding' || perToken) parts.embedding = true;
      if (tower !== null) continue;
      if (typeof layer === 'number') {
        parts.layers.add(layer);
        if (role === 'norm' && shape.length === 1) parts.norms.add(shape[0]!);
      } else if (shape.length === 1 && !/bias$/.test(name)) outside.add(shape[0]!);
    }
  }
  parts.norm = [...parts.norms].some((size) => outside.has(size));
  return parts;
}

/** Why a head is a matrix of its own, as half a sentence; null where it may be the embedding. */
function headIsApart(config: ModelConfig): string | null {
  const tie = configuredTie(config);
  if (tie !== null) return tie ? null : 'tie_word_embeddings false';
  const family = config.model_type;
  return typeof family === 'string' && APART.has(family) ? `as ${family} has where tie_word_embeddings is not there` : null;
}

/** A norm after each part of a layer, the last one's included: nothing comes after the layers. */
function endsWithoutNorm(config: ModelConfig): boolean {
  return languageConfigs(config).some((c) => WITHOUT_NORM.has(c.model_type as string) || c.do_layer_norm_before === false);
}

/** Whether a language model that is no encoder-decoder is one of several parts. */
function joinsLanguageModel(config: ModelConfig): boolean {
  const configs = languageConfigs(config);
  return configs.length > 1 && configs.every((one) => one.is_encoder_decoder !== true);
}

async function isThere(path: string): Promise<boolean> {
  return storeOf(path)
    .stat(path)
    .then(
      () => true,
      () => false,
    );
}
