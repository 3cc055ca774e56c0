import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { makeFolder, READABLE } from '../../base/disk/make-folder.ts';
import { isThere } from '../../base/disk/own-file.ts';
import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { refuse } from '../../base/problems.ts';
import { storeOf } from '../../base/store/store.ts';
import { readResult } from '../../checkpoints/results/files.ts';
import { goalOf } from '../../checkpoints/results/goal.ts';
import { harnessReport, reportOf } from '../../checkpoints/results/harness.ts';
import { scoreOf } from '../../checkpoints/results/metric.ts';
import type { Score } from '../../checkpoints/results/types.ts';
import { gridWarnings } from '../../merge/grid/findings.ts';
import { surveyGrid } from '../../merge/grid/survey.ts';
import { plural } from '../../render/format.ts';
import { REPORT_PAGE, RESULT_FILE, replaceFile } from '../optimise/files.ts';
import { recipeKey } from '../space/key.ts';
import { refuseForeignReports } from '../study/folder.ts';
import { Records } from '../study/records.ts';
import { metricTexts, readOptions } from '../study/scorer.ts';
import { type StudyIdentity, TRIALS_FILE, type TrialLine } from '../study/trials-file.ts';
import type { StudyEvent } from '../study/types.ts';
import { type AskedArm, askedArms } from './arms.ts';
import { newestEnd } from './conclude.ts';
import { gridScoresDocument } from './document.ts';
import type { ResolvedScores } from './options.ts';
import { refusePlaces } from './places.ts';
import type { GridScores } from './types.ts';

/** Results that are read at a time. */
const READ_AT_ONCE = 8;
/** Names that a warning shows. */
const SHOWN = 5;

/** A result in a folder of scores, and the name that it goes by. */
interface Given {
  readonly name: string;
  readonly path: string;
  readonly kind: 'file' | 'folder';
}

/**
 * Concludes from results that another pipeline wrote, a file NAME.json or a folder NAME for each output, checkpoint
 * alone (`step6000`) and plain mean (as the output of the method sma). Merges nothing, and reads no weights.
 *
 * @throws MergeError E_SCORES naming every output without a result, or where there is neither a newest checkpoint nor a
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
  const survey = await surveyGrid({ grid, options: { ...making, force: true }, asked: { outputs: [] }, signal });
  await refusePlaces(options, survey);
  const arms = await askedArms(grid, survey, []);
  const results = await resultsIn(folder);
  const recipes = arms.map(recipeOf);
  const alike = groupBy(arms.keys(), (i) => recipes[i]!);
  // What is one merge has a result under any of its names, a plain mean under that of an output that it is: its own first.
  const found = new Map(
    arms.map((arm, i) => {
      const names = [i, ...alike.get(recipes[i]!)!].flatMap((other) => arms[other]!.is.map(({ name }) => name));
      return [arm, names.flatMap((name) => results.get(name) ?? [])[0]] as const;
    }),
  );
  refuseMissing(folder, arms, found);
  const reading = readOptions({ ...options, eval: '' });
  const scores = new Map<AskedArm, Score>();
  await mapBounded([...found], READ_AT_ONCE, async ([arm, result]) => {
    signal.throwIfAborted();
    if (result === undefined) return;
    const report =
      result.kind === 'folder'
        ? await harnessReport(result.path, 0)
        : reportOf(await readResult(result.path), `${result.name}.json`, result.path);
    if (report === null) {
      throw new MergeError('E_SCORES', `${result.path}: there is neither a score nor a result of lm-eval or lighteval`, {
        details: { file: result.path },
      });
    }
    scores.set(arm, await scoreOf(report, reading.metrics ?? []));
  });
  const told = [...scores.values()][0]!;
  const goal = goalOf(options.goal, told, reading);
  const { identity, trials } = asStudy({ options, grid, making }, arms, recipes, scores);
  const warnings: Warning[] = [...gridWarnings(survey), ...strangers(folder, arms, results), ...withoutReferences(arms, found)];
  for (const { name, reason } of survey.left) emit({ type: 'note', text: `none at ${name}: ${reason}` });
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

/** What lies in a folder of scores, by name. @throws MergeError E_NOT_FOUND, E_SCORES where it is none */
async function resultsIn(folder: string): Promise<ReadonlyMap<string, Given>> {
  const entries = await storeOf(folder).list(folder);
  if (entries === null) throw new MergeError('E_NOT_FOUND', `${folder}: there is no such folder`, { details: { file: folder } });
  const given = entries.flatMap(({ name, kind }): Given[] => {
    if (name.startsWith('.')) return [];
    const path = join(folder, name);
    if (kind === 'folder') return [{ name, path, kind }];
    return name.endsWith('.json') ? [{ name: name.slice(0, -'.json'.length), path, kind: 'file' }] : [];
  });
  return new Map(given.map((one) => [one.name, one]));
}

