import type { StoredTrials, StudiedArm, StudyIdentity } from './trials-file.ts';

/**
 * A study whose run has grown: what it is about now, and beside that the checkpoints that are not there any more,
 * and what of them has a score.
 */
export function grownIdentity({ identity: before, trials }: StoredTrials, now: StudyIdentity): StudyIdentity {
  if (now.scored === undefined || before.scored === undefined) return now;
  const here = new Set(now.members.map(({ fingerprint }) => fingerprint));
  const known = new Set(now.scored.map(sameAs));
  const named = new Set(now.scored.map(calledAs));
  const recipes = new Set(trials.flatMap(({ recipe, score }) => (score === null ? [] : [recipe])));
  return {
    ...now,
    members: [...now.members, ...before.members.filter(({ fingerprint }) => !here.has(fingerprint))],
    scored: [
      ...before.scored
        .filter((arm) => recipes.has(arm.recipe) && !known.has(sameAs(arm)) && !named.has(calledAs(arm)))
        .map((arm) => ({ ...arm, earlier: true as const })),
      ...now.scored,
    ],
  };
}

/** Whether a file tells of all that a study is about. */
export function tellsAll(before: StudyIdentity, now: StudyIdentity): boolean {
  return JSON.stringify(before.scored?.map(toldAs)) === JSON.stringify(now.scored?.map(toldAs));
}

function sameAs({ kind, recipe, is }: StudiedArm): string {
  return JSON.stringify([kind, recipe, is.map(({ name }) => name)]);
}

function toldAs(arm: StudiedArm): string {
  return `${arm.earlier ? 'earlier ' : ''}${sameAs(arm)}`;
}

function calledAs({ kind, is }: StudiedArm): string {
  return `${kind} ${is[0]!.name}`;
}
