import type { ScheduleMember } from '../../src/recipe/schedule/types.ts';

/** Members at these steps, and at these tokens where given. */
export function membersAt(steps: readonly (number | null)[], tokens?: readonly (number | null)[]): ScheduleMember[] {
  return steps.map((step, i) => ({ path: `run/checkpoint-${step ?? `x${i}`}`, step, tokens: tokens?.[i] ?? null }));
}

/** So many members, 1,000 steps apart. */
export function membersOf(count: number): ScheduleMember[] {
  return membersAt(Array.from({ length: count }, (_, i) => (i + 1) * 1000));
}
