import type { Conflict, ErrorCode } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import type { CheckpointRoles } from '../../../model/roles/checkpoint-roles.ts';
import { classifier } from '../../../model/roles/classify.ts';
import type { Role } from '../../../model/roles/types.ts';

const OF_MIXTURES: ReadonlySet<Role | null> = new Set(['expert', 'router', 'router_bias', 'router_correction_bias']);
const DIFFERENCES: ReadonlySet<ErrorCode> = new Set([
  'E_TENSOR_MISSING',
  'E_TENSOR_EXTRA',
  'E_SHAPE',
  'E_LAYOUT_FORM',
  'E_MIXED_DTYPES',
  'E_UNSUPPORTED_DTYPE',
]);

/**
 * Where a checkpoint's experts or its quantised weights are wrong in themselves, that they also differ from
 * the others' is no news.
 */
export function withoutEchoes(
  conflicts: readonly Conflict[],
  causes: { readonly experts: boolean; readonly quantised: boolean; readonly wrapped: boolean; readonly emptied: boolean },
  { context }: CheckpointRoles,
): readonly Conflict[] {
  // What is left of a wrapped model is said as what it is.
  if (causes.wrapped) return conflicts.filter(({ code }) => code !== 'E_NO_WEIGHTS' && !DIFFERENCES.has(code));
  // Nor is an empty weight of another shape than the others'.
  if (causes.emptied) return conflicts.filter(({ code }) => code !== 'E_SHAPE');
  if (!causes.experts && !causes.quantised) return conflicts;
  const classify = classifier(context);
  return conflicts.filter(({ code, tensor }) => {
    if (tensor === undefined || !DIFFERENCES.has(code)) return true;
    return !causes.quantised && !OF_MIXTURES.has(classify(tensor).role);
  });
}

/**
 * Layers of multi-token prediction that some members lack are one conflict, with what to do, rather than one
 * for each of their tensors.
 */
export function withMtpTogether(conflicts: readonly Conflict[], { context }: CheckpointRoles): Conflict[] {
  const classify = classifier(context);
  const found = new Map<string, Conflict & { tensors: number }>();
  const others = conflicts.filter(({ code, tensor, file = '' }) => {
    const one = code === 'E_TENSOR_MISSING' || code === 'E_TENSOR_EXTRA';
    if (!one || tensor === undefined || !classify(tensor).mtp) return true;
    const tensors = (found.get(`${code} ${file}`)?.tensors ?? 0) + 1;
    const count = `${tensors} tensor${tensors === 1 ? '' : 's'}`;
    const message =
      code === 'E_TENSOR_MISSING'
        ? worded`${file} lacks ${count} of multi-token prediction (${tensor}); --policy 'role=mtp:use=newest' takes them from the newest, 'role=mtp:use=drop' leaves them out`
        : worded`${file} holds ${count} of multi-token prediction that the layout lacks (${tensor}); --policy 'role=mtp:use=drop' leaves them out`;
    found.set(`${code} ${file}`, { code: 'E_MTP_DIFFERS', message, file, tensor, tensors });
    return false;
  });
  return [...others, ...[...found.values()].map(({ tensors, ...conflict }) => conflict)];
}
