import { resolve } from 'node:path';
import { MergeError } from '../errors.ts';
import { runInGroup } from '../process-group.ts';
import { shellQuote } from '../shell-quote.ts';
import { readScore, type Score } from './score.ts';

/** What is kept of the output: its end. Items of a large evaluation are a few megabytes. */
const KEPT_BYTES = 64 * 2 ** 20;
/** Lines of the output that an error shows. */
const SHOWN_LINES = 5;

export interface EvaluateOptions {
  /** Milliseconds after which the command is ended. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs an evaluator on a model and reads its score.
 *
 * @param command for `sh -c`; `{model}` stands for the model's path (quoted), which is appended where it is not written, and is in `MERGE_MODEL` too
 * @throws MergeError E_EVALUATOR when it fails, takes longer than `timeout` or prints no score; `signal.reason` on an abort
 */
export async function evaluate(command: string, model: string, { timeout, signal }: EvaluateOptions = {}): Promise<Score> {
  const quoted = shellQuote(resolve(model));
  const filled = command.includes('{model}') ? command.replaceAll('{model}', () => quoted) : `${command} ${quoted}`;
  const late = timeout === undefined ? null : AbortSignal.timeout(timeout);
  const tail = new Tail();
  let code: number;
  try {
    const either = AbortSignal.any([signal, late].filter((s) => s != null));
    code = await runInGroup(filled, { env: { MERGE_MODEL: resolve(model) }, signal: either, onOutput: (chunk) => tail.add(chunk) });
  } catch (error) {
    if (late === null || error !== late.reason) throw error;
    throw failed(`it took longer than ${timeout! / 1000} s`, filled, tail.text());
  }
  const output = tail.text();
  if (code !== 0) throw failed(`it ended with exit code ${code}`, filled, output);
  const score = readScore(output);
  if (score === null) throw failed('it printed no score', filled, output);
  return score;
}

function failed(what: string, command: string, output: string): MergeError {
  const last = output.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n');
  const shown = last === '' ? 'it printed nothing on stdout' : `the end of its output:\n${last}`;
  return new MergeError('E_EVALUATOR', `the evaluator failed: ${what}\n$ ${command}\n${shown}`, { details: { command } });
}

/** The end of a stream. */
class Tail {
  #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes - this.#chunks[0]!.length >= KEPT_BYTES) this.#bytes -= this.#chunks.shift()!.length;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
