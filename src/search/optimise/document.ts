import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import { boundsOf } from '../conclusion/bounds.ts';
import { type Concluded, conclude } from '../conclusion/conclude.ts';
import { difference } from '../conclusion/difference.ts';
import { posteriorDrawing } from '../conclusion/drawing.ts';
import type { Baseline, Conclusion, PosteriorDrawing } from '../conclusion/types.ts';
import type { ValidationScores } from '../conclusion/validate.ts';
import { type StoredSpace, storedSpace } from '../space/stored.ts';
import { memberCounts, SMA_MEMBERS } from '../study/members.ts';
import { asTrial, type StudiedSpace, type StudyIdentity, spentOn, type TrialLine } from '../study/trials-file.ts';
import type { Ending, TrialWeight } from '../study/types.ts';
import { REFERENCE_RECIPE } from './files.ts';
import { greedySoup } from './greedy.ts';
import type { BestTrial, ChainPair, SearchDocument } from './types.ts';

/**
 * All that a document is made of: what the file of trials holds, and what only the process that ran the
 * search knows.
 */
export interface DocumentInput {
  readonly identity: StudyIdentity;
  readonly goal: Goal;
  readonly trials: readonly TrialLine[];
  readonly validation: ValidationScores | undefined;
  readonly ended: Ending;
  readonly folder: string;
  readonly output: string | null;
  /**
   * False where the folder has no recipe of the mean of the last of the run, as one of an earlier version.
   */
  readonly reference?: boolean;
  /** Of this run of the program. */
  readonly merges: { readonly merges: number; readonly reads: number };
  /** Of the checkpoints as they were found; trials alone do not tell. */
  readonly report?: MemberReport;
  readonly warnings: readonly Warning[];
}

/** What is concluded of one leg. */
export interface ConcludedLeg {
  readonly space: StudiedSpace;
  /** Null where recipes lie in no space. */
  readonly stored: StoredSpace | null;
  readonly trials: readonly TrialLine[];
  readonly baselines: readonly Pick<Baseline, 'name' | 'label' | 'trial'>[];
  readonly concluded: Concluded;
}

/**
 * Conclusions of every leg of a search, from its trials alone. @param folder that holds a recipe of the mean
 * of the last of the run; null where nobody is told of it
 */
export function concludedLegs(
  identity: StudyIdentity,
  goal: Goal,
  all: readonly TrialLine[],
  validation: ValidationScores | undefined,
  folder: string | null,
): readonly ConcludedLeg[] {
  return identity.legs.map((space, index) => {
    const trials = all.filter(({ leg }) => leg === index).sort((a, b) => a.id - b.id);
    const baselines = baselinesOf(identity, space, trials, goal);
    const stored = storedOf(space, identity);
    const concluded = conclude({
      goal,
      noise: identity.noise,
      seed: identity.seed,
      trials,
      space: stored,
      baselines,
      validation,
      referenceCommand: folder === null ? undefined : ['merge', 'run', join(folder, REFERENCE_RECIPE)].map(shellQuote).join(' '),
    });
    return { space, stored, trials, baselines, concluded };
  });
}

function storedOf({ name, parameters, members }: StudiedSpace, identity: StudyIdentity): StoredSpace | null {
  if (parameters.length === 0) return null;
  return storedSpace(
    name as StoredSpace['name'],
    parameters,
    members.map((m) => identity.members[m]!),
  );
}

/** The mean of the last of the run where it is there only to be compared with. */
export function referenceTrial(trials: readonly TrialLine[]): number | undefined {
  return trials.find(({ kind, repeatOf }) => kind === 'sma' && repeatOf === null)?.id;
}

/** The result of a search: a function of its trials, so that the same file gives the same document. */
export function searchDocument(input: DocumentInput): SearchDocument {
  const { identity, goal, trials, validation, folder, output, ended, merges, report, warnings } = input;
  const legs = concludedLegs(identity, goal, trials, validation, input.reference === false ? null : folder);
  const newest = legs.at(-1)!;
  const { concluded } = newest;
  const best = bestOf(newest);
  return {
    schema: 'ckpt-merge/search',
    version: 1,
    kind: identity.kind === 'soup' ? 'soup' : 'search',
    inputs: identity.inputs,
    members: identity.pool.map((m) => ({
      path: identity.members[m]!.path,
      step: identity.members[m]!.step,
      tokens: identity.members[m]!.tokens,
    })),
    ...memberCounts(report, identity.pool.length),
    space: { name: newest.space.name as SearchDocument['space']['name'], parameters: newest.space.parameters },
    sampler: identity.sampler,
    seed: identity.seed,
    evaluator: identity.evaluator,
    metric: identity.metrics.length === 0 ? null : identity.metrics.join(' '),
    goal,
    noise: identity.noise,
    noiseStd: concluded.noiseStd,
    best,
    baselines: newest.baselines.map((baseline) => withScores(baseline, newest, goal)),
    trials: [...trials].sort((a, b) => a.id - b.id).map(asTrial),
    posterior: drawingOf(newest),
    chain: legs.length === 1 ? null : legs.map((leg) => pairOf(leg, identity)),
    ...greedyOf(identity, trials, goal),
    // Where nothing differs, the best lies nowhere.
    onBounds: newest.stored === null || concluded.flat ? [] : boundsOf(newest.stored, best?.params ?? null),
    validation: concluded.validation,
    conclusion: legs.length === 1 ? concluded.conclusion : ofNewestPair(concluded.conclusion),
    ended,
    folder,
    output,
    ...merges,
    ...spentOn(trials),
    warnings,
  };
}

