import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { keysOf, pick } from '../../base/pick.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import { gridWarnings, leftOutOfArms } from '../../merge/grid/findings.ts';
import { grid as makeGrid } from '../../merge/grid/grid.ts';
import { surveyGrid } from '../../merge/grid/survey.ts';
import { batchText } from '../../merge/grid/text.ts';
import type { Survey } from '../../merge/grid/types.ts';
import { refuseUnsound } from '../../merge/members/look.ts';
import { readProvenance } from '../../merge/record/read-provenance.ts';
import { checkMachine } from '../../merge/run.ts';
import { CHECKS, LAUNCH, MACHINE, TRUST } from '../../recipe/options.ts';
import { REPORT_PAGE, RESULT_FILE, replaceFile } from '../optimise/files.ts';
import { validateTrials } from '../optimise/validation.ts';
import type { Candidate } from '../space/types.ts';
import { type StudyMember, type StudyMembers, takenForSaves } from '../study/members.ts';
import { type NextRound, noTrial, runRounds } from '../study/rounds.ts';
import { checkEvaluation, mergingOf, openSession, type Session, type StudyRequest } from '../study/session.ts';
import { keyOf } from '../study/study.ts';
import type { RoundTrial } from '../study/trials.ts';
import { readTrials, type StudiedArm, type StudiedMember, TRIALS_FILE } from '../study/trials-file.ts';
import type { StudyEvent } from '../study/types.ts';
import { type AskedArm, askedArms, candidateOf, lyingOutput, membersHere } from './arms.ts';
import { newestEnd } from './conclude.ts';
import { gridScoresDocument } from './document.ts';
import { givenScores } from './given.ts';
import { type GridScoreOptions, type ResolvedScores, resolveScores } from './options.ts';
import { refusePlaces } from './places.ts';
import { secondSet } from './second-set.ts';
import type { GridScores } from './types.ts';

