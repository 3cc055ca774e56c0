import { storedValidation } from '../optimise/validation.ts';
import type { StudyIdentity, TrialLine } from '../study/trials-file.ts';
import type { SecondSet } from './conclude.ts';
import type { GridScores } from './types.ts';

/**
 * Trials that a second set scores, too: those of the chosen output and of the best over the newest, and of what they
 * are compared with.
 * @param newest where the newest outputs end
 */
export function trialsOfSecondSet({ artefact, outputs, references }: GridScores, newest: number): readonly number[] {
  if (artefact.chosen === null) return [];
  const compared = new Set([
    ...[artefact.chosen, artefact.overNewest?.chosen],
    ...references.flatMap(({ name, endpoint }) => (endpoint === newest ? [name] : [])),
  ]);
  return [...new Set([...outputs, ...references].flatMap(({ name, trial }) => (trial !== null && compared.has(name) ? [trial] : [])))];
}

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
