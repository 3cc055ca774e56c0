import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Warning } from '../../src/base/errors.ts';
import { Evaluator, type EvaluatorOptions, type Outcome } from '../../src/search/evaluate/evaluator.ts';
import { temporaryFolder } from './safetensors.ts';

export interface Evaluation {
  readonly outcome: Outcome;
  /** Seconds that were waited between attempts. */
  readonly waited: readonly number[];
  readonly retries: readonly (readonly [attempt: number, seconds: number])[];
  readonly warnings: readonly Warning[];
  readonly log: string;
  readonly folder: string;
}

/** Runs one evaluation in a folder of the test, on a clock that does not wait. */
export async function evaluation(
  options: Partial<EvaluatorOptions> & Pick<EvaluatorOptions, 'command'>,
  { model = 'model', folder = temporaryFolder(), log = join(folder, 'log'), signal = new AbortController().signal } = {},
): Promise<Evaluation> {
  const waited: number[] = [];
  const retries: [number, number][] = [];
  const warnings: Warning[] = [];
  const evaluator = new Evaluator({ reading: {}, ...options }, async (ms) => waited.push(ms / 1000));
  const outcome = await evaluator.evaluate(
    { model, trial: 7, out: join(folder, 'out'), log },
    { signal, onRetry: (attempt, seconds) => retries.push([attempt, seconds]), onWarning: (warning) => warnings.push(warning) },
  );
  return { outcome, waited, retries, warnings, log: readFileSync(log, 'latin1'), folder };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

/** The number that a command writes into a file. */
export async function writtenNumber(path: string): Promise<number> {
  for (;;) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (text.endsWith('\n')) return Number(text);
    await setTimeout(10);
  }
}
