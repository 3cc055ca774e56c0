import { join } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { isJsonObject, parseJson } from '../../base/json/parse.ts';
import { readWhole } from '../../base/store/store.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import { difference } from '../conclusion/difference.ts';
import { memberCounts, namesAmong } from '../study/members.ts';
import { readStudy, type StoredStudy } from '../study/read.ts';
import { RESULT_FILE } from '../study/report-files.ts';
import { asTrial, MAX_TRIALS_BYTES, type StudyIdentity, spentOn, type TrialLine } from '../study/trials-file.ts';
import { type BranchScore, decayed, recoveredFraction } from './calibrate.ts';
import type { ForecastDocument, ForecastPoint } from './types.ts';

/** All that a document is made of. */
export interface ForecastInput {
  readonly identity: StudyIdentity;
  readonly goal: Goal;
  readonly trials: readonly TrialLine[];
  /** Decays that were really trained; without any nothing is said of decayed scores. */
  readonly branches: readonly BranchScore[];
  /** Of this run of the program. */
  readonly reads: number;
  /** Of the checkpoints as they were found; trials alone do not tell. */
  readonly report?: MemberReport;
  readonly warnings: readonly Warning[];
}

/**
 * The result of a forecast: a function of its trials and branches. @throws MergeError E_CALIBRATE where the
 * branches do not fit the trials
 */
export function forecastDocument(input: ForecastInput): ForecastDocument {
  const { identity, goal, branches, reads } = input;
  const trials = [...input.trials].sort((a, b) => a.id - b.id);
  const { window, method } = windowText(identity);
  const points = pointsOf(identity, trials, window, goal);
  const recovery = branches.length === 0 ? null : recoveredFraction(branches, points, goal);
  return {
    schema: 'ckpt-merge/forecast',
    version: 1,
    inputs: identity.inputs,
    ...memberCounts(input.report, identity.pool.length),
    evaluator: identity.evaluator,
    metric: identity.metrics.length === 0 ? null : identity.metrics.join(' '),
    goal,
    window,
    method,
    points: recovery === null ? points : points.map((point) => ({ ...point, decayed: decayed(point, recovery, goal) })),
    branches: recovery?.branches ?? [],
    recovered: recovery === null ? null : { mean: recovery.mean, spread: recovery.spread },
    trials: trials.map(asTrial),
    reads,
    ...spentOn(trials),
    warnings: [...input.warnings, ...(recovery?.warnings ?? [])],
  };
}

function windowText({ legs }: StudyIdentity): { readonly window: number; readonly method: string } {
  const [window, method, ...others] = legs[0]!.parameters.map(({ name, values }) => ({ name, value: values![0]! }));
  return { window: Number(window!.value), method: [method!.value, ...others.map(({ name, value }) => `${name} ${value}`)].join(', ') };
}

function pointsOf({ members, pool }: StudyIdentity, trials: readonly TrialLine[], window: number, goal: Goal): ForecastPoint[] {
  const by = new Map(trials.map((trial) => [JSON.stringify([trial.kind, trial.params]), trial]));
  const nameOf = namesAmong(pool.map((m) => members[m]!));
  const trialOf = (kind: 'single' | 'window', m: number) => by.get(JSON.stringify([kind, nameOf(members[m]!)]));
  return pool.slice(window - 1).map((m) => {
    const { step, tokens, path } = members[m]!;
    const [single, merged] = [trialOf('single', m), trialOf('window', m)];
    return {
      ...{ step, tokens, path },
      single: single?.score ?? null,
      singleStderr: single?.stderr ?? null,
      merged: merged?.score ?? null,
      mergedStderr: merged?.stderr ?? null,
      difference: differenceOf(merged, single, goal),
      decayed: null,
    };
  });
}

function differenceOf(a: TrialLine | undefined, b: TrialLine | undefined, goal: Goal): ForecastPoint['difference'] {
  const [score, other] = [a?.score ?? null, b?.score ?? null];
  return score === null || other === null ? null : difference({ ...a!, score }, { ...b!, score: other }, goal);
}

/**
 * What the trials of a forecast say: the document that it would end with now, calibrated as it was.
 *
 * @param path `trials.jsonl`, or the folder that it lies in
 * @throws MergeError E_NOT_FOUND, E_TRIALS (also where the trials are of a search), E_NOT_READABLE
 */
export async function readForecast(path: string): Promise<ForecastDocument> {
  const stored = await readStudy(path);
  if (stored.identity.kind !== 'forecast') {
    throw new MergeError('E_TRIALS', `${path}: these are trials of a ${stored.identity.kind}, not of a forecast`, {
      details: { file: path },
    });
  }
  return storedForecast(stored);
}

export async function storedForecast({ folder, identity, trials, goal }: StoredStudy): Promise<ForecastDocument> {
  return forecastDocument({ identity, goal, trials, branches: await branchesIn(folder), reads: 0, warnings: [] });
}

/** A document repeats its trials. */
const MAX_RESULT_BYTES = MAX_TRIALS_BYTES;

/** Real decays are no trials: the result keeps them. */
async function branchesIn(folder: string): Promise<readonly BranchScore[]> {
  try {
    const result = parseJson((await readWhole(join(folder, RESULT_FILE), MAX_RESULT_BYTES)).toString());
    const branches = isJsonObject(result) ? result.branches : null;
    return Array.isArray(branches) && branches.every(isBranch) ? branches : [];
  } catch {
    return [];
  }
}

function isBranch(value: unknown): value is BranchScore {
  if (typeof value !== 'object' || value === null) return false;
  const { step, score } = value as Partial<BranchScore>;
  return Number.isSafeInteger(step) && Number.isFinite(score);
}
