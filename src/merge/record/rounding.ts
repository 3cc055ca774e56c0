import type { Role } from '../../model/roles/types.ts';

/**
 * Sums over the requantised weights of one role in one output: M the merged values, Q what the codes and
 * scales written for them say.
 */
export interface RoundingSums {
  readonly role: Role | null;
  readonly tensors: number;
  readonly elements: number;
  /** Sum of (Q - M)^2. */
  readonly error: number;
  /** Sum of (M - newest member)^2. */
  readonly change: number;
  /** Finite values that became the largest of the encoding. */
  readonly saturated: number;
}

/** What is told of them. */
export interface RoundingFigure {
  readonly role: Role | null;
  readonly tensors: number;
  readonly elements: number;
  /**
   * |Q - M| / |M - newest|: what quantising anew moved, over what merging did. Null where merging moved nothing.
   */
  readonly ratio: number | null;
  readonly saturated: number;
}
