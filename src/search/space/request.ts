import type { ScheduleRequest } from './schedule-parameters.ts';

/** Spaces that can be asked for by name alone. */
export const SPACE_NAMES = ['pairwise', 'weights', 'schedule'] as const;

/**
 * A search space as a file or a program asks for it. Of a schedule that says nothing of its parameters, those
 * of `defaultSchedule` are searched.
 */
export interface SpaceRequest extends ScheduleRequest {
  readonly space: (typeof SPACE_NAMES)[number];
  /** pairwise: least weight of the newer checkpoint, in [0, 1); 0.5 when absent. */
  readonly alpha?: number | undefined;
  /** pairwise, weights: roles or groups of roles, as in policies, with weights of their own. */
  readonly separate?: readonly string[] | undefined;
}
