import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { gridWarnings, leftOutOfArms } from '../../merge/grid/findings.ts';
import { grid as makeGrid } from '../../merge/grid/grid.ts';
import { batchText, leftTexts } from '../../merge/grid/text.ts';
import { refuseUnsound } from '../../merge/members/look.ts';
import { checkMachine } from '../../merge/run.ts';
import { logsOf } from '../export/logs.ts';
import { validateTrials } from '../optimise/validation.ts';
import type { Candidate } from '../space/types.ts';
import { REPORT_PAGE, RESULT_FILE, replaceFile } from '../study/report-files.ts';
import { type NextRound, noTrial, runRounds } from '../study/rounds.ts';
import { checkEvaluation, checkFolders, openSession, type Session } from '../study/session.ts';
import type { RoundTrial } from '../study/trials.ts';
import { readTrials, TRIALS_FILE } from '../study/trials-file.ts';
import type { StudyEvent } from '../study/types.ts';
import type { AskedArm } from './arms.ts';
import { newestEnd } from './conclude.ts';
import { gridScoresDocument } from './document.ts';
import { givenScores } from './given.ts';
import { type KnownArms, lookAtGrid, studyRequest } from './known.ts';
import { type GridScoreOptions, type ResolvedScores, resolveScores } from './options.ts';
import { refusePlaces } from './places.ts';
import { secondSet, trialsOfSecondSet } from './second-set.ts';
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

async function runEvaluated(resolved: ResolvedScores, emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<GridScores> {
  const { options, making } = resolved;
  const { validate } = options;
  const request = studyRequest(options);
  checkEvaluation(request);
  const observe = logsOf(options.log);
  const warned: Warning[] = [];
  const before = options.resume ? ((await readTrials(join(options.dir, TRIALS_FILE)))?.identity.members ?? []) : [];
  const look = async () => {
    const found = await lookAtGrid(resolved, request, before, signal);
    await refusePlaces(options, found.survey);
    return found;
  };
  if (options.keep) {
    // A grid takes long to make: what scoring it would be refused for is found before.
    const { known, own } = await look();
    await checkFolders(request, known.members, own);
    warned.push(...(await made(making, emit, signal)));
  }
  const { survey, known, own } = await look();
  const leftOut = leftOutOfArms(survey.arms);
  if (options.strict) refuseUnsound([...gridWarnings(survey), ...leftOut]);
  const sorts = [
    ...new Map([...known.candidates.values()].map(({ candidate }) => [JSON.stringify(candidate.treatment), candidate])).values(),
  ];
  const session = await openSession(request, known.members, own, { emit, signal, sorts, lying: known.lying, gone: known.gone, observe });
  const second = validate === undefined ? undefined : { ...options, validate };
  try {
    for (const text of leftTexts(survey.left)) emit({ type: 'note', text });
    const tried = new Set(session.study.trials.map(({ recipe }) => recipe));
    const scored = new Set(known.scored.flatMap(({ recipe, is }) => (tried.has(recipe) ? is.map(({ name }) => name) : [])));
    // What was scored need not be there any more.
    const arms = survey.arms.filter(({ name, state }) => state !== 'gone' || !scored.has(name));
    session.study.warn([...warned, ...leftOut, ...gridWarnings({ ...survey, arms })]);
    const [{ keepLive }, { GRID_TITLE }] = await Promise.all([import('../optimise/live-page.ts'), import('./page.ts')]);
    keepLive(session, { title: GRID_TITLE });
    await runRounds(session, roundsOf(known, session), { signal });
    if (!session.study.trials.some(({ score }) => score !== null)) throw noTrial(session);
    if (second !== undefined) await validated(second, session, known, signal);
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
  signal: AbortSignal,
): Promise<void> {
  const { study, identity } = session;
  const document = gridScoresDocument({ ...gridInput(session), identity });
  const recipeOf = (id: number) => study.trials.find((trial) => trial.id === id)!.recipe;
  const chosen = trialsOfSecondSet(document, newestEnd(identity.scored ?? [])).filter((id) => candidates.has(recipeOf(id)));
  const candidateOf = (id: number) => candidates.get(recipeOf(id))!.candidate;
  if (document.artefact.chosen !== null) await validateTrials(options, session, { chosen, candidateOf }, signal);
}

function gridInput({ study, identity, goal }: Session) {
  return { identity, goal: goal(), trials: study.trials, reads: study.merger.reads, warnings: study.warnings };
}

/** Writes result and page into the folder. */
async function finish(session: Session): Promise<GridScores> {
  const { study, folder, identity, records, live } = session;
  await live.end();
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
