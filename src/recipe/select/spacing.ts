import { countsAnew } from '../../checkpoints/run/position.ts';
import { aboutQuantity } from '../../checkpoints/run/quantity.ts';
import { roundingOf } from '../../checkpoints/run/token-source.ts';
import type { Quantity, RunCheckpoint } from '../../checkpoints/run/types.ts';

/** Share of the mean distance by which distances may differ and still be called even. */
const EVEN_WITHIN = 0.01;
/** Share of a spacing by which a checkpoint may lie off it. */
export const NEAR_ENOUGH = 0.25;

/** Targets of a spacing that no checkpoint is near enough to. */
export interface Hole {
  /** The first of them, counted back from the newest checkpoint, which is target 0, and their number. */
  readonly target: number;
  readonly count: number;
}

/** Where checkpoints stand in a unit, in their order; null where that is unknown. */
export function positionsOf(checkpoints: readonly RunCheckpoint[], unit: Quantity['unit']): (number | null)[] {
  const at = { checkpoints: (_: RunCheckpoint, i: number) => i, tokens: ({ tokens }: RunCheckpoint) => tokens, steps: stepsSoFar };
  return checkpoints.map(at[unit]);
}

/** Steps that begin anew in every epoch do not say how far the training is. */
function stepsSoFar(checkpoint: RunCheckpoint): number | null {
  return countsAnew(checkpoint) ? null : checkpoint.step;
}

/**
 * Indices of the checkpoints that lie nearest to T_N, T_N − V, T_N − 2V …, within V/4 of them (the newer of
 * two that are equally near), newest first, and the holes: targets without one. Holes do not end the walk. As
 * the quarters around two targets never meet, no checkpoint is taken twice.
 *
 * @param positions that never fall
 * @param distance V, over 0
 */
export function spaceOut(
  positions: readonly number[],
  distance: number,
): { readonly taken: readonly number[]; readonly holes: readonly Hole[] } {
  const newest = positions.at(-1) ?? 0;
  const nearest = new Map<number, { readonly index: number; readonly off: number }>();
  // From the newest back, so that targets come in order and the number of checkpoints decides the work, not
  // the number of targets.
  for (let index = positions.length - 1; index >= 0; index--) {
    const { target, off } = targetOf(positions[index]!, newest, distance);
    if (off <= NEAR_ENOUGH * distance && off < (nearest.get(target)?.off ?? Number.POSITIVE_INFINITY)) nearest.set(target, { index, off });
  }
  const reach = Math.floor((newest - (positions[0] ?? 0)) / distance + NEAR_ENOUGH);
  const targets = [...nearest.keys(), reach + 1];
  const holes = targets.slice(1).map((target, i): Hole => ({ target: targets[i]! + 1, count: target - targets[i]! - 1 }));
  return { taken: [...nearest.values()].map(({ index }) => index), holes: holes.filter(({ count }) => count > 0) };
}

/** The target of a spacing that a position is nearest to, and how far off it lies. */
export function targetOf(position: number, newest: number, distance: number): { readonly target: number; readonly off: number } {
  const target = Math.round((newest - position) / distance);
  return { target, off: Math.abs(newest - target * distance - position) };
}

/**
 * Indices of the checkpoints met on the walk back from the newest that are at least so far from the one taken
 * before, newest first: what Megatron-LM's merge tool calls `--min-iteration-interval`.
 * @param positions that never fall
 */
export function keepApart(positions: readonly number[], distance: number): number[] {
  const taken: number[] = [];
  for (let index = positions.length - 1; index >= 0; index--) {
    if (taken.length === 0 || positions[taken.at(-1)!]! - positions[index]! >= distance) taken.push(index);
  }
  return taken;
}

/**
 * Median distance in steps between checkpoints that follow each other in one stage and ingredient; null where
 * there are no two.
 */
export function saveInterval(checkpoints: readonly RunCheckpoint[]): number | null {
  const gaps = checkpoints.flatMap((checkpoint, i) => {
    const { stage, ingredient, epoch, step } = checkpoint;
    const before = checkpoints[i - 1];
    const follows =
      before !== undefined &&
      before.stage === stage &&
      before.ingredient === ingredient &&
      (before.epoch === epoch || !countsAnew(checkpoint));
    return follows && step !== null && before.step !== null ? [step - before.step] : [];
  });
  return gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? null;
}

/**
 * The spacing of members in words, and what was asked for. Null where it cannot be told.
 * @param atLeast whether the distance asked for is the least one
 */
export function spacingNote(members: readonly RunCheckpoint[], asked: Quantity | null, atLeast: boolean): string | null {
  const units = asked === null || asked.unit === 'checkpoints' ? (['steps', 'tokens'] as const) : ([asked.unit] as const);
  const unit = units.find((u) => positionsOf(members, u).every((position) => position !== null));
  if (unit === undefined || members.length < 2) return null;
  const at = positionsOf(members, unit) as number[];
  const gaps = at.slice(1).map((position, i) => position - at[i]!);
  const [smallest, largest] = [Math.min(...gaps), Math.max(...gaps)];
  // Steps begin anew in every stage.
  if (smallest < 0) return null;
  const text = (value: number) => aboutQuantity({ value, unit });
  const wanted = asked === null ? '' : ` (asked for: ${atLeast ? 'at least ' : ''}${aboutQuantity(asked)})`;
  const mean = (at.at(-1)! - at[0]!) / gaps.length;
  const rounding = unit === 'tokens' ? 2 * Math.max(...members.map(roundingOf)) : 0;
  const even = largest - smallest <= Math.max(EVEN_WITHIN * mean, rounding);
  if (even) return `spacing: ${smallest === largest ? text(smallest) : `${text(smallest)} to ${text(largest)}`}${wanted}`;
  return `spacing is uneven: ${text(smallest)} to ${text(largest)}${wanted}`;
}
