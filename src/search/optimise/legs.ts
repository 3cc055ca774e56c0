import type { Candidate, Space } from '../space/types.ts';
import type { StudyMembers } from '../study/members.ts';

/** A search of its own: the whole search, or one pair of a chain. */
export interface Leg {
  readonly index: number;
  readonly space: Space;
  /** Members of its space, as indices into those of the study; ascending. */
  readonly members: readonly number[];
}

/** A candidate over some members of a study, as over those of a leg, as one over all `count` of them. */
export function overAll(candidate: Candidate, members: readonly number[], count: number): Candidate {
  const spread = (weights: readonly number[]) => {
    const all = Array.from({ length: count }, () => 0);
    for (const [i, member] of members.entries()) all[member] = weights[i]!;
    return all;
  };
  return { weights: spread(candidate.weights), parts: candidate.parts.map(({ role, weights }) => ({ role, weights: spread(weights) })) };
}

/** The equal mean of some members of `count`. */
export function meanOf(members: readonly number[], count: number): Candidate {
  const weights = Array.from({ length: count }, () => 0);
  for (const member of members) weights[member] = 1 / members.length;
  return { weights, parts: [] };
}

/** Where a candidate over all members lies in the space of a leg; null where it lies outside. */
export async function locateInLeg(candidate: Candidate, leg: Leg) {
  if (candidate.weights.some((weight, m) => weight !== 0 && !leg.members.includes(m))) return null;
  const own = { weights: leg.members.map((m) => candidate.weights[m]!), parts: [] };
  const params = await leg.space.locate(own);
  const point = params === null ? null : leg.space.encode(params);
  return params === null || point === null ? null : { params, point };
}

/**
 * The legs of a search over the pool. @param spaces one over the whole pool, or those of a chain of its
 * neighbours
 */
export function legsOf(spaces: readonly Space[], { pool }: StudyMembers): readonly Leg[] {
  return spaces.map((space, index) => ({ index, space, members: spaces.length === 1 ? pool : pool.slice(index, index + 2) }));
}
