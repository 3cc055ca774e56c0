import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { onOutput } from '../../base/disk/io-error.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { exitText, runInGroup } from '../../base/process/process-group.ts';
import type { ReadOptions } from '../../checkpoints/results/metric.ts';
import type { Score } from '../../checkpoints/results/types.ts';
import { Attempt, type AttemptSettings } from './attempt.ts';
import { Log, Tail } from './output.ts';
import { type CommandText, checkPlaceholders } from './placeholders.ts';
import { parseServer } from './server.ts';
import type { EvaluationRequest } from './types.ts';

/** Seconds before an evaluation that asked for it is tried again. */
const RETRY_PAUSES = [10, 60, 300];
/** Of what `--eval-setup` prints, what an error shows. */
const SETUP_BYTES = 4096;

export interface EvaluatorOptions {
  /**
   * Text for `sh -c`, or the words of a program and its arguments, with placeholders: see
   * {@link Placeholders}.
   */
  readonly command: CommandText;
  /** Option that the command was given with, for messages; default `--eval`. */
  readonly option?: string | undefined;
  /** Shell command that prepares for evaluations. */
  readonly setup?: string | undefined;
  /**
   * Shell command that calls off an evaluation which ran elsewhere, as a job of a cluster, when it takes too
   * long or is aborted.
   */
  readonly cancel?: string | undefined;
  /** Seconds that one evaluation may take. */
  readonly timeout?: number | undefined;
  /**
   * Devices, of which each running evaluation gets one, as `{gpu}`, `MERGE_GPU` and `CUDA_VISIBLE_DEVICES`.
   * Without them it gets what this process has.
   */
  readonly gpus?: readonly string[] | undefined;
  readonly reading: ReadOptions;
  /**
   * `sglang=URL`: a server that gets each model's weights before the command runs. One evaluation at a time.
   */
  readonly server?: string | undefined;
}

export interface EvaluationControl {
  readonly signal: AbortSignal;
  /** Told before a pause, how many attempts there were. */
  readonly onRetry?: ((attempt: number, pauseSeconds: number) => void) | undefined;
  readonly onWarning?: ((warning: Warning) => void) | undefined;
}

/** `seconds` and costs are of all attempts, without the pauses between them. */
export type Outcome =
  | { readonly status: 'complete'; readonly score: Score; readonly seconds: number; readonly attempts: number }
  | {
      readonly status: 'failed' | 'skipped';
      readonly reason: string;
      /** The last line that it said, on stderr where it said anything there; null where the reason says it. */
      readonly lastWords: string | null;
      /** The last lines of the log, and of stderr where they are not among those. */
      readonly tail: readonly string[];
      readonly cost: number | null;
      readonly seconds: number;
      readonly attempts: number;
    };

/**
 * Runs a user's command on models and reads their scores. The command is a stranger: it may hang, fork, print
 * without end, or lie; none of that may outlast its evaluation or harm another one.
 *
 * Exit code 0 and a score: complete. 75: the same again after a pause, three times at most. 125: skipped. All
 * others, a time-out, no score, or one that is not finite: failed. What the command left running in its
 * process group when it ended is not waited for, and is ended.
 */
export class Evaluator {
  readonly #setup: string | undefined;
  readonly #settings: AttemptSettings;
  readonly #slots: Slots | null;
  readonly #wait: (ms: number, signal: AbortSignal) => Promise<unknown>;

  /**
   * @param wait replaces the clock between attempts
   * @throws MergeError E_USAGE for a placeholder that does not exist; E_OPTION for one that cannot be quoted
   *   safely, an empty command, or a server that is not known
   */
  constructor(options: EvaluatorOptions, wait = (ms: number, signal: AbortSignal): Promise<unknown> => pause(ms, undefined, { signal })) {
    const { command, option = worded`--eval`, setup, cancel, timeout, gpus = [], reading } = options;
    if ((typeof command === 'string' ? command : (command[0] ?? '')).trim() === '') throw new MergeError('E_OPTION', `${option} is empty`);
    const server = options.server === undefined ? null : parseServer(options.server);
    this.#setup = setup;
    this.#settings = { command, cancel, timeout, reading, server };
    this.#wait = wait;
    // A server has the weights of one model.
    const slots = server === null ? gpus : [gpus[0] ?? ''];
    this.#slots = slots.length === 0 ? null : new Slots(slots);
    const known = ['model', 'out', 'trial', 'gpu', ...(server === null ? [] : (['server'] as const))] as const;
    // A command that asks a server needs no path.
    checkPlaceholders(option, command, known, server === null);
    if (cancel !== undefined) checkPlaceholders(worded`--eval-cancel`, cancel, known);
    if (setup !== undefined) checkPlaceholders(worded`--eval-setup`, setup, []);
  }

