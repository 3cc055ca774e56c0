import type { Warning } from '../../../base/errors.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { type CheckpointRoles, tensorName } from '../../../model/roles/checkpoint-roles.ts';
import { tiedPairs } from '../../../model/roles/tied.ts';
import { copyOfTensor, unequalTensors } from './equal.ts';

/**
 * Members of which config.json says that embedding and head are one, while they hold two that differ: one
 * warning. Who loads the merge may take either.
 * @throws MergeError E_INPUT_CHANGED, E_NOT_READABLE; `signal.reason` on an abort
 */
export async function untied(
  members: readonly { readonly checkpoint: Checkpoint; readonly roles: CheckpointRoles }[],
  treated: 'averaged' | 'copied',
  signal?: AbortSignal,
): Promise<Warning[]> {
  const found: { path: string; embedding: string; head: string }[] = [];
  for (const { checkpoint, roles } of members) {
    for (const { embedding, head, configured } of tiedPairs(checkpoint, roles)) {
      if (configured !== true) continue;
      const { bytes, dtypes } = checkpoint.shards[head.shard]!.tensors;
      const theirs = checkpoint.shards[embedding.shard]!.tensors;
      const same = theirs.dtypes[embedding.row] === dtypes[head.row];
      const copies = [embedding, head].map((place) => copyOfTensor(checkpoint, place));
      const tensor = { name: head.name, bytes: bytes[head.row]!, copies, code: 'E_NOT_EQUAL' } as const;
      if (same && (await unequalTensors([tensor], signal)).length === 0) continue;
      const [e, h] = [embedding, head].map(({ shard, row }) => tensorName(checkpoint, shard, row));
      found.push({ path: checkpoint.path, embedding: e!, head: h! });
      break;
    }
  }
  const [first] = found;
  if (first === undefined) return [];
  const where = found.length === 1 ? first.path : `${first.path} and ${found.length - 1} more member${found.length === 2 ? '' : 's'}`;
  const message = `config.json says that embedding and output head are one (tie_word_embeddings), and ${where} ${found.length === 1 ? 'holds' : 'hold'} two that differ, ${first.embedding} and ${first.head}: both are ${treated} as they are. What loads the merge may put the embedding in the head's place: set tie_word_embeddings to false if the head was trained apart`;
  return [{ code: 'W_TIED', message }];
}
