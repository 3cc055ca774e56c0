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
  return log;
}

/** What was logged at a step, or last before it; an evaluation of the step itself only. */
export function loggedAt(log: readonly LogEntry[], step: number | null): Pick<RunCheckpoint, 'loss' | 'learningRate' | 'evalLoss'> {
  let [low, high] = [0, log.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (log[middle]!.step <= (step ?? -1)) low = middle + 1;
    else high = middle;
  }
  const last = log[low - 1];
  const evalLoss = last !== undefined && last.step === step ? (last.evalLoss ?? null) : null;
  return { loss: lastOf(log, low, 'loss'), learningRate: lastOf(log, low, 'learningRate'), evalLoss };
}

/** The last known value among the first `end` entries. */
function lastOf(log: readonly LogEntry[], end: number, key: 'loss' | 'learningRate'): number | null {
  for (let i = end - 1; i >= 0; i--) {
    const value = log[i]![key];
    if (value !== null) return value;
  }
  return null;
}
