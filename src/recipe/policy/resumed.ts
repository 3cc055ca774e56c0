import { dtypeByName } from '../../base/dtype.ts';
import type { PolicyTensor, Treatment } from './types.ts';

/** What becomes of an optimizer's state. */
export const OPTIMIZER_USES = ['drop', 'newest', 'average'] as const;
export type OptimizerUse = (typeof OPTIMIZER_USES)[number];

type Kind = Pick<Treatment, 'kind' | 'member' | 'request' | 'policy'>;

/**
 * What becomes of a tensor of the trainer's state in a merge that training goes on from. Policies are about
 * weights; what the optimizer keeps of a weight goes where the weight goes.
 *
 * | tensors | newest | drop | average |
 * | --- | --- | --- | --- |
 * | float masters | as their weight, which is made from them | the same | the same |
 * | first and second moments | bytes of the newest | zeros | as their weight |
 * | steps | bytes of the newest | zeros | bytes of the newest |
 * | moments of many weights in one | bytes of the newest | left out; zeros where nothing else is in it | average |
 * | float masters of many weights in one | average | left out; average where nothing else is in it | average |
 * | all others, integers among them | bytes of the newest | the same | the same |
 *
 * @param weight treatment of the weight that it is of; null where that is unknown
 * @param newest index of that member of the output
 */
export function resumedTreatment(
  { dtype, state }: Pick<PolicyTensor, 'dtype' | 'state'>,
  weight: Treatment | null,
  optimizer: OptimizerUse,
  newest: number,
): Treatment {
  return {
    ...kindOf(state!, dtypeByName(dtype)!.kind === 'float', weight, optimizer, newest),
    unequal: null,
    dtype: 'stored',
    default: 'state',
  };
}

function kindOf(
  { kind, flat, uniform }: NonNullable<PolicyTensor['state']>,
  float: boolean,
  weight: Treatment | null,
  optimizer: OptimizerUse,
  newest: number,
): Kind {
  const copied = { kind: 'member', member: newest, request: null, policy: null } as const;
  const nothing = { member: null, request: null, policy: null } as const;
  if (flat && !uniform && optimizer === 'drop') return { kind: 'drop', ...nothing };
  if (kind === 'other' || kind === 'unknown' || kind === 'training') return copied;
  if (weight?.kind === 'drop') return { kind: 'drop', ...nothing };
  if (kind === 'step') return optimizer === 'drop' ? { kind: 'zero', ...nothing } : copied;
  // The bits that a lower dtype lacks of a weight are no number of their own.
  if (!float) return copied;
  if (kind !== 'master' && optimizer === 'newest') return copied;
  if (kind !== 'master' && optimizer === 'drop') return { kind: 'zero', ...nothing };
  if (weight?.kind !== 'member') return { kind: 'average', member: null, request: weight?.request ?? null, policy: weight?.policy ?? null };
  return { kind: 'member', member: weight.member, request: null, policy: weight.policy };
}
