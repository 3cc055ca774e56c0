import { basename } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { countsAnew, stepLabel } from '../../checkpoints/run/position.ts';
import { aboutQuantity, formatQuantity } from '../../checkpoints/run/quantity.ts';
import type { Quantity } from '../../checkpoints/run/types.ts';
import type { ScheduleMember } from './types.ts';

/** Where members stand in training, rising; `checkpoints` counts them from 0. */
export interface Positions {
  readonly unit: Quantity['unit'];
  readonly at: readonly number[];
}

/**
 * Largest over smallest distance between neighbours up to which a spacing counts as even: token counts in
 * names are rounded.
 */
const EVEN = 1.25;

export function memberLabel(member: ScheduleMember): string {
  return stepLabel(member) ?? basename(member.path);
}

/**
 * Positions in the unit asked for.
 *
 * @param what asks, for messages: `a half-life in tokens`
 * @throws MergeError E_NO_POSITION when a member's is unknown, E_ORDER when they do not rise
 */
export function positionsIn(unit: Quantity['unit'], members: readonly ScheduleMember[], what: string): Positions {
  if (unit === 'checkpoints') return { unit, at: members.map((_, i) => i) };
  const unknown = members.filter((m) => value(m, unit) === null);
  if (unknown.length > 0) {
    throw new MergeError(
      'E_NO_POSITION',
      `${what} needs the ${unit} of every member: ${unknown.length} of ${members.length} have none (${unknown[0]!.path})`,
      {
        details: { file: unknown[0]!.path },
        ...(unit === 'steps' ? { help: 'Use a unit that the checkpoints have, as 3ckpt.' } : {}),
      },
    );
  }
  const at = members.map((m) => value(m, unit)!);
  const i = at.findIndex((t, j) => j > 0 && t <= at[j - 1]!);
  if (i > 0) {
    const pair = `${members[i - 1]!.path} (${formatQuantity({ value: at[i - 1]!, unit })}) and ${members[i]!.path} (${formatQuantity({ value: at[i]!, unit })})`;
    throw new MergeError('E_ORDER', `${what} needs ${unit} that rise from member to member: ${pair} do not`, {
      details: { file: members[i]!.path },
      help: 'Merge checkpoints of one stage, or use a schedule that counts members: sma, wma, ema with alpha.',
    });
  }
  return { unit, at };
}

/**
 * Positions in the best unit that all members have and in which they rise: tokens before steps, but steps
 * where the token counts are, as far as their rounding tells (`step1000-tokens4B`), a constant times the
 * step. Null where there is none.
 */
export function measure(members: readonly ScheduleMember[]): Positions | null {
  const [tokens, steps] = (['tokens', 'steps'] as const).map((unit): Positions | null => {
    const at = members.flatMap((m) => value(m, unit) ?? []);
    return at.length === members.length && at.every((t, i) => i === 0 || t > at[i - 1]!) ? { unit, at } : null;
  });
  return tokens && steps && proportional(tokens.at, steps.at) ? steps : (tokens ?? steps ?? null);
}

/**
 * Whether the token counts are some constant times the steps: exactly, or rounded up, down or to nearest to
 * thousands, millions or billions.
 */
function proportional(tokens: readonly number[], steps: readonly number[]): boolean {
  const unit = [1e9, 1e6, 1e3].find((size) => tokens.every((t) => t % size === 0)) ?? 0;
  return [
    [0, unit],
    [unit, 0],
    [unit / 2, unit / 2],
  ].some(([below, above]) => {
    const least = Math.max(...tokens.map((t, i) => (steps[i] === 0 ? 0 : (t - below!) / steps[i]!)));
    const most = Math.min(...tokens.map((t, i) => (steps[i] === 0 ? Number.POSITIVE_INFINITY : (t + above!) / steps[i]!)));
    return least <= most && (steps[0] !== 0 || tokens[0]! <= below!);
  });
}

/** Distances between neighbours, and whether they are as good as equal. */
export function spacing({ at }: Positions): { gaps: readonly number[]; smallest: number; largest: number; even: boolean } {
  const gaps = at.slice(1).map((t, i) => t - at[i]!);
  const [smallest, largest] = [Math.min(...gaps), Math.max(...gaps)];
  return { gaps, smallest, largest, even: gaps.length < 2 || largest <= EVEN * smallest };
}

/** For schedules that count members: says so when their spacing is uneven. */
export function unevenWarnings(members: readonly ScheduleMember[], method: string): Warning[] {
  const positions = measure(members);
  if (positions === null) return [];
  const { smallest, largest, even } = spacing(positions);
  if (even) return [];
  const [from, to] = [smallest, largest].map((value) => aboutQuantity({ value, unit: positions.unit }));
  const message = `the members are ${from} to ${to} apart, and ${method} counts them as if they were evenly spaced; the methods ema with ${optionName('halfLife')}, and wsm, go by their positions`;
  return [{ code: 'W_UNEVEN_SPACING', message }];
}

function value(member: ScheduleMember, unit: 'tokens' | 'steps'): number | null {
  // Steps that begin anew in every epoch are no distance.
  return unit === 'tokens' ? member.tokens : countsAnew(member) ? null : member.step;
}
