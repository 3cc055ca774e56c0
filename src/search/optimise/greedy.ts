import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { recipeKey } from '../space/key.ts';
import type { StudyIdentity, TrialLine } from '../study/trials-file.ts';
import { meanOf } from './legs.ts';

/** A greedy soup, and what it tries next. */
export interface GreedyState {
  /** Null where no ingredient has a score. */
  readonly soup: GreedySoup | null;
  /** Members of the next soup, as indices into those of the study; null where nothing is left to try. */
  readonly next: readonly number[] | null;
}

/** What is known of a recipe: null as a score where it was tried and has none. */
interface KnownScore {
  readonly trial: number;
  readonly score: number | null;
}

/**
 * The greedy soup of Model Soups (arXiv 2203.05482, recipe 1): ingredients from the best score alone to the
 * worst, each kept where the mean with it scores at least as well as the mean without. A function of the
 * trials: what they hold of a recipe counts, whatever it was tried for. Ingredients without a score are left
 * out; of equal ones the newer is tried first, as the paper says nothing of them.
 */
export function greedySoup(
  identity: Pick<StudyIdentity, 'members' | 'pool' | 'policies' | 'dtype'>,
  trials: readonly TrialLine[],
  goal: Goal,
): GreedyState {
  const { members, pool } = identity;
  const known = scoresByRecipe(trials);
  const keyOf = soupKeys(identity);
  const atLeast = (a: number, b: number) => !directionOf(goal).better(b, a);
  const ingredients = pool
    .flatMap((member) => {
      const alone = known.get(keyOf([member]));
      return alone === undefined || alone.score === null ? [] : [{ member, alone: alone.score, trial: alone.trial }];
    })
    .toSorted((a, b) => (a.alone === b.alone ? b.member - a.member : atLeast(a.alone, b.alone) ? -1 : 1));
  const asTried = ({ member, alone }: (typeof ingredients)[number], { trial, score }: KnownScore, added: boolean): SoupIngredient => {
    const { path, step } = members[member]!;
    return { path, step, alone, trial, score, added };
  };
  const [first, ...others] = ingredients;
  if (first === undefined) return { soup: null, next: null };
  let soup: KnownScore & { readonly score: number; readonly of: readonly number[] } = {
    trial: first.trial,
    score: first.alone,
    of: [first.member],
  };
  const tried = [asTried(first, { trial: first.trial, score: first.alone }, true)];
  const state = (next: readonly number[] | null): GreedyState => ({
    soup: { trial: soup.trial, score: soup.score, tried, left: ingredients.length - tried.length },
    next,
  });
  for (const ingredient of others) {
    const of = [...soup.of, ingredient.member].sort((a, b) => a - b);
    const found = known.get(keyOf(of));
    if (found === undefined) return state(of);
    const { trial, score } = found;
    const added = score !== null && atLeast(score, soup.score);
    if (added) soup = { trial, score, of };
    tried.push(asTried(ingredient, found, added));
  }
  return state(null);
}

/** Keys of the means of some members. */
function soupKeys({ members, policies, dtype }: Parameters<typeof greedySoup>[0]): (of: readonly number[]) => string {
  const fingerprints = members.map(({ fingerprint }) => fingerprint);
  return (of) => recipeKey({ candidate: meanOf(of, members.length), fingerprints, policies, dtype });
}

/** By recipe: its first trial, and the mean of its scores. */
function scoresByRecipe(trials: readonly TrialLine[]): ReadonlyMap<string, KnownScore> {
  const found = new Map<string, { trial: number; scores: number[] }>();
  for (const { id, recipe, score } of trials.toSorted((a, b) => a.id - b.id)) {
    const entry = found.get(recipe) ?? { trial: id, scores: [] };
    if (score !== null) entry.scores.push(score);
    found.set(recipe, entry);
  }
  return new Map(
    [...found].map(([recipe, { trial, scores }]) => [
      recipe,
      { trial, score: scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length },
    ]),
  );
}

/** A greedy soup as far as it came, part of the JSON document. */
export interface GreedySoup {
  /**
   * First trial of the recipe that the ingredients added so far make: of the best single where none was added
   * to it.
   */
  readonly trial: number;
  /** Its score, as a mean where it was scored several times. */
  readonly score: number;
  /** Ingredients in the order in which they were tried: best first. */
  readonly tried: readonly SoupIngredient[];
  /** Ingredients that are left to try. */
  readonly left: number;
}

/** An ingredient, and what became of the soup with it. */
export interface SoupIngredient {
  readonly path: string;
  readonly step: number | null;
  /** Score of the ingredient alone. */
  readonly alone: number;
  /** First trial of the soup with it. */
  readonly trial: number;
  /** Score of the soup with it; null where that failed. */
  readonly score: number | null;
  /** The soup with it was at least as good as without. */
  readonly added: boolean;
}
