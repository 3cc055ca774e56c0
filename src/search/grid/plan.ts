import { join } from 'node:path';
import { worded } from '../../base/option-words.ts';
import { planGrid } from '../../merge/grid/grid.ts';
import { planSurveyed } from '../../merge/grid/plan.ts';
import type { GridPlan } from '../../merge/grid/types.ts';
import { checkMachine } from '../../merge/run.ts';
import { formatCount, formatSeconds, plural } from '../../render/format.ts';
import { VALIDATION_FILE } from '../optimise/validation.ts';
import { differences } from '../study/differences.ts';
import { commandText, metricTexts } from '../study/scorer.ts';
import { readTrials, type StoredTrials, storedGoal, TRIALS_FILE } from '../study/trials-file.ts';
import { newestEnd } from './conclude.ts';
import { gridScoresDocument } from './document.ts';
import { type LookedAt, lookAtGrid, studyRequest } from './known.ts';
import { type GridScoreOptions, type ResolvedScores, resolveScores } from './options.ts';
import { refusePlaces } from './places.ts';
import { trialsOfSecondSet } from './second-set.ts';

/** The evaluations that scoring a grid takes, equal merges counted once. */
export interface GridScoring {
  /** Those that are left, but for the second set: the sum of the four kinds after it. */
  readonly evaluations: number;
  /** The newest checkpoint alone: 0 or 1. */
  readonly newest: number;
  /** Other checkpoints alone that windows end at. */
  readonly checkpoints: number;
  readonly means: number;
  /** Those that are no plain means. */
  readonly outputs: number;
  /** Of what the grid comes to now, what has a score in the folder of trials. */
  readonly scored: number;
  /** What was tried there and has none: it is not tried again. */
  readonly failed: number;
  /**
   * Evaluations of the second set that come after these, at least and at most: until all have scores it is open which
   * outputs are chosen. Null without `validate`.
   */
  readonly validation: { readonly least: number; readonly most: number } | null;
  /** What these and those of the second set may take, by what the scored ones took; null where none is. */
  readonly seconds: number | null;
  /** The folder of trials. */
  readonly dir: string;
  /** There are scores, and nothing was said of what is to become of them: `resume` goes on after them. */
  readonly needsResume: boolean;
}

/**
 * What {@link scoreGrid} would evaluate, and what of it has a score. Merges and writes nothing, and starts no evaluator.
 * @throws MergeError E_OPTION, E_GRID_SIZE, E_NO_MEMBERS for the grid; E_TRIALS for the folder of trials
 */
export async function planGridScores(options: GridScoreOptions, { signal }: { readonly signal?: AbortSignal } = {}): Promise<GridScoring> {
  const looked = await lookBefore(resolveScores(options), signal);
  return scoringOf(looked);
}

/**
 * {@link planGridScores}, and the grid as it is made for it: what is left to be scored and has to be merged; with
 * `keep` all that is missing in its folder.
 * @throws MergeError as {@link scoreGrid} does before its first evaluation
 */
