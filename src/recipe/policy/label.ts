import { policyText } from './text.ts';
import type { Policy } from './types.ts';

/** A place in a file of weights, for messages. */
export interface PolicyPlace {
  readonly file: string;
  /** From 1 on. */
  line(): number;
}

/** Where policies were read that nobody wrote as such. No part of a policy: what is recorded of it does not tell. */
const PLACES = new WeakMap<Policy, PolicyPlace>();

/** A policy that an entry of a file stands for. */
export function policyAt(policy: Policy, place: PolicyPlace): Policy {
  PLACES.set(policy, place);
  return policy;
}

export function placeOfPolicy(policy: Policy): PolicyPlace | undefined {
  return PLACES.get(policy);
}

/** What messages call a policy: as it was written, or the entry of a file that it is of. */
export function policyLabel(policy: Policy): string {
  const place = PLACES.get(policy);
  if (place === undefined) return `policy ${policyText(policy)}`;
  return `${place.file}:${place.line()}: ${JSON.stringify(policy.name)}`;
}
