import { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import { languageConfigs, type ModelConfig } from './model-config.ts';
import type { Role } from './types.ts';

/** One of two tensors that may be one. */
export interface TiedTensor extends TensorPlace {
  readonly name: string;
}

/**
 * An embedding and an output head of one shape, both stored. Where they are tied they hold the same bytes,
 * which headers cannot show.
 */
export interface TiedPair {
  readonly embedding: TiedTensor;
  readonly head: TiedTensor;
  /** What the configuration says; null where it says nothing, and the family's default holds. */
  readonly configured: boolean | null;
}

/**
 * Every embedding with every output head of its shape; those of multi-token prediction and of towers apart.
 */
export function tiedPairs(checkpoint: Checkpoint, roles: CheckpointRoles): TiedPair[] {
  const matricesOf = (role: Role): TiedTensor[] =>
    roles.placesOf(role).flatMap(({ shard, row }) => {
      const { names, shapes } = checkpoint.shards[shard]!.tensors;
      return roles.of(shard, row).mtp || shapes[row]!.length !== 2 ? [] : [{ name: names[row]!, shard, row }];
    });
  const [embeddings, heads] = [matricesOf('embedding'), matricesOf('lm_head')];
  const configured = configuredTie(roles.config);
  const shapeOf = ({ shard, row }: TiedTensor) => checkpoint.shards[shard]!.tensors.shapes[row]!.join();
  return heads.flatMap((head) =>
    embeddings.filter((embedding) => shapeOf(embedding) === shapeOf(head)).map((embedding) => ({ embedding, head, configured })),
  );
}

/** Bytes of either end that are compared. */
const SAMPLE = 32 * 1024;

/**
 * Those pairs that config.json says are one and that are the same, by a sample of both. Reads up to 128 KiB
 * of each pair.
 * @throws MergeError E_INPUT_CHANGED, E_NOT_READABLE
 */
export async function storedTwice(checkpoint: Checkpoint, roles: CheckpointRoles): Promise<TiedPair[]> {
  const same: TiedPair[] = [];
  const reader = new ByteReader();
  try {
    for (const pair of tiedPairs(checkpoint, roles)) {
      if (pair.configured === true && (await areSame(reader, checkpoint, pair))) same.push(pair);
    }
  } finally {
    await reader.close();
  }
  return same;
}

async function areSame(reader: ByteReader, checkpoint: Checkpoint, { embedding, head }: TiedPair): Promise<boolean> {
  const [a, b] = [embedding, head].map(({ shard, row }) => {
    const { dtypes, bytes } = checkpoint.shards[shard]!.tensors;
    return { dtype: dtypes[row]!, bytes: bytes[row]! };
  });
  if (a!.dtype !== b!.dtype || a!.bytes !== b!.bytes) return false;
  const length = Math.min(SAMPLE, a!.bytes);
  for (const at of new Set([0, a!.bytes - length])) {
    const [x, y] = [await readTensor(reader, checkpoint, embedding, at, length), await readTensor(reader, checkpoint, head, at, length)];
    if (!x.equals(y)) return false;
  }
  return true;
}

/** The whole model's `tie_word_embeddings` before that of a configuration inside it. */
export function configuredTie(config: ModelConfig | null): boolean | null {
  if (config === null) return null;
  const said = languageConfigs(config)
    .toReversed()
    .map((c) => c.tie_word_embeddings);
  return said.find((value): value is boolean => typeof value === 'boolean') ?? null;
}

/** Names of embeddings and heads in what safetensors says of tensors that it left out. */
const ENDS = /(^|[._])(lm_head|embed_out|output|embed(ding)?s?(_tokens|_in)?|tok_embeddings|word_embeddings|wte)(\.|$)/;

/**
 * As {@link configuredTie}, and where that says nothing, whether safetensors' `save_model` kept one name of
 * two for one tensor: `__metadata__` then has the other name with the one that is there.
 */
export function saidTie({ shards }: Pick<Checkpoint, 'shards'>, config: ModelConfig | null): boolean | null {
  const configured = configuredTie(config);
  if (configured !== null) return configured;
  const kept = ([other, name]: [string, string]) => other !== name && ENDS.test(other) && ENDS.test(name);
  return shards.some(({ metadata }) => [...(metadata ?? [])].some(kept)) ? true : null;
}