/** @throws MergeError E_SCORES */
function refuseMissing(folder: string, arms: readonly AskedArm[], found: ReadonlyMap<AskedArm, Given | undefined>): void {
  const missing = arms.filter((arm) => arm.kind === 'output' && found.get(arm) === undefined);
  const help = `Put there NAME.json ({"score": 0.61}, or a file of lm-eval) or a folder NAME with its results; or leave out what was not scored of the axes.`;
  refuse(
    missing.map(
      ({ is }): Conflict => ({ code: 'E_SCORES', message: `${folder}: there is no result of ${is[0]!.name}`, file: folder, help }),
    ),
    { several: (count) => `${count} outputs have no result` },
  );
  const end = newestEnd(arms.map((arm) => ({ ...arm, recipe: '' })));
  const compared = arms.filter(({ kind, endpoint }) => kind !== 'output' && endpoint === end);
  if (compared.some((arm) => found.get(arm) !== undefined)) return;
  const names = compared.map(({ is }) => is[0]!.name);
  throw new MergeError(
    'E_SCORES',
    `${folder}: there is nothing to compare with: neither the newest checkpoint alone (${names[0]}) nor a plain mean (${names.slice(1).join(', ')})`,
    {
      details: { file: folder },
      help: `Score the checkpoint at the end of the newest windows, and put its result there as ${names[0]}.json or in a folder ${names[0]}.`,
    },
  );
}

/** What is no output of the grid. */
function strangers(folder: string, arms: readonly AskedArm[], results: ReadonlyMap<string, Given>): Warning[] {
  const known = new Set(arms.flatMap(({ is }) => is.map(({ name }) => name)));
  const others = [...results.keys()].filter((name) => !known.has(name));
  if (others.length === 0) return [];
  return [{ code: 'W_SCORES', message: `${folder}: ${few(others)}: no output of this grid has that name; not used` }];
}

function withoutReferences(arms: readonly AskedArm[], found: ReadonlyMap<AskedArm, Given | undefined>): Warning[] {
  const missing = arms.filter((arm) => arm.kind !== 'output' && found.get(arm) === undefined).map(({ is }) => is[0]!.name);
  if (missing.length === 0) return [];
  return [{ code: 'W_SCORES', message: `nothing is compared with ${few(missing)}, of which there is no result` }];
}

function few(names: readonly string[]): string {
  return names.length > SHOWN ? `${names.slice(0, SHOWN).join(', ')} and ${plural(names.length - SHOWN, 'other')}` : names.join(', ');
}

/** What identifies a merge of which nothing is read: its members go by their steps. */
function recipeOf({ members, weights, treatment = {} }: AskedArm): string {
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
  scores: ReadonlyMap<AskedArm, Score>,
): { readonly identity: StudyIdentity; readonly trials: readonly TrialLine[] } {
  const trials = arms.flatMap((arm, id): TrialLine[] => {
    const score = scores.get(arm);
    // What has several names may have a result under each: the first one is taken.
    if (score === undefined || recipes.indexOf(recipes[id]!) < id) return [];
    const { kind, is, endpoint, members, weights } = arm;
    return [
      {
        id,
        kind: kind === 'newest' ? 'single' : kind,
        params: kind === 'newest' ? { step: endpoint } : { output: is[0]!.name },
        weights: members.map(({ checkpoint, name, step }, i) => ({ path: checkpoint?.path ?? name, step, weight: weights[i]! })),
        ...{ parts: [], recipe: recipes[id]!, status: 'complete', reason: null, by: null, proposals: null, repeatOf: null },
        ...{ score: score.score, stderr: score.stderr, metrics: score.metrics, source: score.source, items: score.items },
        ...{ seconds: 0, mergeSeconds: 0, cost: null, time: '', point: null, leg: 0, round: 0, roundSize: arms.length, elapsed: 0 },
        higherIsBetter: score.higherIsBetter,
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
