import type { Warning } from '../../base/errors.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { difference } from '../conclusion/difference.ts';
import { asTrial, type StudiedArm, type StudyIdentity, spentOn, type TrialLine } from '../study/trials-file.ts';
import { lossAloneText } from '../study/words.ts';
import { artefactOf, labelOf, type PlacedArm, recipesOfGrid, type SecondSet, windowText } from './conclude.ts';
import { controlNotes } from './controls.ts';
import type { ArmScore, GridReference, GridScores, ScoredOutput } from './types.ts';

/** All that a document is made of. */
export interface GridScoresInput {
  readonly identity: StudyIdentity;
  readonly goal: Goal;
  readonly trials: readonly TrialLine[];
  /** By name of an output or reference. */
  readonly validation?: SecondSet | undefined;
  readonly reads: number;
  readonly warnings: readonly Warning[];
}

/** What the scores of a grid come to: a function of its trials. */
export function gridScoresDocument({ identity, goal, validation, reads, warnings, ...input }: GridScoresInput): GridScores {
  const trials = [...input.trials].sort((a, b) => a.id - b.id);
  // Of several trials of one recipe the first that has a score.
  const byRecipe = new Map<string, TrialLine>();
  for (const trial of trials) {
    const before = byRecipe.get(trial.recipe);
    if (before === undefined || (before.score === null && trial.score !== null)) byRecipe.set(trial.recipe, trial);
  }
  const arms = (identity.scored ?? []).map((arm) => placed(arm, byRecipe.get(arm.recipe))).sort((a, b) => a.endpoint - b.endpoint);
  const scoreOf = (arm: PlacedArm): ArmScore => {
    const { id = null, score = null, stderr = null, reason = null } = byRecipe.get(arm.recipe) ?? {};
    return { trial: id, score, stderr, reason };
  };
  const against = (arm: PlacedArm, other: PlacedArm | undefined) =>
    arm.score === null || other === undefined || other.score === null || other.recipe === arm.recipe
      ? null
      : difference(arm.score, other.score, goal);
  const beside = (arm: PlacedArm, kind: StudiedArm['kind'], window: string | null) =>
    arms.find((other) => other.kind === kind && other.endpoint === arm.endpoint && other.is.some((one) => windowText(one) === window));
  const metric = identity.metrics.length === 0 ? null : identity.metrics.join(' ');
  const lossAlone = lossAloneText({ goal, metric });
  return {
    schema: 'ckpt-merge/grid-scores',
    version: 1,
    run: identity.inputs[0]!,
    evaluator: identity.evaluator,
    metric,
    goal,
    outputs: arms.flatMap((arm): ScoredOutput[] => {
      if (arm.kind !== 'output') return [];
      const [first] = arm.is;
      return [
        {
          name: first!.name,
          names: arm.is.map(({ name }) => name),
          axes: first!.axes,
          control: first!.control,
          recipe: first!.recipe,
          members: arm.weights,
          ...scoreOf(arm),
          overNewest: against(arm, beside(arm, 'newest', null)),
          overMean: against(arm, beside(arm, 'mean', windowText(first!))),
          flags: arm.flags,
          ...(arm.earlier && { earlier: true as const }),
        },
      ];
    }),
    references: arms.flatMap((arm): GridReference[] => {
      if (arm.kind === 'output') return [];
      const { kind, is, endpoint, tokens } = arm;
      return [{ name: is[0]!.name, kind, label: labelOf(arm), endpoint, tokens, window: windowText(is[0]!), ...scoreOf(arm) }];
    }),
    artefact: artefactOf(arms, goal, validation),
    recipes: recipesOfGrid(arms, goal),
    notes: [...controlNotes(arms, goal), ...(lossAlone === null ? [] : [lossAlone])],
    trials: trials.map(asTrial),
    reads,
    ...spentOn(trials),
    warnings,
  };
}

function placed(arm: StudiedArm, trial: TrialLine | undefined): PlacedArm {
  const score = trial?.score ?? null;
  return {
    ...arm,
    score: score === null ? null : { score, stderr: trial!.stderr, items: trial!.items },
    weights: trial?.weights ?? [],
  };
}
