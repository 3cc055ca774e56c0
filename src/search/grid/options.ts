import { optionName, worded } from '../../base/option-words.ts';
import { keysOf, omit } from '../../base/pick.ts';
import { refuse } from '../../base/problems.ts';
import { gridOf, OF_GRID } from '../../merge/grid/options.ts';
import type { GridOptions } from '../../merge/grid/types.ts';
import { checkGiven } from '../../recipe/given.ts';
import { valuesOf } from '../../recipe/grid/axes.ts';
import type { Grid, OneOrMore, TreatmentAxis } from '../../recipe/grid/types.ts';
import { type EvaluationSettings, scorerOf } from '../study/scorer.ts';
import type { StudyRequest } from '../study/session.ts';
import { OF_EVALUATION } from '../study/taken.ts';

/** Same names in the library and (with dashes) on the command line. */
export interface GridScoreOptions
  extends Omit<GridOptions, 'keep' | 'ranks' | 'rankTimeout'>,
    Omit<EvaluationSettings, 'eval'>,
    Pick<StudyRequest, 'work' | 'resume' | 'force' | 'log'> {
  /** Scores a model: see docs/evaluators.md. Either this, or `scores`. */
  readonly eval?: EvaluationSettings['eval'] | undefined;
  /**
   * Folder of results that another pipeline wrote, for each output under its name: a file NAME.json, or a folder
   * NAME with results of lm-eval or lighteval. Nothing is merged then.
   */
  readonly scores?: string | undefined;
  /** Folder of trials, logs and reports; `output` with `.scores` behind it when absent, of `scores` `.given`. */
  readonly dir?: string | undefined;
  /** Make the grid in `output` first, as `grid` does, and leave it there: else each merge is removed once it is scored. */
  readonly keep?: boolean | undefined;
  /** Command that scores the chosen output and what it is compared with on a second set. */
  readonly validate?: EvaluationSettings['eval'] | undefined;
  /** The metrics of the second set, where they are others. */
  readonly validateMetrics?: EvaluationSettings['metrics'];
}

/** What only a call that scores takes. */
const OF_SCORING = {
  ...OF_EVALUATION,
  eval: { kind: 'command' },
  scores: { kind: 'path' },
  dir: { kind: 'path' },
  log: { kind: 'texts' },
  work: { kind: 'path' },
  validate: { kind: 'command' },
  validateMetrics: OF_EVALUATION.metrics,
} as const;

/** What of a merge is for a trainer to go on from: no evaluator loads it. */
const OF_TRAINERS: readonly TreatmentAxis[] = ['for', 'optimizer', 'extraState', 'weightsFrom'];

/** Options of an evaluation, which a folder of scores has no use for. */
const ONLY_EVALUATED = [
  ...(['validate', 'validateMetrics', 'metricFile', 'metricRegex', 'timeout'] as const),
  ...(['evalSetup', 'evalCancel', 'evalServer', 'gpus', 'parallel'] as const),
] as const;

/** Options of the merges that are scored, and of going on with them. */
const ONLY_MERGED = ['keep', 'work', 'resume', 'force', 'launcher'] as const;

/** How outputs that stay are stored: evaluators load safetensors, in whatever files. */
const ONLY_KEPT = ['format', 'files'] as const;

/** Options with what they leave open, and the grid among them. */
export interface ResolvedScores {
  readonly options: GridScoreOptions & { readonly dir: string };
  readonly grid: Grid;
  /** What makes the grid, where it stays. */
  readonly making: GridOptions;
}

/**
 * Refuses what is wrong whatever the run holds.
 * @throws MergeError E_OPTION with every problem
 */
export function resolveScores(options: GridScoreOptions): ResolvedScores {
  const { ranks, rankTimeout, ...known } = OF_GRID;
  checkGiven('scoreGrid', options, { ...known, ...OF_SCORING });
  // Before what they would mean together.
  refuseForTrainers(options);
  const making = omit(options, [...keysOf(OF_SCORING), 'keep']) as GridOptions;
  const grid = gridOf('scoreGrid', making);
  const problems: string[] = [];
  if (options.eval === undefined && options.scores === undefined)
    problems.push(`nothing scores the outputs: give ${optionName('eval')}, or ${optionName('scores')}`);
  if (options.eval !== undefined && options.scores !== undefined)
    problems.push(`${optionName('eval')} and ${optionName('scores')} both say where scores come from: leave out one of them`);
  if (options.scores !== undefined) {
    for (const name of ONLY_EVALUATED)
      if (options[name] !== undefined)
        problems.push(`${optionName(name)} is about an evaluator, and ${optionName('scores')} has none: leave it out`);
    for (const name of ONLY_MERGED)
      if (options[name] !== undefined && options[name] !== false)
        problems.push(`${optionName(name)} is about merges that are scored, and ${optionName('scores')} makes none: leave it out`);
  } else if (options.keep !== true) {
    for (const name of ONLY_KEPT) {
      if (options[name] === undefined || options[name] === 'safetensors') continue;
      problems.push(
        `${optionName(name)} is about outputs that stay, and these are removed once they are scored: give ${optionName('keep')}, or leave it out`,
      );
    }
  }
  if (options.validateMetrics !== undefined && options.validate === undefined)
    problems.push(`${optionName('validateMetrics')} is about a second set, and there is none: give ${optionName('validate')}`);
  refuse(problems, { several: (count) => `${count} things are wrong with the options of the grid` });
  // Else it would be refused after the last trial.
  if (options.validate !== undefined) scorerOf({ ...options, eval: options.validate }, worded`--validate`);
  return {
    options: {
      ...options,
      dir: options.dir ?? `${options.output.replace(/\/+$/, '')}${options.scores === undefined ? '.scores' : '.given'}`,
    },
    grid,
    making,
  };
}

/**
 * What a trainer goes on from is no axis of a scored grid.
 * @throws MergeError E_OPTION
 */
export function refuseForTrainers(options: Grid): void {
  const given = OF_TRAINERS.filter((name) => valuesOf(options[name] as OneOrMore<unknown>).length > 0);
  refuse(
    given.map(
      (name) => `${optionName(name)} decides what a trainer goes on from, which no score tells: leave it out where outputs are scored`,
    ),
    { several: (count) => `${count} axes of the grid have no score` },
  );
}
