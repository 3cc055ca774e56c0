import { parameterLabel } from '../schedule/parameters.ts';
import { SELECTOR_KEYS, TREATMENT_KEYS } from './keys.ts';
import { listItems } from './selector.ts';
import type { Policy } from './types.ts';

/** A policy as the command line takes it: `role=router|router_other,layers=0-3:use=newest`. */
export function policyText(policy: Policy): string {
  return `${selectorText(policy)}:${treatmentText(policy)}`;
}

/** The part before the colon; the same for policies that select the same in other words. */
export function selectorText(policy: Policy): string {
  return SELECTOR_KEYS.flatMap((key) => {
    const value = policy[key];
    return value === undefined ? [] : [`${key}=${key === 'name' ? value : listItems(value).join('|')}`];
  }).join(',');
}

/** The part behind the colon. */
function treatmentText(policy: Policy): string {
  return TREATMENT_KEYS.flatMap((key) => {
    const value = policy[key];
    return value === undefined ? [] : [`${parameterLabel(key)}=${Array.isArray(value) ? value.join(',') : value}`];
  }).join(',');
}
