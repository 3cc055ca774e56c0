import type { FloatDtypeName } from '../../base/dtype.ts';
import { PARAMETERS, type ParameterName } from '../schedule/parameters.ts';
import type { WeightRequest } from '../schedule/types.ts';
import type { Policy, PolicyRequest, RouterUse, Selector, Use } from './types.ts';

/** The parts of a selector, in the order in which they are written. */
export const SELECTOR_KEYS = ['role', 'layers', 'experts', 'name', 'stored'] as const satisfies readonly (keyof Selector)[];
export type SelectorKey = (typeof SELECTOR_KEYS)[number];

/** What of a policy is about weights. */
export const REQUEST_KEYS: readonly (keyof WeightRequest)[] = [
  'method',
  ...(Object.keys(PARAMETERS) as ParameterName[]),
  'weights',
  'normalize',
];
export const TREATMENT_KEYS: readonly (keyof Policy)[] = ['use', ...REQUEST_KEYS, 'dtype'];

/** Words of `use`; a number is a step. */
export const USES = ['average', 'newest', 'oldest', 'equal', 'drop'] as const satisfies readonly Use[];
export const ROUTER_USES = ['average', 'newest', 'oldest'] as const satisfies readonly RouterUse[];
export const OUTPUT_DTYPES = ['BF16', 'F16', 'F32', 'F64'] as const satisfies readonly FloatDtypeName[];

/** Weights of a policy's own; null where it has none. */
export function requestOf(policy: Policy): WeightRequest | null {
  const given = REQUEST_KEYS.flatMap((key) => (policy[key] === undefined ? [] : [[key, policy[key]] as const]));
  return given.length === 0 ? null : (Object.fromEntries(given) as WeightRequest);
}

/** All policies of an output, in the order in which they are tried. */
export function policiesOf({ policies = [], router }: PolicyRequest): readonly Policy[] {
  return router === undefined ? policies : [{ role: 'routers', use: router }, ...policies];
}
