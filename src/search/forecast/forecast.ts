import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { logsOf } from '../export/logs.ts';
import { REPORT_PAGE, RESULT_FILE, replaceFile } from '../study/report-files.ts';
import { type NextRound, noTrial, runRounds } from '../study/rounds.ts';
import { checkedMembers, openSession, type Session } from '../study/session.ts';
import type { RoundTrial } from '../study/trials.ts';
import type { StudyEvent } from '../study/types.ts';
import { type BranchScore, checkBranches } from './calibrate.ts';
import { type ForecastInput, forecastDocument } from './document.ts';
import { DEFAULT_WINDOW, type ForecastOptions, resolveForecast } from './options.ts';
import type { ForecastDocument } from './types.ts';
import { slidingWindow, windowsOf } from './windows.ts';

export interface ForecastRunOptions {
  /** Ends the forecast, which `resume` goes on with: every score is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: StudyEvent) => void) | undefined;
}

/** {@link forecast} as a stream of events. Ending the iteration early ends the forecast. */
export async function* forecastEvents(
  options: ForecastOptions,
  { signal }: Pick<ForecastRunOptions, 'signal'> = {},
): AsyncGenerator<StudyEvent, ForecastDocument> {
  return yield* eventStream<StudyEvent, ForecastDocument>((emit, either) => runForecast(options, emit, either), signal);
}

/**
 * The score of merges along a run, each a window of neighbouring checkpoints, beside that of the checkpoint
 * alone that the window ends at. An estimate of the merged score, and no more: only with the scores of real
 * decays is anything said of what a decay would score.
 *
 * @throws MergeError E_OPTION for the request, or where the run is shorter than a window; E_CALIBRATE where
 *   the decays do not fit the scores, which are kept; for folder, evaluator and merges as `search` does;
 *   `signal.reason` on an abort
 * @example const { points } = await forecast({ inputs: ['run'], window: 10, eval: ['python', 'eval.py', '{model}'],
 * goal: 'minimize' });
 */
export async function forecast(options: ForecastOptions, { signal, onEvent }: ForecastRunOptions = {}): Promise<ForecastDocument> {
  return drain(forecastEvents(options, { signal }), onEvent);
}

async function runForecast(given: ForecastOptions, emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<ForecastDocument> {
  const resolved = resolveForecast(given);
  const observe = logsOf(resolved.log);
  const members = await checkedMembers(resolved, signal);
  const { window = slidingWindow(members.pool.length) } = resolved;
  const options = { ...resolved, window };
  const { requests, parameters, warnings } = await windowsOf(options, members);
  const ends = members.pool.slice(options.window - 1).map((m) => members.all[m]!.step);
  checkBranches(options.calibrate ?? [], ends);
  const leg = { name: 'windows', parameters, axes: [], members: members.pool };
  const own = { kind: 'forecast', legs: [leg], noise: 'shared', sampler: 'windows', seed: 0 } as const;
  const session = await openSession(options, members, own, { emit, signal, observe });
  try {
    refuseOthers(session, requests);
    if (given.window === undefined && window < DEFAULT_WINDOW) {
      const text = `there are ${members.pool.length} checkpoints: windows are of ${window} of them, where of more they would be of ${DEFAULT_WINDOW}`;
      emit({ type: 'note', text });
    }
    session.study.warn(warnings);
    const [{ keepLive }, { FORECAST_TITLE, liveForecast }] = await Promise.all([import('../optimise/live-page.ts'), import('./page.ts')]);
    keepLive(session, { title: FORECAST_TITLE, sections: liveForecast });
    await runRounds(session, roundsOf(requests), { signal });
    if (!session.study.trials.some(({ score }) => score !== null)) throw noTrial(session);
    return await finish(session, options.calibrate ?? []);
  } catch (error) {
    // What is there is shown as well as it can be, without a calibration that may be what is wrong.
    await finish(session, []).catch(() => {});
    throw error;
  } finally {
    await session.close();
  }
}

/**
 * The newest checkpoint alone, which shows whether the evaluator works; then everything else, merged in one
 * read.
 */
function roundsOf(requests: readonly RoundTrial[]): NextRound {
  return (trials) => {
    if (trials.length === requests.length) return { ended: 'trials' };
    const total = requests.length;
    return trials.length === 0 ? { first: 0, requests: requests.slice(0, 1), total } : { first: 1, requests: requests.slice(1), total };
  };
}

/** A file of decay factors or rates may have another content than when the forecast was begun. */
function refuseOthers({ study, folder }: Session, requests: readonly RoundTrial[]): void {
  const other = study.trials.find(({ id, recipe }) => requests[id] === undefined || study.keyOf(requests[id].candidate) !== recipe);
  if (other === undefined) return;
  throw new MergeError('E_SEARCH_STATE', `${folder.path}: trial ${other.id} is of a merge with other weights than this forecast has`, {
    details: { file: folder.path },
  });
}

/** Writes result and page into the folder. @throws MergeError E_CALIBRATE before anything is written */
async function finish(session: Session, branches: readonly BranchScore[]): Promise<ForecastDocument> {
  const { study, folder, identity, records, live } = session;
  await live.end();
  const input: ForecastInput = {
    identity,
    goal: session.goal(),
    trials: study.trials,
    branches,
    reads: study.merger.reads,
    report: session.members.report,
    warnings: study.warnings,
  };
  const document = forecastDocument(input);
  const written = forecastDocument({
    ...input,
    identity: records.identity(identity),
    trials: study.trials.map((trial) => records.trial(trial)),
    warnings: records.warnings(study.warnings, study.merger.hidden),
  });
  const { forecastPage } = await import('./page.ts');
  await replaceFile(join(folder.path, RESULT_FILE), `${JSON.stringify(written, null, 2)}\n`);
  await replaceFile(join(folder.path, REPORT_PAGE), forecastPage(written));
  return document;
}
