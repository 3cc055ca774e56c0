import { join, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { LogFile } from '../../base/disk/log-file.ts';
import { makeFolder } from '../../base/disk/make-folder.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { exitText, type GroupRun, runInGroup } from '../../base/process/process-group.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import type { ReadOptions } from '../../checkpoints/results/metric.ts';
import type { Score } from '../../checkpoints/results/types.ts';
import { formatDuration } from '../../render/format.ts';
import { type Log, lastLines, reportedCost, Tail } from './output.ts';
import { type CommandText, fillPlaceholders, type Placeholders } from './placeholders.ts';
import { nearlyScore } from './results/nearly.ts';
import { readScore } from './results/read.ts';
import { ServerFailure, type SglangServer } from './server.ts';
import type { EvaluationRequest } from './types.ts';

/** Exit codes with a meaning: EX_TEMPFAIL of sysexits.h, and what `git bisect run` takes for a skip. */
const TRY_AGAIN = 75;
const SKIP = 125;
const CANCEL_SECONDS = 30;
/**
 * Of stdout and stderr, what a score is looked for in: the items of a large evaluation are a few megabytes.
 */
const STDOUT_BYTES = 16 * 2 ** 20;
const STDERR_BYTES = 2 ** 20;
/** Milliseconds; Node takes longer ones for none at all. */
const LONGEST_TIMER = 2 ** 31 - 1;

export interface AttemptSettings {
  readonly command: CommandText;
  readonly cancel: string | undefined;
  /** Seconds. */
  readonly timeout: number | undefined;
  readonly reading: ReadOptions;
  readonly server: SglangServer | null;
}

/** Lines of stderr that are shown where what was printed on stdout later hides them. */
const SHOWN_OF_STDERR = 10;

/** How an attempt ended; `again` where it asks for another one. */
export type AttemptEnding =
  | { readonly status: 'complete'; readonly score: Score }
  | { readonly status: 'failed' | 'skipped' | 'again'; readonly reason: string };

const TOO_LATE = Symbol('took longer than it may');

/** What could not be written of a log. */
class LogFailure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

interface AttemptControl {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onWarning: (warning: Warning) => void;
}

/** One run of an evaluator's command on a model. */
export class Attempt {
  readonly #settings: AttemptSettings;
  readonly #request: EvaluationRequest;
  readonly #control: AttemptControl;
  /** Aborted with {@link TOO_LATE}, a {@link LogFailure}, or the caller's reason. */
  readonly #stop = new AbortController();
  readonly #stdout = new Tail(STDOUT_BYTES);
  readonly #stderr = new Tail(STDERR_BYTES);

  constructor(settings: AttemptSettings, request: EvaluationRequest, control: AttemptControl) {
    this.#settings = settings;
    this.#request = request;
    this.#control = control;
  }

  /**
   * @returns `seconds` that it took, and the cost that it reported
   * @throws what `Evaluator.evaluate` throws
   */
  async run(gpu: string): Promise<{ ending: AttemptEnding; seconds: number; cost: number | null }> {
    const { timeout } = this.#settings;
    const { signal } = this.#control;
    signal.throwIfAborted();
    const out = await freshFolder(this.#request.out);
    const abort = () => this.#stop.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const late = timeout === undefined ? undefined : setTimeout(() => this.#stop.abort(TOO_LATE), Math.min(timeout * 1000, LONGEST_TIMER));
    const start = performance.now();
    let useful = false;
    try {
      const ending = await this.#score(out, gpu).catch((error: unknown) => this.#endingOf(error, out));
      useful = ending.status === 'complete';
      const said = ending.status === 'complete' ? ending.score.cost : null;
      const cost = said ?? reportedCost(this.#stderr.text(), this.#stdout.text());
      return { ending, seconds: (performance.now() - start) / 1000, cost };
    } catch (error) {
      // The scores are there, and a user has to choose among them.
      useful = error instanceof MergeError && error.code === 'E_METRIC';
      throw error;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', abort);
      // What it wrote may be the reason that it failed.
      if (!useful) await removeFolder(out);
    }
  }

  /** What it said last, on stderr where it said anything there; null where it ended well and gave no score. */
  lastWords({ reason }: Extract<AttemptEnding, { reason: string }>): string | null {
    if (!/^it (ended|took)/.test(reason)) return null;
    const [last = null] = [...lastLines(this.#stderr.bytes, 1), ...lastLines(this.#stdout.bytes, 1)];
    return last;
  }

  /** The last lines that it printed. */
  tail(): readonly string[] {
    const shown = this.#control.log.lastLines().filter((line) => !line.startsWith('$ export MERGE_MODEL='));
    const ofStderr = lastLines(this.#stderr.bytes, SHOWN_OF_STDERR);
    // A program's stdout may come after it has failed.
    const seen = ofStderr.length === 0 || shown.includes(ofStderr.at(-1)!);
    return seen ? shown : [...shown.slice(ofStderr.length + 1), 'the end of stderr:', ...ofStderr];
  }

  async #score(out: string, gpu: string): Promise<AttemptEnding> {
    const { command, reading, server } = this.#settings;
    const { model, trial } = this.#request;
    await server?.load(model, this.#stop.signal);
    const values: Placeholders = { model, out, gpu, trial: String(trial), ...(server === null ? {} : { server: server.url }) };
    const resultFile = join(out, '.merge-result');
    const { mtimeMs: since } = await SYSTEM.fs.stat(out);
    // A command that asks a server needs no path.
    const filled = fillPlaceholders(command, values, server === null);
    const { code, endLeftovers } = await this.#command(filled, values, environment(values, resultFile));
    try {
      if (code === TRY_AGAIN) return { status: 'again', reason: 'it ended with exit code 75 (try again later)' };
      if (code === SKIP) return { status: 'skipped', reason: 'it ended with exit code 125 (skip)' };
      if (code !== 0) return { status: 'failed', reason: `it ended with ${exitText(code)}` };
      const score = await readScore({ out, resultFile, stdout: this.#stdout.text(), stderr: this.#stderr.text(), since }, reading);
      return score === null ? { status: 'failed', reason: noScoreText(reading, this.#stdout) } : { status: 'complete', score };
    } finally {
      await endLeftovers();
    }
  }

  /** Runs the command until it ends or is stopped; then it is called off as well. */
  async #command(command: CommandText, values: Placeholders, env: Readonly<Record<string, string>>): Promise<GroupRun> {
    const { signal } = this.#stop;
    // In one line, and so that it can be run again by hand.
    const variables = Object.entries(env).map(([name, value]) => `${name}=${shellQuote(value)}`);
    this.#log(`$ export ${variables.join(' ')}; ${typeof command === 'string' ? command : command.map(shellQuote).join(' ')}\n`);
    let cancelled: Promise<void> | undefined;
    const cancel = () => {
      cancelled = this.#cancel(values, env);
    };
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await runInGroup(command, {
        env,
        signal,
        onOutput: (chunk, stream) => {
          (stream === 'stdout' ? this.#stdout : this.#stderr).add(chunk);
          this.#log(chunk);
        },
      });
    } finally {
      signal.removeEventListener('abort', cancel);
      await cancelled;
    }
  }

  async #cancel(values: Placeholders, env: Readonly<Record<string, string>>): Promise<void> {
    const { cancel } = this.#settings;
    if (cancel === undefined) return;
    const command = fillPlaceholders(cancel, values, false);
    this.#log(`$ ${command}\n`);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), CANCEL_SECONDS * 1000);
    const failure = await runInGroup(command, { env, signal: late.signal, onOutput: (chunk) => this.#log(chunk) }).then(
      async ({ code, endLeftovers }) => {
        await endLeftovers();
        return code === 0 ? null : `it ended with ${exitText(code)}`;
      },
      () => `it took longer than ${CANCEL_SECONDS} s`,
    );
    clearTimeout(timer);
    if (failure === null) return;
    const { trial, log } = this.#request;
    const message = worded`--eval-cancel of trial ${trial} failed: ${failure}; what it should end may still run (log: ${log})`;
    this.#control.onWarning({ code: 'W_EVAL_CANCEL', message });
  }

  /** Writes to the log; where that fails, the attempt is stopped. */
  #log(text: Buffer | string): void {
    if (this.#stop.signal.reason instanceof LogFailure) return;
    try {
      this.#control.log.write(text);
    } catch (error) {
      this.#stop.abort(new LogFailure(error));
    }
  }

  async #endingOf(error: unknown, out: string): Promise<AttemptEnding> {
    if (error === TOO_LATE) return { status: 'failed', reason: `it took longer than ${formatDuration(this.#settings.timeout!)}` };
    if (error instanceof LogFailure) return this.#diskFull(error, out);
    if (error instanceof ServerFailure) return { status: error.temporary ? 'again' : 'failed', reason: error.message };
    // Of this evaluation alone: other errors would meet every one.
    if (error instanceof MergeError && error.code === 'E_EVALUATOR') return { status: 'failed', reason: error.message };
    throw error;
  }

  /**
   * Of a log that could not be written: the evaluator's own fault where there is room again without what it
   * wrote, else that of the place.
   */
  async #diskFull({ error }: LogFailure, out: string): Promise<AttemptEnding> {
    const { log } = this.#request;
    await removeFolder(out);
    const reason = 'the disk was full while it ran, and no more when what it wrote was removed';
    try {
      LogFile.append(log, `\n[ckpt-merge: ${reason}]\n`);
    } catch {
      throw toMergeError(error, { action: 'write', file: log, side: 'output' });
    }
    return { status: 'failed', reason };
  }
}

/**
 * A new folder for one attempt. What an earlier search began with the same number may still be writing to its
 * own.
 */
async function freshFolder(parent: string): Promise<string> {
  await onOutput('create', parent, () => makeFolder(parent));
  for (let i = 1; ; i++) {
    const path = resolve(parent, String(i));
    try {
      await SYSTEM.fs.mkdir(path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw toMergeError(error, { action: 'create', file: path, side: 'output' });
    }
  }
}

/** What cannot be removed (another user's files, a container's) is left. */
async function removeFolder(path: string): Promise<void> {
  await removeTree(SYSTEM, path).catch(() => {});
}

function environment(values: Placeholders, resultFile: string): Record<string, string> {
  const { model, out, trial, gpu, server } = values;
  return {
    ...{ MERGE_MODEL: model, MERGE_OUT: out, MERGE_TRIAL: trial, MERGE_RESULT: resultFile, MERGE_GPU: gpu },
    ...(gpu === '' ? {} : { CUDA_VISIBLE_DEVICES: gpu }),
    ...(server === undefined ? {} : { MERGE_SERVER: server }),
  };
}

function noScoreText({ metricFile, metricRegex }: ReadOptions, stdout: Tail): string {
  const nearly = metricRegex === undefined ? nearlyScore(stripVTControlCharacters(stdout.text())) : null;
  if (nearly !== null) return `it printed no score: ${nearly}`;
  const [last] = lastLines(stdout.bytes, 1);
  // What was asked for is what is missing: other places would not have been looked at.
  if (metricRegex !== undefined)
    return `it printed no score: nothing that it printed matches ${metricRegex}${last === undefined ? '' : `, the last line of stdout is '${last}'`}`;
  const places = [
    ...(metricFile === undefined ? [] : [`no file ${metricFile}`]),
    'nothing in $MERGE_RESULT',
    'no result file of lm-eval or lighteval under {out}',
    `no last line of stdout that is a number or JSON with a "score"${last === undefined ? '' : `, it is '${last}'`}`,
  ];
  return `it printed no score (${places.join('; ')})`;
}