/** Of a chain the newest pair is what the output is of; another pair may have scored better. */
function ofNewestPair(conclusion: Conclusion): Conclusion {
  return { ...conclusion, text: `Of the newest pair: ${conclusion.text}` };
}

function greedyOf(identity: StudyIdentity, trials: readonly TrialLine[], goal: Goal): Pick<SearchDocument, 'greedy'> {
  const greedy = identity.kind === 'soup' ? greedySoup(identity, trials, goal).soup : null;
  return greedy === null ? {} : { greedy };
}

function bestOf({ concluded: { best, posterior }, trials }: ConcludedLeg): BestTrial | null {
  const trial = trials.find(({ id }) => id === best);
  if (trial === undefined) return null;
  const { id, params, weights, score, stderr } = trial;
  return { trial: id, params, weights, score: score!, stderr, posterior: posterior.get(id) ?? null };
}

function drawingOf({ stored, concluded }: ConcludedLeg): PosteriorDrawing | null {
  return stored === null ? null : posteriorDrawing(concluded.predict, stored);
}

/** The recipes that a leg is measured against, as far as they were tried. */
function baselinesOf(
  { members, pool, last }: StudyIdentity,
  space: StudiedSpace,
  trials: readonly TrialLine[],
  goal: Goal,
): ConcludedLeg['baselines'] {
  const of = (kind: TrialLine['kind']) => trials.find((trial) => trial.kind === kind && trial.repeatOf === null);
  // Siblings often stand at the same step.
  const distinct = new Set(pool.map((m) => members[m]!.step)).size === pool.length;
  const label = ({ step, path }: Pick<TrialWeight, 'step' | 'path'>) => (distinct && step !== null ? `step ${step}` : path);
  const count = space.members.length;
  const found: ConcludedLeg['baselines'][number][] = [];
  const newest = of('newest');
  if (newest !== undefined) found.push({ name: 'newest', label: `newest (${label(members[space.members.at(-1)!]!)})`, trial: newest.id });
  const uniform = of('uniform');
  if (uniform !== undefined) found.push({ name: 'uniform', label: `mean of all ${count}`, trial: uniform.id });
  // SMA is the uniform mean itself where the pool is the last of the run.
  const sma = of('sma') ?? (pool.join() === last.join() ? uniform : undefined);
  const lastCount = last.length === SMA_MEMBERS ? String(SMA_MEMBERS) : `${SMA_MEMBERS} (there are ${last.length})`;
  if (sma !== undefined) found.push({ name: 'sma', label: `SMA over the last ${lastCount}`, trial: sma.id });
  const singles = trials.filter(({ kind, score }) => (kind === 'single' || kind === 'newest') && score !== null);
  if (singles.some(({ kind }) => kind === 'single')) {
    const { better } = directionOf(goal);
    // By the mean of its scores: the luckiest of several would be no fair one.
    const each = [...groupBy(singles, ({ recipe }) => recipe).values()].map((same) => ({
      trial: same[0]!,
      mean: same.reduce((sum, { score }) => sum + score! / same.length, 0),
    }));
    const { trial: best } = each.reduce((a, b) => (better(b.mean, a.mean) ? b : a));
    found.push({ name: 'best single', label: `best single (${label(best.weights[0]!)})`, trial: best.id });
  }
  return found;
}

function withScores(baseline: ConcludedLeg['baselines'][number], { concluded: { best }, trials }: ConcludedLeg, goal: Goal): Baseline {
  const own = trials.find(({ id }) => id === baseline.trial)!;
  const winner = trials.find(({ id }) => id === best);
  const comparable = own.score !== null && winner !== undefined && winner.recipe !== own.recipe;
  return {
    ...baseline,
    score: own.score,
    stderr: own.stderr,
    difference: comparable ? difference({ ...winner, score: winner.score! }, { ...own, score: own.score! }, goal) : null,
  };
}

function pairOf(leg: ConcludedLeg, { pool }: StudyIdentity): ChainPair {
  const [older, newer] = leg.space.members.map((m) => pool.indexOf(m));
  const single = leg.trials.find(({ kind }) => kind === 'newest');
  return {
    older: older!,
    newer: newer!,
    best: bestOf(leg),
    single: single?.score ?? null,
    singleStderr: single?.stderr ?? null,
    posterior: drawingOf(leg),
    conclusion: leg.concluded.conclusion,
  };
}
