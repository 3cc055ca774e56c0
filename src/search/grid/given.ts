import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { makeFolder, READABLE } from '../../base/disk/make-folder.ts';
import { isThere } from '../../base/disk/own-file.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { notHere } from '../../base/not-here.ts';
import { gridWarnings, leftOutOfArms } from '../../merge/grid/findings.ts';
import { surveyGrid } from '../../merge/grid/survey.ts';
import { leftTexts } from '../../merge/grid/text.ts';
import { refuseUnsound } from '../../merge/members/look.ts';
import { plural } from '../../render/format.ts';
import { checkLog, writeLog } from '../export/log-kinds.ts';
import { logTargets } from '../export/logs.ts';
import { recipeKey } from '../space/key.ts';
import { refuseForeignReports } from '../study/folder.ts';
import { Records } from '../study/records.ts';
import { REPORT_PAGE, RESULT_FILE, replaceFile } from '../study/report-files.ts';
import { metricTexts, readOptions } from '../study/scorer.ts';
import { type StudyIdentity, TRIALS_FILE, type TrialLine } from '../study/trials-file.ts';
import type { StudyEvent } from '../study/types.ts';
import { type AskedArm, askedArms } from './arms.ts';
import { newestEnd } from './conclude.ts';
import { gridScoresDocument } from './document.ts';
import type { ResolvedScores } from './options.ts';
import { refusePlaces } from './places.ts';
import { goalOfResults, isResult, RESULT_HELP, type Result, readResults, resultsIn, type Said } from './results.ts';
import type { GridScores } from './types.ts';

/** Names that a warning shows. */
const SHOWN = 5;

/**
 * Concludes from results that another pipeline wrote, a file NAME.json or a folder NAME for each output, checkpoint
 * alone (`step6000`) and plain mean (as the output of the method sma). Merges nothing, and reads no weights.
 *
 * @throws MergeError E_SCORES naming every output without a result, results that cannot be read or contradict each
 *   other, or where there is neither a newest checkpoint nor a
 *   plain mean to compare with; E_METRIC, E_GOAL; E_OUTPUT_EXISTS where the folder for the page holds a study
 */
export async function givenScores(
  { options, grid, making }: ResolvedScores,
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
): Promise<GridScores> {
  const folder = options.scores!;
  await refuseStudy(options.dir);
  await refuseForeignReports(options.dir);
  const targets = logTargets(options.log ?? []);
  for (const target of targets) await checkLog(target, options.dir, null);
  const survey = await surveyGrid({ grid, options: { ...making, force: true }, asked: { outputs: [] }, signal });
  const leftOut = leftOutOfArms(survey.arms);
  if (options.strict) refuseUnsound([...gridWarnings(survey), ...leftOut]);
  await refusePlaces(options, survey);
  const arms = await askedArms(grid, survey, []);
  const results = await resultsIn(folder);
  const recipes = arms.map(mergeKey);
  // What is one merge has a result under any of its names, a plain mean also under that of an output that it is.
  const merges = [...groupBy(arms.keys(), (i) => recipes[i]!)].map(([recipe, places]) => {
    const names = new Set(places.flatMap((i) => arms[i]!.is.map(({ name }) => name)));
    return { recipe, results: [...names].flatMap((name) => results.get(name) ?? []) };
  });
  const reading = readOptions({ ...options, eval: '' });
  const there = new Set(merges.flatMap(({ recipe, results }) => (results.length > 0 ? [recipe] : [])));
  const without = arms.filter((_, i) => !there.has(recipes[i]!));
  refuseMissing(folder, without);
  const read = await readResults(
    merges.map(({ results }) => results),
    reading,
    signal,
  );
  const said = new Map(merges.flatMap(({ recipe }, i) => (read[i] == null ? [] : [[recipe, read[i]] as const])));
  refuseUncompared(
    folder,
    arms,
    arms.filter((_, i) => said.get(recipes[i]!)?.score != null),
  );
  const goal = goalOfResults(options.goal, [...said.values()], reading);
  const { identity, trials } = asStudy({ options, grid, making }, arms, recipes, said);
  const warnings: Warning[] = [
    ...leftOut,
    ...gridWarnings(survey),
    ...strangers(folder, arms, results),
    ...withoutReferences(without),
    ...withoutScore(folder, [...said.values()]),
  ];
  for (const text of leftTexts(survey.left)) emit({ type: 'note', text });
  for (const warning of warnings) emit({ type: 'warning', warning });
  const input = { identity, goal, trials, reads: 0, warnings };
  const document = gridScoresDocument(input);
  await onOutput('create', options.dir, () => makeFolder(options.dir, READABLE));
  const records = new Records(options.dir, identity);
  const written = gridScoresDocument({
    ...input,
    identity: records.identity(identity),
    trials: trials.map((trial) => records.trial(trial)),
    warnings: records.warnings(warnings),
  });
  const { gridPage } = await import('./page.ts');
  await replaceFile(join(options.dir, RESULT_FILE), `${JSON.stringify(written, null, 2)}\n`);
  await replaceFile(join(options.dir, REPORT_PAGE), gridPage(written));
  const stored = { identity: records.identity(identity), trials: trials.map((trial) => records.trial(trial)) };
  for (const target of targets) await writeLog(target, options.dir, stored, REPORT_PAGE);
  return document;
}

