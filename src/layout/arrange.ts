import type { Checkpoint } from '../checkpoint/types.ts';
import type { CheckpointRoles } from '../naming/checkpoint-roles.ts';
import type { Arrangement } from './types.ts';

export function arrange(
  _layout: Checkpoint,
  _layoutRoles: CheckpointRoles,
  _member: Checkpoint,
  _memberRoles: CheckpointRoles,
): Arrangement {
  return { of: () => undefined, uses: () => false };
}
