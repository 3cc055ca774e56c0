import type { Spots } from '../../../checkpoints/spots.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/** Beside the members and not in them: a plan is handed to whoever calls the library. */
const SEEN = new WeakMap<Checkpoint, Spots>();

/** Keeps what the sampled blocks of a member showed, until the warnings of the merge are made. */
export function keepSpots(checkpoint: Checkpoint, spots: Spots): void {
  SEEN.set(checkpoint, spots);
}

/** What the sampled blocks of a planned member showed (see `FileDigest`). */
export function spotsOf(checkpoint: Checkpoint): Spots {
  return SEEN.get(checkpoint) ?? new Map();
}