/** @throws MergeError E_OUTPUT_EXISTS */
async function refuseStudy(dir: string): Promise<void> {
  if (!(await isThere(join(dir, TRIALS_FILE)))) return;
  throw new MergeError('E_OUTPUT_EXISTS', `${dir} holds trials, and results of another pipeline are no part of them`, {
    details: { file: dir },
    help: 'Name another folder for the page with --dir.',
  });
}

/** @throws MergeError E_SCORES naming all */
function refuseMissing(folder: string, without: readonly AskedArm[]): void {
  const missing = without.filter(({ kind }) => kind === 'output').map(({ is }) => is[0]!.name);
  if (missing.length === 0) return;
  throw new MergeError('E_SCORES', `${folder}: there is no result of ${missing.join(', ')}`, {
    details: { file: folder },
    help: RESULT_HELP,
  });
}

/** @throws MergeError E_SCORES where no output has a score, or nothing that those at the newest end are compared with */
function refuseUncompared(folder: string, arms: readonly AskedArm[], scored: readonly AskedArm[]): void {
  if (!scored.some(({ kind }) => kind === 'output')) {
    const message = `${folder}: no output has a score: every result is NaN, or says that there is none`;
    throw new MergeError('E_SCORES', message, { details: { file: folder }, help: RESULT_HELP });
  }
  const end = newestEnd(arms.map((arm) => ({ ...arm, recipe: '' })));
  const compared = arms.filter(({ kind, endpoint }) => kind !== 'output' && endpoint === end);
  if (compared.some((arm) => scored.includes(arm))) return;
  const names = compared.map(({ is }) => is[0]!.name);
  throw new MergeError(
    'E_SCORES',
    `${folder}: there is nothing to compare with: neither the newest checkpoint alone (${names[0]}) nor a plain mean (${names.slice(1).join(', ')}) has a score`,
    {
      details: { file: folder },
      help: `Score the checkpoint at the end of the newest windows, and put its result there as ${names[0]}.json or in a folder ${names[0]}.`,
    },
  );
}

/** What is no output of the grid. */
function strangers(folder: string, arms: readonly AskedArm[], results: ReadonlyMap<string, unknown>): Warning[] {
  const known = new Set(arms.flatMap(({ is }) => is.map(({ name }) => name)));
  const others = [...results.keys()].filter((name) => !known.has(name));
  if (others.length === 0) return [];
  const [they, them] = others.length === 1 ? ['belongs', 'it'] : ['belong', 'them'];
  return [
    {
      code: 'W_SCORES',
      message: `${folder}: ${few(others)} ${they} to no output of the grid as it is asked now, and nothing is concluded from ${them}`,
    },
  ];
}

function withoutReferences(without: readonly AskedArm[]): Warning[] {
  const missing = without.map(({ is }) => is[0]!.name);
  if (missing.length === 0) return [];
  return [{ code: 'W_SCORES', message: `nothing is compared with ${few(missing)}, of which there is no result` }];
}

/** Results of evaluations that failed, which the report shows as such. */
function withoutScore(folder: string, said: readonly Said[]): Warning[] {
  const failed = said.flatMap(({ shown, reason }) => (reason === null ? [] : [`${shown} (${reason})`]));
  if (failed.length === 0) return [];
  return [{ code: 'W_SCORES', message: `${folder}: shown without a score: ${few(failed)}` }];
}

