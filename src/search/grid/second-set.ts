import { storedValidation } from '../optimise/validation.ts';
import type { StudyIdentity, TrialLine } from '../study/trials-file.ts';
import type { SecondSet } from './conclude.ts';

/** What the folder has of a second set, by names of outputs and references. */
export async function secondSet(folder: string, identity: StudyIdentity, trials: readonly TrialLine[]): Promise<SecondSet | undefined> {
  const stored = await storedValidation(folder, identity, trials);
  if (stored === undefined) return undefined;
  const byTrial = new Map(stored.rows.map(({ trial, score }) => [trial, score]));
  const byRecipe = new Map(trials.flatMap(({ id, recipe }) => (byTrial.has(id) ? [[recipe, byTrial.get(id)!] as const] : [])));
  const scores = (identity.scored ?? []).flatMap(({ recipe, is }) =>
    byRecipe.has(recipe) ? [[is[0]!.name, byRecipe.get(recipe)!] as const] : [],
  );
  return { command: stored.command, scores: new Map(scores) };
}
