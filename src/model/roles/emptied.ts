import type { Conflict } from '../../base/errors.ts';
import { emptiedConflict } from '../../checkpoints/emptied.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type CheckpointRoles, tensorName } from './checkpoint-roles.ts';
import type { Role } from './types.ts';

/** What may be there without an element, and is no weight. */
const NO_WEIGHTS: ReadonlySet<Role> = new Set(['buffer', 'rope_buffer', 'router_buffer', 'quant_scale', 'quant_meta', 'lora', 'optimizer']);

/**
 * Weights without an element, which no model has: a save under ZeRO-3 that did not gather these. A guess
 * where it is all that a checkpoint has of them, for who is to say that nobody builds a layer of nothing. One
 * conflict for all checkpoints.
 */
export function emptyWeights(checkpoints: readonly Checkpoint[], roles: readonly CheckpointRoles[]): Conflict[] {
  const conflicts = checkpoints.flatMap((checkpoint, c) => emptyIn(checkpoint, roles[c]!) ?? []);
  const [conflict] = conflicts;
  if (conflict === undefined) return [];
  const others = conflicts.length === 1 ? '' : `; and so it is in ${conflicts.length - 1} more`;
  return [{ ...conflict, message: `${conflict.message}${others}` }];
}

function emptyIn(checkpoint: Checkpoint, roles: CheckpointRoles): Conflict | null {
  let [count, first] = [0, ''];
  let shape: readonly number[] = [];
  for (const [s, { tensors }] of checkpoint.shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      if (tensors.bytes[row] !== 0) continue;
      const { role } = roles.of(s, row);
      const name = tensorName(checkpoint, s, row);
      if (role === null ? !/(?:^|\.)weight$/.test(name) : NO_WEIGHTS.has(role)) continue;
      if (count++ === 0) [first, shape] = [name, tensors.shapes[row]!];
    }
  }
  return count === 0 ? null : emptiedConflict(checkpoint.path, { count, all: checkpoint.tensorCount, first, shape });
}
