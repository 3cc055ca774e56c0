import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { Paced } from '../../base/paced.ts';
import { REPORT_PAGE } from '../study/report-files.ts';
import type { ObservedStudy, TrialObserver } from '../study/session.ts';
import { checkLog, type LogTarget, parseLogTarget, writeLog } from './log-kinds.ts';

export interface LogsInput extends ObservedStudy {
  /** `csv`, `tensorboard=DIR` …: see {@link parseLogTarget}. */
  readonly log: readonly string[];
  /** Name of the page of the trials. */
  readonly page: string;
}

/** What opens the logs of a study, for its session. @throws MergeError E_OPTION at once */
export function logsOf(log: readonly string[] = []): (study: ObservedStudy) => Promise<TrialObserver> {
  logTargets(log);
  return (study) => ScoreLogs.open({ ...study, log, page: REPORT_PAGE });
}

/** The targets of options. @throws MergeError E_OPTION, also for one that is named twice */
export function logTargets(log: readonly string[]): readonly LogTarget[] {
  const option = optionName('log');
  const targets = log.map((text) => parseLogTarget(text, option));
  const twice = targets.find(({ kind, path }, i) => targets.findIndex((other) => other.kind === kind && other.path === path) < i);
  if (twice !== undefined) throw new MergeError('E_OPTION', `${option} names ${twice.kind} twice`, { help: 'Keep one of the two.' });
  return targets;
}

/** Brings logs to where the trials of a study are, beside its work ({@link Paced}). */
export class ScoreLogs implements TrialObserver {
  readonly #input: LogsInput;
  readonly #targets: readonly LogTarget[];
  readonly #paced = new Paced(() => this.#write());

  private constructor(input: LogsInput, targets: readonly LogTarget[]) {
    this.#input = input;
    this.#targets = targets;
  }

  /** @throws MergeError for what could not be logged to whatever the trials are: E_OPTION, E_OUTPUT_EXISTS */
  static async open(input: LogsInput): Promise<ScoreLogs> {
    const targets = logTargets(input.log);
    for (const target of targets) await checkLog(target, input.folder, input.stored());
    const logs = new ScoreLogs(input, targets);
    logs.update();
    return logs;
  }

  /** To be called after each trial; returns at once. */
  update(): void {
    if (this.#targets.length > 0) this.#paced.news();
  }

  /** Writes what is missing, and waits for it. */
  async end(): Promise<void> {
    await this.#paced.end();
    await this.#write();
  }

  async #write(): Promise<void> {
    const { folder, page, stored, warn } = this.#input;
    const now = stored();
    for (const target of this.#targets) {
      try {
        await writeLog(target, folder, now, page);
      } catch (error) {
        if (!(error instanceof MergeError)) throw error;
        warn([{ code: 'W_LOG', message: error.message }]);
      }
    }
  }
}
