import { foldersOfStep } from '../position.ts';
import { readLog } from '../states.ts';
import type { LogEntry } from '../types.ts';
import type { RunCheckpoint } from './types.ts';

/**
 * The log of a run from the state files of its checkpoints, oldest first: the newest holds the log of the
 * whole run, unless the run was resumed without it; then older ones fill in what lies before its first line.
 */
export async function logOf(checkpoints: readonly { readonly path: string; readonly step: number | null }[]): Promise<LogEntry[]> {
  let log: LogEntry[] = [];
  for (const { path, step } of checkpoints.toReversed()) {
    const first = log[0]?.step ?? Number.POSITIVE_INFINITY;
    if (step === null || step >= first) continue;
    const earlier = await readLog(foldersOfStep(path));
    log = [...earlier.filter((entry) => entry.step < first), ...log];
  }
  return withoutSkips(log);
}

/** A rate after steps at 0 that is this share of the one before them went on: a warm-up begins lower. */
const WENT_ON = 0.8;

/**
 * Logs of which some say a learning rate of 0 between two that are alike. The Trainer writes 0 while no step
 * is taken: under DeepSpeed, where the loss scale overflows until it has settled, after each resume anew.
 */
function withoutSkips(log: readonly LogEntry[]): LogEntry[] {
  const cleaned = [...log];
  /** Of the last rate above 0, and of those at 0 since. */
  let before: number | null = null;
  let zeros: number[] = [];
  for (const [i, { learningRate }] of log.entries()) {
    if (learningRate === null) continue;
    if (learningRate === 0) {
      if (before !== null) zeros.push(i);
      continue;
    }
    if (before !== null && learningRate >= WENT_ON * before) for (const at of zeros) cleaned[at] = { ...log[at]!, learningRate: null };
    before = learningRate;
    zeros = [];
  }
  return cleaned;
}

/** What was logged at a step, or last before it; an evaluation of the step itself only. */
export function loggedAt(
  log: readonly LogEntry[],
  step: number | null,
): Pick<RunCheckpoint, 'loss' | 'learningRate' | 'evalLoss' | 'metrics'> {
  let [low, high] = [0, log.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (log[middle]!.step <= (step ?? -1)) low = middle + 1;
    else high = middle;
  }
  const last = log[low - 1];
  const own = last !== undefined && last.step === step ? last : undefined;
  const evalLoss = own?.evalLoss ?? null;
  return {
    loss: lastOf(log, low, 'loss'),
    learningRate: lastOf(log, low, 'learningRate'),
    evalLoss,
    ...(own?.metrics !== undefined && { metrics: own.metrics }),
  };
}

/** The last known value among the first `end` entries. */
function lastOf(log: readonly LogEntry[], end: number, key: 'loss' | 'learningRate'): number | null {
  for (let i = end - 1; i >= 0; i--) {
    const value = log[i]![key];
    if (value !== null) return value;
  }
  return null;
}
