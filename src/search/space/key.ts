import { createHash } from 'node:crypto';
import { rolesOverlap } from './roles.ts';
import type { Candidate, CandidatePart } from './types.ts';

/** What decides the bytes of a merge, as far as a search varies it. */
export interface RecipeIdentity {
  readonly candidate: Candidate;
  /** One a member of the pool, as `fingerprint` gives it. */
  readonly fingerprints: readonly string[];
  /** Policies as text, in their order. */
  readonly policies: readonly string[];
  /** Dtype of the output; null for that of the members. */
  readonly dtype: string | null;
}

/**
 * What identifies a recipe: SHA-256, in hexadecimal, over the weights of the members that take part with the
 * members' fingerprints, the policies and the dtype. The same for pools of which the same members take part,
 * and for parts that are weighed as the rest.
 */
export function recipeKey({ candidate, fingerprints, policies, dtype }: RecipeIdentity): string {
  const parts = ownParts(candidate);
  // A sum with 0 makes 0 of -0.
  const rows = fingerprints.map((fingerprint, i) => ({
    fingerprint,
    weights: [candidate, ...parts].map(({ weights }) => weights[i]! + 0),
  }));
  // What policies do goes by all members of a window, also by those without a weight.
  const window = new Set(policies.length > 0 ? candidate.of : []);
  const members = rows.filter(({ weights }, i) => window.has(i) || weights.some((weight) => weight !== 0));
  const text = JSON.stringify({ members, parts: parts.map(({ role }) => role), policies, dtype });
  return createHash('sha256').update(text).digest('hex');
}

/** Parts that are weighed otherwise than the rest, or keep tensors from a part after them that is. */
export function ownParts({ weights, parts }: Candidate): readonly CandidatePart[] {
  const own: CandidatePart[] = [];
  for (const part of parts.toReversed()) {
    const differs = part.weights.some((weight, i) => weight !== weights[i]);
    if (differs || own.some(({ role }) => rolesOverlap(role, part.role))) own.unshift(part);
  }
  return own;
}
