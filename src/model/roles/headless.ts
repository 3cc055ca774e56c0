import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import { configNumber, languageConfigs, type ModelConfig } from './model-config.ts';
import { configuredTie } from './tied.ts';

const CAUSAL = /(?:ForCausalLM|LMHeadModel)$/;
/** What generates, too, where it has a language model in it: encoder-decoders and codecs have heads of many names. */
const GENERATES = /ForConditionalGeneration$/;
/** Where the body of what generates lies; saved without its head on purpose, it has no such prefix. */
const BODY = /(?:^|\.)model\./;
/** What a folder of sentence-transformers has: the head is not used there. */
const EMBEDDING_MODEL = 'modules.json';

/**
 * A language model by its configuration, whose head is said to be a matrix of its own and is not there: a library makes
 * one of random numbers, and says so at most in passing.
 */
export async function missingHead(checkpoint: Checkpoint, roles: CheckpointRoles): Promise<Warning[]> {
  const { path, shards, namesPerFile, kind } = checkpoint;
  const { config } = roles;
  const architectures = config?.architectures;
  const kinds = config !== null && joinsLanguageModel(config) ? [CAUSAL, GENERATES] : [CAUSAL];
  const causal =
    Array.isArray(architectures) && architectures.find((name) => typeof name === 'string' && kinds.some((one) => one.test(name)));
  if (!causal || namesPerFile || configuredTie(config) !== false) return [];
  const vocabulary = configNumber(config, ['vocab_size']);
  let embedding = false;
  for (const [s, { tensors }] of shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const { role, mtp } = roles.of(s, row);
      if (role === 'embedding') embedding ||= CAUSAL.test(causal) || BODY.test(tensors.names[row]!);
      // What no rule knows, and has a row for each token, may be the head by another name.
      else if (!mtp && (role === 'lm_head' || (role === null && tensors.shapes[row]![0] === vocabulary))) return [];
    }
  }
  if (!embedding || (kind === 'folder' && (await isThere(join(path, EMBEDDING_MODEL))))) return [];
  const message = `${path} has no output head, and config.json says that it is ${causal} with a head of its own (tie_word_embeddings false): whatever loads it makes a head of random numbers; find the head, or set tie_word_embeddings to true where embedding and head are one`;
  return [{ code: 'W_NO_HEAD', message }];
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