function few(names: readonly string[]): string {
  return names.length > SHOWN ? `${names.slice(0, SHOWN).join(', ')} and ${plural(names.length - SHOWN, 'other')}` : names.join(', ');
}

/**
 * Of what is scored of a grid, the first of each merge that has no result yet in a folder, under none of its names. A
 * folder that is not there has none; a result that cannot be read is none.
 */
export async function withoutResult(folder: string, arms: readonly AskedArm[], signal?: AbortSignal): Promise<readonly AskedArm[]> {
  // What is no path of this machine is refused as everywhere.
  const results = isThere(folder) || notHere(folder) !== null ? await resultsIn(folder) : new Map<string, readonly Result[]>();
  const left: AskedArm[] = [];
  for (const merge of groupBy(arms, mergeKey).values()) {
    const named = [...new Set(merge.flatMap(({ is }) => is.map(({ name }) => name)))].flatMap((name) => results.get(name) ?? []);
    const sound = await mapBounded(named, RESULTS_AT_ONCE, (result) => {
      signal?.throwIfAborted();
      return isResult(result);
    });
    if (!sound.includes(true)) left.push(...merge);
  }
  return left;
}

/** Results that are looked at at a time. */
const RESULTS_AT_ONCE = 8;

/** What identifies a merge of which nothing is read: its members go by their steps. */
export function mergeKey({ members, weights, treatment = {} }: AskedArm): string {
  return recipeKey({
    candidate: { weights, parts: [] },
    fingerprints: members.map(({ step }) => String(step)),
    policies: [JSON.stringify(treatment)],
    dtype: null,
  });
}

/** Scores as trials of a study: members are known by their places in the run, of which nothing is read. */
function asStudy(
  { options, grid }: ResolvedScores,
  arms: readonly AskedArm[],
  recipes: readonly string[],
  said: ReadonlyMap<string, Said>,
): { readonly identity: StudyIdentity; readonly trials: readonly TrialLine[] } {
  const trials = arms.flatMap((arm, id): TrialLine[] => {
    const own = said.get(recipes[id]!);
    if (own === undefined || recipes.indexOf(recipes[id]!) < id) return [];
    const { score, reason } = own;
    const { kind, is, endpoint, members, weights } = arm;
    return [
      {
        id,
        kind: kind === 'newest' ? 'single' : kind,
        params: kind === 'newest' ? { step: endpoint } : { output: is[0]!.name },
        weights: members.map(({ checkpoint, name, step }, i) => ({ path: checkpoint?.path ?? name, step, weight: weights[i]! })),
        ...{
          parts: [],
          recipe: recipes[id]!,
          status: score === null ? 'failed' : 'complete',
          reason,
          by: null,
          proposals: null,
          repeatOf: null,
        },
        ...{ score: score?.score ?? null, stderr: score?.stderr ?? null, metrics: score?.metrics ?? {}, items: score?.items ?? null },
        source: score?.source ?? null,
        ...{ seconds: 0, mergeSeconds: 0, cost: null, time: '', point: null, leg: 0, round: 0, roundSize: arms.length, elapsed: 0 },
        higherIsBetter: score?.higherIsBetter ?? null,
      },
    ];
  });
  const saves = new Map(arms.flatMap(({ members }) => members.map((save) => [save.step, save] as const)));
  const members = [...saves.values()].map(({ name, step, tokens, checkpoint }) => ({
    path: checkpoint?.path ?? name,
    step,
    tokens,
    fingerprint: '',
  }));
  const identity: StudyIdentity = {
    ...{ kind: 'grid', inputs: [grid.run], members, pool: members.map((_, m) => m), last: [], legs: [] },
    ...{ evaluator: `results in ${options.scores}`, metrics: metricTexts(options.metrics), goal: options.goal ?? null },
    ...{ noise: 'shared', sampler: 'grid', seed: 0, policies: [], dtype: null },
    scored: arms.map(({ kind, is, endpoint, tokens, flags }, i) => ({ kind, recipe: recipes[i]!, is, endpoint, tokens, flags })),
  };
  return { identity, trials };
}
