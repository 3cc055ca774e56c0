import type { Conflict, Warning } from '../../../base/errors.ts';
import { routerConflicts } from '../../../model/places/swapped-experts.ts';
import type { PlanMember } from '../types.ts';
import type { PlannedTensors } from './tensors.ts';

/** What there is to say of the order of experts, for each output. */
export interface ExpertOrder {
  readonly conflicts: readonly Conflict[];
  /** [K] */
  readonly warnings: readonly (readonly Warning[])[];
}

/**
 * Whether the experts of some layer changed places between members that an output averages. All members are
 * compared at once; only where that finds something, each output with its own alone: outputs of the same
 * members are asked about once.
 */
export async function expertOrder(planned: PlannedTensors, members: readonly PlanMember[], signal?: AbortSignal): Promise<ExpertOrder> {
  const averaging = planned.treatments.map((own) => (averagesExperts(planned, own) ? own.uses : null));
  const none = averaging.map(() => []);
  const checkpointsOf = (uses: readonly boolean[]) => members.filter((_, m) => uses[m]).map((m) => m.checkpoint);
  const any = members.map((_, m) => averaging.some((uses) => uses?.[m]));
  const together = await routerConflicts(checkpointsOf(any), signal);
  if (together.conflicts.length + together.warnings.length === 0) return { conflicts: [], warnings: none };
  const found = new Map([[any.join(), together]]);
  const own = averaging.map((uses) => uses?.join() ?? null);
  for (const [k, key] of own.entries()) {
    if (key !== null && !found.has(key)) found.set(key, await routerConflicts(checkpointsOf(averaging[k]!), signal));
  }
  return {
    conflicts: [...new Set(own)].flatMap((key) => found.get(key!)?.conflicts ?? []),
    warnings: own.map((key) => found.get(key!)?.warnings ?? []),
  };
}

function averagesExperts({ policyTensors }: PlannedTensors, { treatments, of }: PlannedTensors['treatments'][number]): boolean {
  return policyTensors.some(({ role: { role } }, i) => role === 'expert' && treatments[of[i]!]!.kind === 'average');
}
