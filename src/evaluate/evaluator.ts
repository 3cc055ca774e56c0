import { writeFileSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MergeError, type Warning } from '../errors.ts';
import { type GroupRun, runInGroup } from '../process-group.ts';
import { onOutput, toMergeError } from '../publish/io-error.ts';
import { Log, reportedCost, Tail } from './output.ts';
import { type CommandText, checkPlaceholders, fillPlaceholders, type Placeholders } from './placeholders.ts';
import { type ReadOptions, readScore } from './results/read.ts';
import { parseServer, ServerFailure, type SglangServer } from './server.ts';
import { Slots } from './slots.ts';
import type { Score } from './types.ts';

/** Exit codes with a meaning: EX_TEMPFAIL of sysexits.h, and what `git bisect run` takes for a skip. */
const TRY_AGAIN = 75;
const SKIP = 125;
/** Seconds before an evaluation that asked for it is tried again. */
const RETRY_PAUSES = [10, 60, 300];
const CANCEL_SECONDS = 30;
/** Milliseconds; Node takes longer ones for none at all. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Of stdout and stderr, what a score is looked for in: the items of a large evaluation are a few megabytes. */
const STDOUT_BYTES = 16 * 2 ** 20;
const STDERR_BYTES = 2 ** 20;

export interface EvaluatorOptions {
  /** Text for `sh -c`, or the words of a program and its arguments, with placeholders: see {@link Placeholders}. */
  readonly command: CommandText;
  /** Shell command that prepares for evaluations. */
  readonly setup?: string | undefined;
  /** Shell command that calls off an evaluation which ran elsewhere, as a job of a cluster, when it takes too long or is aborted. */
  readonly cancel?: string | undefined;
  /** Seconds that one evaluation may take. */
  readonly timeout?: number | undefined;
  /** Devices, of which each running evaluation gets one, as `{gpu}`, `MERGE_GPU` and `CUDA_VISIBLE_DEVICES`. Without them it gets what this process has. */
  readonly gpus?: readonly string[] | undefined;
  readonly reading: ReadOptions;
  /** `sglang=URL`: a server that gets each model's weights before the command runs. One evaluation at a time. */
  readonly server?: string | undefined;
}

export interface EvaluationRequest {
  /** Path of a checkpoint. */
  readonly model: string;
  readonly trial: number;
  /** Folder in which each attempt gets a fresh one; made where it is not there. That of the attempt that gave the score stays. */
  readonly out: string;
  /** File that gets what the command prints. */
  readonly log: string;
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
      /** The last lines of the log. */
      readonly tail: readonly string[];
      readonly cost: number | null;
      readonly seconds: number;
      readonly attempts: number;
    };

/** How one attempt ended. */
type Ending = { readonly score: Score } | { readonly status: 'failed' | 'skipped' | 'again'; readonly reason: string };

/** One attempt, as it is run. */
interface Attempt {
  readonly request: EvaluationRequest;
  /** Its folder. */
  readonly out: string;
  readonly log: Log;
  readonly onWarning: (warning: Warning) => void;
  /** Aborted with {@link TOO_LATE}, with what a full disk said, or with the caller's reason. */
  readonly stop: AbortController;
  readonly stdout: Tail;
  readonly stderr: Tail;
}

const TOO_LATE = Symbol('took longer than it may');

/** What could not be written of a log. */
class LogFailure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/**
 * Runs a user's command on models and reads their scores. The command is a stranger: it may hang, fork, print without end, or lie; none of that may outlast its
 * evaluation or harm another one.
 *
 * Exit code 0 and a score: complete. 75: the same again after a pause, three times at most. 125: skipped. All others, a time-out, no score, or one that is not finite: failed.
 * What the command left running in its process group when it ended is not waited for, and is ended.
 */
export class Evaluator {
  readonly #options: EvaluatorOptions;
  readonly #server: SglangServer | null;
  readonly #slots: Slots | null;
  readonly #wait: (ms: number, signal: AbortSignal) => Promise<unknown>;