export interface GridScoreRunOptions {
  /** Ends the work, which `resume` goes on with: every score is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: StudyEvent) => void) | undefined;
}

/** {@link scoreGrid} as a stream of events. Ending the iteration early ends the work. */
export async function* scoreGridEvents(
  options: GridScoreOptions,
  { signal }: Pick<GridScoreRunOptions, 'signal'> = {},
): AsyncGenerator<StudyEvent, GridScores> {
  return yield* eventStream<StudyEvent, GridScores>((emit, either) => runScores(options, emit, either), signal);
}

/**
 * Scores a grid: each checkpoint that its windows end at alone, the plain mean of each window, then every output, and
 * concludes whether the best output is better than these, and whether the best recipe is. Merges are made in batches
 * as there is room for them, and removed once they are scored; what lies in `output` already is scored as it lies.
 * With `resume` a study goes on also where the run has grown, or more is asked of the grid: each recipe is scored once.
 *
 * @throws MergeError E_OPTION, E_GRID_SIZE, E_NO_MEMBERS for the grid; E_SCORES where a folder of results lacks some;
 *   for folder, evaluator and merges as `search` does; `signal.reason` on an abort
 * @example await scoreGrid({ run: 'runs/dense', windows: ['125B', '250B'], decay: ['linear', 'minus-sqrt'],
 * endpoints: 'every:250B', output: 'grid', eval: ['python', 'eval.py', '{model}'], goal: 'maximize' });
 */
export async function scoreGrid(options: GridScoreOptions, { signal, onEvent }: GridScoreRunOptions = {}): Promise<GridScores> {
  return drain(scoreGridEvents(options, { signal }), onEvent);
}

async function runScores(given: GridScoreOptions, emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<GridScores> {
  const resolved = resolveScores(given);
  checkMachine(resolved.making);
  return resolved.options.scores === undefined ? runEvaluated(resolved, emit, signal) : givenScores(resolved, emit, signal);
}

/** What is scored, over members that are known by their content. */
interface KnownArms {
  readonly members: StudyMembers;
  readonly scored: readonly StudiedArm[];
  /** By recipe: those that can be made or lie there, in the order in which they are scored. */
  readonly candidates: ReadonlyMap<string, { readonly arm: AskedArm; readonly candidate: Candidate }>;
  readonly lying: ReadonlyMap<string, StudyMember>;
  /** Members after these that are not there any more. */
  readonly gone: readonly StudiedMember[];
}

async function runEvaluated(
  { options, grid, making }: ResolvedScores,
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
): Promise<GridScores> {
  const { eval: command, validate } = options as GridScoreOptions & Pick<StudyRequest, 'eval'>;
  const request: StudyRequest = {
    ...pick(options, [
      'metrics',
      'metricFile',
      'metricRegex',
      'goal',
      'timeout',
      'evalSetup',
      'evalCancel',
      'evalServer',
      'gpus',
      'parallel',
    ]),
    ...pick(options, ['like', 'names', 'config', 'shardSize', 'baseModelId', 'dir', 'work', 'resume', 'force']),
    ...pick(options, [...keysOf(CHECKS), ...keysOf(MACHINE), ...keysOf(TRUST), ...keysOf(LAUNCH)]),
    eval: command,
    inputs: [options.run],
    dir: options.dir,
  };
  checkEvaluation(request);
  const warned: Warning[] = [];
  if (options.keep) warned.push(...(await made(making, emit, signal)));
  const before = options.resume ? ((await readTrials(join(options.dir, TRIALS_FILE)))?.identity.members ?? []) : [];
  const recorded = before.flatMap(({ path, step, tokens }) => (step === null ? [] : [{ name: path, step, tokens }]));
  // What lies in the way of an output is only not scored as one: nothing is written there.
  const survey = await surveyGrid({ grid, options: { ...making, force: true }, asked: { outputs: [] }, signal, recorded });
  const leftOut = leftOutOfArms(survey.arms);
  if (options.strict) refuseUnsound([...gridWarnings(survey), ...leftOut]);
  await refusePlaces(options, survey);
  const asked = await askedArms(grid, survey, recorded);
  const known = await knownArms(asked, survey, { before, request }, signal);
  const own = { kind: 'grid', legs: [], noise: 'shared', sampler: 'grid', seed: 0, scored: known.scored } as const;
  const sorts = [
    ...new Map([...known.candidates.values()].map(({ candidate }) => [JSON.stringify(candidate.treatment), candidate])).values(),
  ];
  const session = await openSession(request, known.members, own, { emit, signal, sorts, lying: known.lying, gone: known.gone });
  const second = validate === undefined ? undefined : { ...options, validate };
  try {
    for (const { name, reason } of survey.left) emit({ type: 'note', text: `none at ${name}: ${reason}` });
    const tried = new Set(session.study.trials.map(({ recipe }) => recipe));
    const scored = new Set(known.scored.flatMap(({ recipe, is }) => (tried.has(recipe) ? is.map(({ name }) => name) : [])));
    // What was scored need not be there any more.
    const arms = survey.arms.filter(({ name, state }) => state !== 'gone' || !scored.has(name));
    session.study.warn([...warned, ...leftOut, ...gridWarnings({ ...survey, arms })]);
    await runRounds(session, roundsOf(known, session), { signal });
    if (!session.study.trials.some(({ score }) => score !== null)) throw noTrial(session);
    if (second !== undefined) await validated(second, session, known, emit, signal);
    return await finish(session);
  } catch (error) {
    // What is there is shown as well as it can be.
    await finish(session).catch(() => {});
    throw error;
  } finally {
    await session.close();
  }
}

/** Makes the grid where it is to stay. @returns what there was to say of it */
async function made(making: ResolvedScores['making'], emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<readonly Warning[]> {
  const { warnings } = await makeGrid(
    { ...making, ranks: 'off' },
    {
      signal,
      onEvent: (event) => {
        if (event.type === 'batch') emit({ type: 'note', text: batchText(event.batch, event.number) });
      },
    },
  );
  return warnings;
}

async function knownArms(
  asked: readonly AskedArm[],
  { run, arms }: Pick<Survey, 'run' | 'arms'>,
  { before, request }: { readonly before: readonly StudiedMember[]; readonly request: StudyRequest },
  signal: AbortSignal,
): Promise<KnownArms> {
  const all = await takenForSaves(await membersHere(asked, signal), before);
  const here = new Map(all.map(({ step }, m) => [step!, m]));
  const gone = await goneMembers(asked, here, before, run);
  const every = new Map([...here, ...gone.map(({ step }, i): [number, number] => [step!, all.length + i])]);
  const merging = mergingOf(request);
  const scored: StudiedArm[] = [];
  const candidates = new Map<string, { arm: AskedArm; candidate: Candidate }>();
  const lying = new Map<string, StudyMember>();
  for (const arm of asked) {
    const candidate = candidateOf(arm, every);
    if (candidate === null) continue;
    const recipe = keyOf(candidate, { members: all, gone }, merging);
    const { kind, is, endpoint, tokens, flags } = arm;
    scored.push({ kind, recipe, is, endpoint, tokens, flags });
    const there = await lyingOutput(arm, signal);
    if (there !== null) lying.set(recipe, there);
    if (there === null && candidateOf(arm, here) === null) continue;
    if (!candidates.has(recipe)) candidates.set(recipe, { arm, candidate });
  }
  const pool = all.map((_, m) => m);
  const leftOut = [...new Map(arms.flatMap((arm) => arm.leftOut).map((left) => [left.name, left])).values()];
  const report = { asked: all.length + leftOut.length, found: all.length, leftOut, warnings: [] };
  const siblings = run.checkpoints.some(({ ingredient }) => ingredient !== null);
  return { members: { all, pool, last: [], siblings, report, warnings: [] }, scored, candidates, lying, gone };
}

/** Members that are not there any more: as an earlier run of the study knew them, or the record of a merge that is there. */
async function goneMembers(
  asked: readonly AskedArm[],
  here: ReadonlyMap<number, number>,
  before: readonly StudiedMember[],
  run: Run,
): Promise<readonly StudiedMember[]> {
  const gone = new Map(before.flatMap((member) => (member.step === null || here.has(member.step) ? [] : [[member.step, member] as const])));
  for (const { path, members } of asked) {
    if (path === null || members.every(({ step }) => here.has(step) || gone.has(step))) continue;
    const record = await readProvenance(path);
    for (const { name, step, tokens, fingerprint } of record?.recipe.members ?? []) {
      if (step !== null && !here.has(step) && !gone.has(step)) gone.set(step, { path: join(run.path, name), step, tokens, fingerprint });
    }
  }
  return [...gone.values()];
}

/** The newest checkpoint alone, which shows whether the evaluator works; then everything else that was not tried. */
function roundsOf({ candidates }: KnownArms, { study }: Session): NextRound {
  const requests = [...candidates].map(([recipe, { arm, candidate }]) => ({ recipe, request: requestOf(arm, candidate) }));
  return (trials) => {
    const tried = new Set(trials.map(({ recipe }) => recipe));
    const missing = requests.filter(({ recipe }) => !tried.has(recipe)).map(({ request }) => request);
    if (missing.length === 0) return { ended: 'trials' };
    // Numbers that a kill left out come first: then each trial has the one that it would have had.
    const ids = new Set(study.trials.map(({ id }) => id));
    let first = 0;
    while (ids.has(first)) first++;
    let past = first;
    while (past - first < missing.length && !ids.has(past)) past++;
    const next = missing.slice(0, trials.length === 0 ? 1 : past - first);
    return { first, requests: next, total: trials.length + missing.length };
  };
}

function requestOf({ kind, is, endpoint }: AskedArm, candidate: Candidate): RoundTrial {
  const { name } = is[0]!;
  const what =
    kind === 'newest' ? ({ kind: 'single', params: { step: endpoint } } as const) : ({ kind, params: { output: name } } as const);
  return { ...what, candidate, point: null, leg: 0 };
}

/** Scores the chosen output and what it is compared with on the second set. */
async function validated(
  options: Parameters<typeof validateTrials>[0],
  session: Session,
  { candidates }: KnownArms,
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { study, identity } = session;
  const { artefact, outputs, references } = gridScoresDocument({ ...gridInput(session), identity });
  const newest = newestEnd(identity.scored ?? []);
  const compared = new Set([
    artefact.chosen,
    artefact.overNewest?.chosen,
    ...references.flatMap(({ name, endpoint }) => (endpoint === newest ? [name] : [])),
  ]);
  const chosen = [...outputs, ...references].flatMap(({ name, trial }) => (trial !== null && compared.has(name) ? [trial] : []));
  const makeable = [...new Set(chosen)].filter((id) => candidates.has(study.trials.find((trial) => trial.id === id)!.recipe));
  const candidate = (id: number) => candidates.get(study.trials.find((trial) => trial.id === id)!.recipe)!.candidate;
  if (artefact.chosen !== null) await validateTrials(options, session, { chosen: makeable, candidateOf: candidate }, emit, signal);
}

function gridInput({ study, identity, goal }: Session) {
  return { identity, goal: goal(), trials: study.trials, reads: study.merger.reads, warnings: study.warnings };
}

/** Writes result and page into the folder. */
async function finish(session: Session): Promise<GridScores> {
  const { study, folder, identity, records } = session;
  const validation = await secondSet(folder.path, identity, study.trials);
  const input = { ...gridInput(session), validation };
  const document = gridScoresDocument(input);
  const written = gridScoresDocument({
    ...input,
    identity: records.identity(identity),
    trials: study.trials.map((trial) => records.trial(trial)),
    warnings: records.warnings(study.warnings, study.merger.hidden),
  });
  const { gridPage } = await import('./page.ts');
  await replaceFile(join(folder.path, RESULT_FILE), `${JSON.stringify(written, null, 2)}\n`);
  await replaceFile(join(folder.path, REPORT_PAGE), gridPage(written));
  return document;
}
