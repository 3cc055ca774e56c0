import { directionOf } from '../../checkpoints/results/goal.ts';
import { readMemberScores, topOf } from '../select/scored.ts';
import type { MemberScores } from '../select/types.ts';
import { valuesOf } from './axes.ts';
import type { Grid, KnownSave } from './types.ts';

/** The scores that members of a grid are chosen by; null where none are. @throws MergeError what {@link readMemberScores} throws */
export async function scoresOfMembers({ members, memberScores, memberMetrics, memberGoal }: Grid): Promise<MemberScores | null> {
  if (!valuesOf(members).some((text) => topOf(text) !== null)) return null;
  return readMemberScores({ scores: memberScores, metrics: memberMetrics, goal: memberGoal });
}

/**
 * The best so many of the saves of a window, in their order; of equal ones the newer. One that cannot be used is among
 * them where its score would have been, so that it is said to be left out.
 */
export function bestOf(
  saves: readonly KnownSave[],
  count: number,
  { source, scores, goal }: MemberScores,
): { readonly saves: readonly KnownSave[] } | { readonly reason: string } {
  const { sign } = directionOf(goal);
  const ranked = saves
    .map((save, i) => ({ save, i, score: scores.get(save.step) }))
    .filter(({ score }) => score !== undefined)
    .sort((a, b) => sign * (b.score! - a.score!) || b.i - a.i);
  const usable = ranked.filter(({ save }) => save.state !== 'broken').slice(0, count);
  if (usable.length === 0) return { reason: `${source} has no score of any of its saves` };
  const worst = ranked.indexOf(usable.at(-1)!);
  const best = new Set([...usable, ...(usable.length < count ? ranked : ranked.slice(0, worst))].map(({ save }) => save));
  return { saves: saves.filter((save) => best.has(save)) };
}