export async function planScoredGrid(
  options: GridScoreOptions,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<{ readonly plan: GridPlan; readonly scoring: GridScoring }> {
  const resolved = resolveScores(options);
  const { making, grid } = resolved;
  checkMachine(making);
  const looked = await lookBefore(resolved, signal);
  const scoring = await scoringOf(looked);
  if (options.keep) return { plan: await planGrid(making, { signal }), scoring };
  const { survey, known } = looked.found;
  const tried = new Set(known.scored.flatMap(({ recipe, is }) => (looked.tried.has(recipe) ? is.map(({ name }) => name) : [])));
  const arms = survey.arms.filter(({ name }) => !tried.has(name));
  const work = { grid, options: making, asked: { outputs: [] }, signal };
  return { plan: (await planSurveyed(work, { ...survey, arms }, { unplaced: true })).document, scoring };
}

/** A grid as its scoring finds it. */
interface Looked {
  readonly resolved: ResolvedScores;
  readonly stored: StoredTrials | null;
  readonly found: LookedAt;
  /** Recipes that were tried. */
  readonly tried: ReadonlySet<string>;
}

async function lookBefore(resolved: ResolvedScores, signal: AbortSignal | undefined): Promise<Looked> {
  const { dir, resume, force } = resolved.options;
  const read = force && !resume ? null : await readTrials(join(dir, TRIALS_FILE));
  const stored = read?.trials.some(({ status }) => status === 'complete') ? read : null;
  const found = await lookAtGrid(resolved, studyRequest(resolved.options), read?.identity.members ?? [], signal);
  await refusePlaces(resolved.options, found.survey);
  return { resolved, stored, found, tried: new Set(stored?.trials.map(({ recipe }) => recipe)) };
}

async function scoringOf(looked: Looked): Promise<GridScoring> {
  const { resolved, stored, found, tried } = looked;
  const { known } = found;
  const { dir, resume, parallel = 1 } = resolved.options;
  const trials = stored?.trials ?? [];
  const done = trials.filter(({ score }) => score !== null);
  const scored = new Set(done.map(({ recipe }) => recipe));
  const asked = new Set(known.scored.map(({ recipe }) => recipe));
  const left = [...known.candidates].filter(([recipe]) => !tried.has(recipe)).map(([, { arm }]) => arm);
  const newest = Math.max(...known.scored.map(({ endpoint }) => endpoint));
  const count = (of: (arm: (typeof left)[number]) => boolean) => left.filter(of).length;
  const validation = await validationOf(looked, left.length);
  const each = done.reduce((sum, { seconds, mergeSeconds }) => sum + (seconds + mergeSeconds) / done.length, 0);
  return {
    evaluations: left.length,
    newest: count(({ kind, endpoint }) => kind === 'newest' && endpoint === newest),
    checkpoints: count(({ kind, endpoint }) => kind === 'newest' && endpoint !== newest),
    means: count(({ kind }) => kind === 'mean'),
    outputs: count(({ kind }) => kind === 'output'),
    scored: [...asked].filter((recipe) => scored.has(recipe)).length,
    failed: [...asked].filter((recipe) => tried.has(recipe) && !scored.has(recipe)).length,
    validation,
    seconds: done.length === 0 ? null : (each * (left.length + (validation?.most ?? 0))) / parallel,
    dir,
    needsResume: trials.length > 0 && resume !== true,
  };
}

/** Evaluations of the second set: of what is compared at the newest place, less what has a score there. */
async function validationOf({ resolved, stored, found }: Looked, left: number): Promise<GridScoring['validation']> {
  const { validate, metrics, validateMetrics = metrics, dir, goal: given } = resolved.options;
  if (validate === undefined) return null;
  const { scored, candidates } = found.known;
  const identity = stored === null ? null : { ...stored.identity, scored };
  const own = { evaluator: commandText(validate), metrics: metricTexts(validateMetrics) };
  const before = identity === null ? null : await readTrials(join(dir, VALIDATION_FILE));
  const usable = before !== null && differences(before.identity, { ...identity!, kind: 'validation', ...own }).length === 0;
  const has = new Set(usable ? before.trials.flatMap(({ status, recipe }) => (status === 'complete' ? [recipe] : [])) : []);
  const missing = (recipes: Iterable<string>) =>
    [...new Set(recipes)].filter((recipe) => candidates.has(recipe) && !has.has(recipe)).length;
  const end = newestEnd(scored);
  const goal = given ?? (stored === null ? null : storedGoal(stored));
  if (left === 0 && stored !== null && goal !== null) {
    const document = gridScoresDocument({ identity: identity!, goal, trials: stored.trials, reads: 0, warnings: [] });
    const trials = new Set(trialsOfSecondSet(document, end));
    const count = missing(stored.trials.flatMap(({ id, recipe }) => (trials.has(id) ? [recipe] : [])));
    return { least: count, most: count };
  }
  const there = scored.filter(({ endpoint }) => endpoint === end);
  const references = new Set(there.flatMap(({ kind, recipe }) => (kind === 'output' ? [] : [recipe])));
  const outputs = new Set(there.flatMap(({ kind, is, recipe }) => (kind === 'output' && !is[0]!.control ? [recipe] : [])));
  const others = [...outputs].filter((recipe) => !references.has(recipe));
  const beside = missing(references);
  // One is chosen over all that it is compared with; it may be another that is best over the newest alone.
  return {
    least: beside + Number(others.length > 0 && !others.some((recipe) => has.has(recipe))),
    most: beside + Math.min(2, missing(others)),
  };
}

/** A plan of evaluations in a few words. */
export function scoringText(plan: GridScoring): string {
  const { evaluations, newest, checkpoints, means, outputs, scored, failed, validation, seconds, dir, needsResume } = plan;
  const kinds = [
    ...(newest > 0 ? ['the newest checkpoint'] : []),
    ...(checkpoints > 0 ? [plural(checkpoints, `${newest > 0 ? 'other ' : ''}checkpoint`)] : []),
    ...(means > 0 ? [plural(means, 'plain mean')] : []),
    ...(outputs > 0 ? [plural(outputs, means > 0 ? 'other output' : 'output')] : []),
  ];
  const before = [
    ...(scored > 0 ? [`${formatCount(scored)} ${scored === 1 ? 'is' : 'are'} scored already in ${dir}`] : []),
    ...(failed > 0 ? [`${formatCount(failed)} failed there and ${failed === 1 ? 'is' : 'are'} not tried again`] : []),
  ];
  const head = evaluations === 0 ? 'would score nothing' : `would make ${plural(evaluations, 'evaluation')}: ${kinds.join(', ')}`;
  return [
    [head, ...(validation === null ? [] : [secondSetText(validation)])].join(evaluations === 0 ? '; ' : ', then '),
    ...before,
    ...(seconds !== null && seconds > 0 ? [`about ${formatSeconds(seconds)} at the pace of those`] : []),
    ...(needsResume ? [worded`--resume goes on there, which is refused without it`] : []),
  ].join('; ');
}

function secondSetText({ least, most }: NonNullable<GridScoring['validation']>): string {
  if (most === 0) return 'none on the second set, whose scores are there';
  const count = least === most ? formatCount(most) : `${formatCount(least)} to ${formatCount(most)}`;
  return `${count} on the second set: what is chosen, and what it is compared with`;
}
