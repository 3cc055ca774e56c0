import { basename } from 'node:path';
import { PARAMETERS, type Parameter } from '../schedule/parameters.ts';
import { policiesOf } from './keys.ts';
import { policyText } from './text.ts';
import type { Policy, PolicyRequest } from './types.ts';

const FILES = Object.entries<Parameter>(PARAMETERS).flatMap(([name, { kind }]) => (kind === 'file' ? [name as keyof Policy] : []));

/** A policy, with `place` of every file that it names. */
export function withFiles(policy: Policy, place: (path: string) => string): Policy {
  const named = FILES.flatMap((name) => (typeof policy[name] === 'string' ? [[name, place(policy[name])] as const] : []));
  return named.length === 0 ? policy : { ...policy, ...Object.fromEntries(named) };
}

/** What records say of the policies of an output: as text, and of files only their names, wherever they lie. */
export function recordedPolicies(request: PolicyRequest): readonly string[] {
  return policiesOf(request).map((policy) => policyText(withFiles(policy, (path) => basename(path))));
}