  /**
   * @param wait replaces the clock between attempts
   * @throws MergeError E_USAGE for a placeholder that does not exist; E_OPTION for a server that is not known
   */
  constructor(options: EvaluatorOptions, wait = (ms: number, signal: AbortSignal): Promise<unknown> => pause(ms, undefined, { signal })) {
    const { command, setup, cancel, gpus = [], server } = options;
    this.#options = options;
    this.#wait = wait;
    this.#server = server === undefined ? null : parseServer(server);
    // A server has the weights of one model.
    const slots = this.#server === null ? gpus : [gpus[0] ?? ''];
    this.#slots = slots.length === 0 ? null : new Slots(slots);
    const known = ['trial', 'gpu', 'out', 'model', ...(this.#server === null ? [] : ['server' as const])] as const;
    checkPlaceholders('--eval', command, known);
    if (cancel !== undefined) checkPlaceholders('--eval-cancel', cancel, known);
    if (setup !== undefined) checkPlaceholders('--eval-setup', setup, []);
  }

  /**
   * Runs the command that prepares for evaluations, if there is one. What it leaves running is ended.
   * @throws MergeError E_EVALUATOR when it fails; `signal.reason` on an abort
   */
  async setup(signal: AbortSignal): Promise<void> {
    const { setup } = this.#options;
    if (setup === undefined) return;
    const output = new Tail(STDERR_BYTES);
    const env = this.#server === null ? {} : { MERGE_SERVER: this.#server.url };
    const { code, endLeftovers } = await runInGroup(setup, { env, signal, onOutput: (chunk) => output.add(chunk) });
    await endLeftovers();
    if (code === 0) return;
    throw new MergeError('E_EVALUATOR', `--eval-setup failed: it ended with ${exitText(code)}\n$ ${setup}\n${output.text()}`.trimEnd(), {
      details: { command: setup },
      help: 'Nothing was evaluated: mend the command, then run the same again.',
    });
  }

  /**
   * Scores a model.
   *
   * @throws MergeError E_METRIC where the score cannot be chosen among several; of the side of outputs where `log` or `out` cannot be written; E_STALE_WEIGHTS, and whatever
   *   opening `model` throws, with a server; `signal.reason` on an abort, after everything was ended
   */
  async evaluate(request: EvaluationRequest, { signal, onRetry, onWarning = () => {} }: EvaluationControl): Promise<Outcome> {
    const log = await onOutput('create', request.log, async () => new Log(request.log));
    const totals = { seconds: 0, cost: null as number | null };
    try {
      for (let attempts = 1; ; attempts++) {
        const ending = await this.#withSlot(signal, (gpu) =>
          this.#attempt({ ...request, model: resolve(request.model) }, gpu, log, totals, signal, onWarning),
        );
        if ('score' in ending)
          return { status: 'complete', score: { ...ending.score, cost: totals.cost }, seconds: totals.seconds, attempts };
        const { status, reason } = ending;
        const wait = RETRY_PAUSES[attempts - 1];
        if (status !== 'again' || wait === undefined) {
          const after = status === 'again' ? `, after ${attempts} attempts` : '';
          const failed = { status: status === 'skipped' ? status : 'failed', reason: reason + after } as const;
          return { ...failed, tail: log.lastLines(), ...totals, attempts };
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

  async #withSlot<T>(signal: AbortSignal, work: (gpu: string) => Promise<T>): Promise<T> {
    if (this.#slots === null) return work('');
    const slot = await this.#slots.take(signal);
    try {
      return await work(slot);
    } finally {
      this.#slots.give(slot);
    }
  }

  async #attempt(
    request: EvaluationRequest,
    gpu: string,
    log: Log,
    totals: { seconds: number; cost: number | null },
    signal: AbortSignal,
    onWarning: (warning: Warning) => void,
  ): Promise<Ending> {
    signal.throwIfAborted();
    const { timeout } = this.#options;
    const stop = new AbortController();
    const abort = () => stop.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const late = timeout === undefined ? undefined : setTimeout(() => stop.abort(TOO_LATE), Math.min(timeout * 1000, LONGEST_TIMER));
    const out = await freshFolder(request.out);
    const attempt: Attempt = { request, out, log, onWarning, stop, stdout: new Tail(STDOUT_BYTES), stderr: new Tail(STDERR_BYTES) };
    const start = performance.now();
    let ending: Ending | undefined;
    try {
      ending = await this.#run(attempt, gpu);
    } catch (error) {
      if (error === TOO_LATE) ending = { status: 'failed', reason: `it took longer than ${timeout} s` };
      else if (error instanceof LogFailure) ending = await diskFull(error, attempt);
      else if (error instanceof ServerFailure) ending = { status: error.temporary ? 'again' : 'failed', reason: error.message };
      else if (error instanceof MergeError && error.code === 'E_EVALUATOR') ending = { status: 'failed', reason: error.message };
      else throw error;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', abort);
      totals.seconds += (performance.now() - start) / 1000;
      const scored = ending !== undefined && 'score' in ending ? ending.score : null;
      const cost = scored?.cost ?? reportedCost(attempt.stderr.text(), attempt.stdout.text());
      if (cost !== null) totals.cost = (totals.cost ?? 0) + cost;
      // What it wrote may be the reason that it failed.
      if (scored === null) await removeFolder(out);
    }
    return ending;
  }

  async #run(attempt: Attempt, gpu: string): Promise<Ending> {
    const { request, out, stop, stdout, stderr } = attempt;
    await this.#server?.load(request.model, stop.signal);
    const resultFile = join(out, '.merge-result');
    const values: Placeholders = {
      ...{ model: request.model, out, gpu, trial: String(request.trial) },
      ...(this.#server === null ? {} : { server: this.#server.url }),
    };
    // A command that asks a server needs no path.
    const command = fillPlaceholders(this.#options.command, values, this.#server === null);
    const env = environment(values, resultFile);
    write(attempt, `$ ${typeof command === 'string' ? command : command.join(' ')}\n`);
    const { mtimeMs: since } = await stat(out);
    let cancelled: Promise<void> | undefined;
    const cancel = () => {
      cancelled = this.#cancel(attempt, values, env);
    };
    stop.signal.addEventListener('abort', cancel, { once: true });
    let run: GroupRun;
    try {
      run = await runInGroup(command, {
        env,
        signal: stop.signal,
        onOutput: (chunk, stream) => {
          (stream === 'stdout' ? stdout : stderr).add(chunk);
          write(attempt, chunk);
        },
      });
    } finally {
      stop.signal.removeEventListener('abort', cancel);
      await cancelled;
    }
    try {
      const { code } = run;
      if (code === TRY_AGAIN) return { status: 'again', reason: 'it ended with exit code 75 (try again later)' };
      if (code === SKIP) return { status: 'skipped', reason: 'it ended with exit code 125 (skip)' };
      if (code !== 0) return { status: 'failed', reason: `it ended with ${exitText(code)}` };
      const score = await readScore({ out, resultFile, stdout: stdout.text(), stderr: stderr.text(), since }, this.#options.reading);
      return score === null ? { status: 'failed', reason: noScoreText(this.#options.reading) } : { score };
    } finally {
      await run.endLeftovers();
    }
  }

  async #cancel(attempt: Attempt, values: Placeholders, env: Readonly<Record<string, string>>): Promise<void> {
    const { cancel } = this.#options;
    if (cancel === undefined) return;
    const command = fillPlaceholders(cancel, values, false) as string;
    write(attempt, `$ ${command}\n`);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), CANCEL_SECONDS * 1000);
    const failure = await runInGroup(command, { env, signal: late.signal, onOutput: (chunk) => write(attempt, chunk) }).then(
      async ({ code, endLeftovers }) => {
        await endLeftovers();
        return code === 0 ? null : `it ended with ${exitText(code)}`;
      },
      () => `it took longer than ${CANCEL_SECONDS} s`,
    );
    clearTimeout(timer);
    if (failure === null) return;
    const { trial, log } = attempt.request;
    attempt.onWarning({
      code: 'W_EVAL_CANCEL',
      message: `--eval-cancel of trial ${trial} failed: ${failure}; what it should end may still run (log: ${log})`,
    });
  }
}

/** Writes to the log; where that fails, the attempt is stopped. */
function write({ log, stop }: Attempt, text: Buffer | string): void {
  if (stop.signal.reason instanceof LogFailure) return;
  try {
    log.write(text);
  } catch (error) {
    stop.abort(new LogFailure(error));
  }
}

/** Of a log that could not be written: the attempt's own fault where there is room again without what it wrote, else that of the place. */
async function diskFull({ error }: LogFailure, { out, request }: Attempt): Promise<Ending> {
  await removeFolder(out);
  const reason = 'the disk was full while it ran, and no more when what it wrote was removed';
  try {
    writeFileSync(request.log, `[ckpt-merge: ${reason}]\n`, { flag: 'a' });
  } catch {
    throw toMergeError(error, { action: 'write', file: request.log, side: 'output' });
  }
  return { status: 'failed', reason };
}

/** The end of a very long log is no reason to lose a score. */
function closeLog(log: Log): void {
  try {
    log.close();
  } catch {
    // The disk is full: what was running said so already, or needs it no more.
  }
}

/** A new folder for one attempt. What an earlier search began with the same number may still be writing to its own. */
async function freshFolder(parent: string): Promise<string> {
  await onOutput('create', parent, () => mkdir(parent, { recursive: true }));
  for (let i = 1; ; i++) {
    const path = resolve(parent, String(i));
    try {
      await mkdir(path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw toMergeError(error, { action: 'create', file: path, side: 'output' });
    }
  }
}

/** What cannot be removed (another user's files, a container's) is left. */
async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
}

function environment(values: Placeholders, resultFile: string): Record<string, string> {
  const { model, out, trial, gpu, server } = values;
  return {
    ...{ MERGE_MODEL: model!, MERGE_OUT: out!, MERGE_TRIAL: trial, MERGE_RESULT: resultFile, MERGE_GPU: gpu },
    ...(gpu === '' ? {} : { CUDA_VISIBLE_DEVICES: gpu }),
    ...(server === undefined ? {} : { MERGE_SERVER: server }),
  };
}

/** `exit code 3`; of one over 128, the signal that a shell means by it. */
function exitText(code: number): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  if (name === undefined) return `exit code ${code}`;
  return `exit code ${code} (${name}${name === 'SIGKILL' ? ', often for want of memory' : ''})`;
}

function noScoreText({ metricFile, metricRegex }: ReadOptions): string {
  const places = [
    ...(metricFile === undefined ? [] : [`no file ${metricFile}`]),
    'nothing in $MERGE_RESULT',
    'no result file of lm-eval or lighteval under {out}',
    'no last line of stdout that is a number or JSON with a "score"',
    ...(metricRegex === undefined ? [] : [`no match of ${metricRegex}`]),
  ];
  return `it printed no score (${places.join('; ')})`;
}