  /**
   * Runs the command that prepares for evaluations, if there is one. What it leaves running is ended.
   * @throws MergeError E_EVALUATOR when it fails; `signal.reason` on an abort
   */
  async setup(signal: AbortSignal): Promise<void> {
    const command = this.#setup;
    if (command === undefined) return;
    const output = new Tail(SETUP_BYTES);
    const { server } = this.#settings;
    const env = server === null ? {} : { MERGE_SERVER: server.url };
    const { code, endLeftovers } = await runInGroup(command, { env, signal, onOutput: (chunk) => output.add(chunk) });
    await endLeftovers();
    if (code === 0) return;
    throw new MergeError(
      'E_EVALUATOR',
      worded`--eval-setup failed: it ended with ${exitText(code)}\n$ ${command}\n${output.text()}`.trimEnd(),
      {
        details: { command },
        help: 'Nothing was evaluated: mend the command, then run the same again.',
      },
    );
  }

  /**
   * Scores a model.
   *
   * @throws MergeError E_METRIC where the score cannot be chosen among several; of the side of outputs where
   *   `log` or `out` cannot be written; E_STALE_WEIGHTS, and whatever opening `model` throws, with a server;
   *   `signal.reason` on an abort, after everything was ended
   */
  async evaluate(request: EvaluationRequest, { signal, onRetry, onWarning = () => {} }: EvaluationControl): Promise<Outcome> {
    const log = await onOutput('create', request.log, async () => new Log(request.log));
    const asked = { ...request, model: resolve(request.model) };
    const total = { seconds: 0, cost: null as number | null };
    try {
      for (let attempts = 1; ; attempts++) {
        const attempt = new Attempt(this.#settings, asked, { log, signal, onWarning });
        const { ending, seconds, cost } = await this.#withSlot(signal, (gpu) => attempt.run(gpu));
        total.seconds += seconds;
        if (cost !== null) total.cost = (total.cost ?? 0) + cost;
        if (ending.status === 'complete') {
          return { status: 'complete', score: { ...ending.score, cost: total.cost }, seconds: total.seconds, attempts };
        }
        const said = { lastWords: attempt.lastWords(ending), tail: attempt.tail() };
        const wait = RETRY_PAUSES[attempts - 1];
        if (ending.status !== 'again') return { ...ending, status: ending.status, ...said, ...total, attempts };
        if (wait === undefined) {
          return { status: 'failed', reason: `${ending.reason}, after ${attempts} attempts`, ...said, ...total, attempts };
        }
        onRetry?.(attempts, wait);
        await this.#wait(wait * 1000, signal).catch((error: unknown) => {
          signal.throwIfAborted();
          throw error;
        });
      }
    } finally {
      closeLog(log);
    }
  }

  async #withSlot<T>(signal: AbortSignal, work: (slot: string) => Promise<T>): Promise<T> {
    if (this.#slots === null) return work('');
    const slot = await this.#slots.take(signal);
    try {
      return await work(slot);
    } finally {
      this.#slots.give(slot);
    }
  }
}

/** The end of a very long log is no reason to lose a score. */
function closeLog(log: Log): void {
  try {
    log.close();
  } catch {
    // The disk is full: what was running said so already, or needs it no more.
  }
}

/** Things of which each evaluation has one to itself while it runs: devices, or a server. */
class Slots {
  readonly #free: string[];
  readonly #waiting: ((slot: string) => void)[] = [];

  constructor(slots: readonly string[]) {
    this.#free = [...slots];
  }

  /** Waits until one is free. @throws signal.reason when aborted before */
  take(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const free = this.#free.shift();
    if (free !== undefined) return Promise.resolve(free);
    return new Promise((resolve, reject) => {
      const got = (slot: string) => {
        signal.removeEventListener('abort', leave);
        resolve(slot);
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(got), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(got);
    });
  }

  give(slot: string): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }
}
