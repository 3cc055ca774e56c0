import { join } from 'node:path';
import { MergeError, type Warning } from '../../../base/errors.ts';
import { Paced } from '../../../base/paced.ts';
import { UNSAID } from '../../../checkpoints/results/goal.ts';
import { RESULT_FILE, replaceFile } from '../../../search/study/report-files.ts';
import type { WatchState } from '../state.ts';
import type { WatchEvent, WatchOptions } from '../types.ts';
import { watchScores } from './document.ts';
import { nowText, watchPage } from './page.ts';
import { nameOf, type Waiting } from './queue.ts';
import type { WatchStudy } from './study.ts';

/** The page that is written anew while the watch lives. */
export const LIVE_PAGE = 'live.html';
/** Seconds after which it is written in any case: readers see by its age whether the watch lives. */
const AT_LEAST = 60;
/** Seconds between two loads of it. */
const REFRESH = 10;
/** Reasons why something was not merged that the page shows. */
const MOST_REASONS = 50;

interface LivePageInput {
  readonly options: WatchOptions;
  readonly study: WatchStudy;
  readonly state: WatchState;
  /** What is being scored now. */
  readonly running: () => Iterable<Waiting>;
  /** Told why the page could not be written; it is tried again with what comes next. */
  readonly fail: (error: unknown) => void;
}

/** Keeps page and document of a watch's scores as its trials and its state are ({@link Paced}). */
export class LivePage {
  readonly #input: LivePageInput;
  readonly #warnings: Warning[] = [];
  readonly #notMerged: { readonly name: string; readonly reason: string }[] = [];
  #merging = '';

  readonly #paced: Paced;

  constructor(input: LivePageInput) {
    this.#input = input;
    this.#paced = new Paced(() => this.#write(true, false).catch(input.fail), { most: 1000 * AT_LEAST });
  }

  get path(): string {
    return join(this.#input.study.folder.path, LIVE_PAGE);
  }

  heard(event: WatchEvent): void {
    switch (event.type) {
      case 'round':
        this.#merging = `merging up to ${event.checkpoint}`;
        break;
      case 'hooking':
        this.#merging = 'running the hook';
        break;
      case 'merged':
        this.#merging = '';
        break;
      case 'failed':
        this.#merging = '';
        this.#notMerged.push({ name: event.checkpoint, reason: event.error.message });
        break;
      case 'waiting':
        this.#notMerged.push({ name: event.path, reason: event.reason });
        break;
      case 'warning':
        this.#warnings.push(event.warning);
        break;
      case 'evaluating':
        break;
      default:
        return;
    }
    this.#notMerged.splice(0, this.#notMerged.length - MOST_REASONS);
    this.draw();
  }

  /** Has the page written soon. */
  draw(): void {
    this.#paced.news();
  }

  /** Writes it as it stays. @param isOver whether the watch is, and not only this run of the program */
  async end(isOver: boolean): Promise<void> {
    await this.#paced.end();
    await this.#write(false, isOver).catch((error: unknown) => {
      if (!(error instanceof MergeError)) throw error;
      this.#input.fail(error);
    });
  }

  async #write(isLive: boolean, isOver: boolean): Promise<void> {
    const { options, study, state, running } = this.#input;
    const { folder, records } = study;
    const { trials } = study.trials;
    const identity = records.identity(study.identity());
    const document = watchScores({
      ...{ identity, goal: study.goal() ?? UNSAID, calibrate: options.calibrate, isOver },
      trials: trials.map((trial) => records.trial(trial)),
      warnings: records.warnings(this.#warnings),
    });
    const took = trials
      .filter(({ status }) => status === 'complete')
      .slice(-10)
      .map(({ seconds }) => seconds);
    const usual = took.length === 0 ? null : took.reduce((a, b) => a + b, 0) / took.length;
    const now = [this.#merging, nowText([...running()].map(nameOf), usual)].filter((text) => text !== '').join('; ');
    const told = ({ name, reason }: { readonly name: string; readonly reason: string }) => ({
      name: records.text(name),
      reason: records.text(reason),
    });
    const page = watchPage(document, {
      live: isLive
        ? {
            now: `${now === '' ? 'waiting for the next checkpoint' : now}.`,
            written: new Date().toISOString(),
            refresh: REFRESH,
            atLeastEvery: AT_LEAST,
          }
        : null,
      waiting: state.waiting.map(nameOf),
      left: state.unscored.map((one) => told({ name: nameOf(one), reason: one.reason })),
      notMerged: this.#notMerged.map(told),
    });
    await replaceFile(join(folder.path, RESULT_FILE), `${JSON.stringify(document, null, 2)}\n`);
    await replaceFile(this.path, page);
  }
}
