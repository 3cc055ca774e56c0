import { namesAmong } from '../study/members.ts';
import { type NextRound, placeOfRound } from '../study/rounds.ts';
import type { RoundTrial } from '../study/trials.ts';
import type { StudyIdentity, TrialLine } from '../study/trials-file.ts';
import type { TrialKind } from '../study/types.ts';
import { greedySoup } from './greedy.ts';
import { meanOf } from './legs.ts';

/**
 * What a soup tries: the newest checkpoint alone, which shows whether the evaluator works; all others alone,
 * the mean of all and that of the last 10 of the run, merged in one read; then one greedy soup after another,
 * of which each hangs on the score of the one before.
 * @param repeats how often each recipe is scored
 */
export function soupRounds(identity: StudyIdentity, repeats: number): NextRound {
  const { members, pool, last } = identity;
  const nameOf = namesAmong(pool.map((m) => members[m]!));
  const request = (kind: TrialKind, of: readonly number[]): RoundTrial => {
    const params = kind !== 'single' ? null : nameOf(members[of[0]!]!);
    return { kind, candidate: meanOf(of, members.length), params, point: null, leg: 0 };
  };
  const newest = request('newest', pool.slice(-1));
  const means = pool.join() === last.join() ? [request('uniform', pool)] : [request('uniform', pool), request('sma', last)];
  const baselines = [...pool.slice(0, -1).map((member) => request('single', [member])), ...means];
  // A soup for each ingredient but the first, unless it equals what was scored before.
  const total = (baselines.length + 1 + Math.max(0, pool.length - 1)) * repeats;
  return (trials, goal) => {
    const { first, known, size } = placeOfRound(trials);
    if (known.length === 0) return { first, requests: [newest], total };
    if (isFirstRoundOnly(known)) {
      const all = [...baselines, newest];
      // Repeats come last, so that ids of recipes do not depend on how often each is scored. A round that was
      // cut off is as long as it was.
      return { first, requests: cycle(all, size ?? all.length * repeats - 1), total };
    }
    const { soup, next } = greedySoup(identity, known, goal);
    if (next === null) return { ended: 'exhausted' };
    return { first, requests: cycle([request('soup', next)], size ?? repeats), total: known.length + (soup?.left ?? 1) * repeats };
  };
}

function isFirstRoundOnly(known: readonly TrialLine[]): boolean {
  return known.every(({ kind }) => kind === 'newest');
}

/** So many of a list's elements, from the beginning again where they run out. */
function cycle<T>(list: readonly T[], length: number): readonly T[] {
  return Array.from({ length }, (_, i) => list[i % list.length]!);
}
