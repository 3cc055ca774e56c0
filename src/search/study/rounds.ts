import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Session } from './session.ts';
import type { RoundTrial } from './trials.ts';
import type { TrialLine } from './trials-file.ts';
import type { Ending } from './types.ts';

/** Trials to score together, or why there are no more. */
export type Round =
  | {
      readonly first: number;
      readonly requests: readonly RoundTrial[];
      /** Evaluations of the whole study, as far as that is known. */
      readonly total?: number;
    }
  | { readonly ended: Ending };

/** What is tried next: a function of the trials, so that a study that is resumed goes on as it would have. */
export type NextRound = (trials: readonly TrialLine[], goal: Goal, signal: AbortSignal) => Round | Promise<Round>;

/** The round that comes next, as far as the trials say it. */
export interface RoundPlace {
  /** Id of its first trial. */
  readonly first: number;
  /** What is known before it. */
  readonly known: readonly TrialLine[];
  /**
   * How many trials it has, where it was begun and cut off, so that the same requests have to come again;
   * else null.
   */
  readonly size: number | null;
}

/** Where a study goes on: with the round that was cut off, or with a new one. */
export function placeOfRound(trials: readonly TrialLine[]): RoundPlace {
  const ids = new Set(trials.map(({ id }) => id));
  // By their ids: a driver that was killed may have gone on with a round of its own in the middle of the one
  // that was cut off.
  const cut = trials.find(({ round, roundSize }) => Array.from({ length: roundSize }, (_, i) => round + i).some((id) => !ids.has(id)));
  if (cut === undefined) return { first: Math.max(-1, ...trials.map(({ id }) => id)) + 1, known: trials, size: null };
  return { first: cut.round, known: trials.filter(({ id }) => id < cut.round), size: cut.roundSize };
}

/**
 * Rounds until there are no more, or until no trial of one would end within the budget.
 * @param budget seconds of work @throws MergeError of trials and merges; `signal.reason` on an abort
 */
export async function runRounds(
  { study, goal }: Pick<Session, 'study' | 'goal'>,
  next: NextRound,
  { budget, signal }: { readonly budget?: number | undefined; readonly signal: AbortSignal },
): Promise<Ending> {
  for (;;) {
    signal.throwIfAborted();
    const round = await next(study.trials, goal(), signal);
    if ('ended' in round) return round.ended;
    if (outOfBudget(budget, study)) return 'budget';
    const before = study.trials.length;
    await study.round(round.first, round.requests, signal, () => !outOfBudget(budget, study), round.total);
    // A round that was cut off has fewer requests now where fewer trials are asked for than then: all of them
    // may be done.
    if (study.trials.length === before) return outOfBudget(budget, study) ? 'budget' : 'trials';
  }
}

/** Whether a trial as long as the middle one would end after the budget. */
function outOfBudget(budget: number | undefined, { elapsed, trials }: Session['study']): boolean {
  if (budget === undefined) return false;
  const lengths = trials.map(({ seconds, mergeSeconds }) => seconds + mergeSeconds).sort((a, b) => a - b);
  return elapsed + (lengths[lengths.length >> 1] ?? 0) > budget;
}

/** What there is to throw where nothing that was tried has a score. */
export function noTrial({ study, folder }: Pick<Session, 'study' | 'folder'>): MergeError {
  const last = study.trials.at(-1);
  return new MergeError(
    'E_NO_TRIAL',
    `not one of ${study.trials.length} trials gave a score; the last: ${last?.reason ?? 'none was tried'}`,
    { details: { file: join(folder.path, 'logs') } },
  );
}
