import type { MergedMember, Plan, PlanMember, PlanOutput } from './types.ts';

/** The members of one output, oldest first. */
export function membersOf(plan: Pick<Plan, 'members'>, output: Pick<PlanOutput, 'members'>): PlanMember[] {
  return output.members.map((m) => plan.members[m]!);
}

/** The members of one output with their effective weights, as documents name them. */
export function mergedMembers(plan: Pick<Plan, 'members'>, output: Pick<PlanOutput, 'members' | 'schedule'>): MergedMember[] {
  return membersOf(plan, output).map(({ path, step, tokens }, i) => ({ path, step, tokens, weight: output.schedule.weights[i]! }));
}
