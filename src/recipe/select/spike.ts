import type { LogEntry } from '../../checkpoints/types.ts';
import type { Spike } from './types.ts';

/** Logs before a loss that it is measured against. */
export const SPIKE_BASELINE = 50;
/** Logs, the first included, that a loss must stay up to be a spike and not an outlier. */
const STAYS = 5;
const DEVIATIONS = 6;
/** The median absolute deviation of a normal distribution times this is its standard deviation. */
const NORMAL = 1.4826;
/**
 * Least deviation taken, as a share of the median. Trainers log four decimals, so a calm stretch can have
 * equal losses and a deviation of 0, and the next rounding would count as a spike.
 */
const LEAST_DEVIATION = 1e-3;

/**
 * The first loss spike of a log: a loss above median + 6·1.4826·MAD of the 50 logged losses before it, where
 * the losses of the 4 logs after it are above the same threshold as well. Where fewer than 4 are left, all
 * that are must be, so that a run that ended in its spike is recognised: even at its very last log. The MAD
 * is taken as at least a thousandth of the median. Of the first 50 losses nothing can be said. Median and MAD
 * are robust: outliers and a falling loss raise no alarm.
 *
 * @param log by step; entries without a loss are passed over
 */
export function findSpike(log: readonly LogEntry[]): Spike | null {
  const logged = log.filter((entry): entry is LogEntry & { loss: number } => entry.loss !== null && !Number.isNaN(entry.loss));
  if (logged.length <= SPIKE_BASELINE) return null;
  const losses = Float64Array.from(logged, ({ loss }) => loss);
  const sorted = losses.slice(0, SPIKE_BASELINE).sort();
  for (let i = SPIKE_BASELINE; i < losses.length; i++) {
    const loss = losses[i]!;
    const median = middle(sorted);
    const least = LEAST_DEVIATION * Math.abs(median);
    const stays = (threshold: number) => loss > threshold && losses.subarray(i + 1, i + STAYS).every((x) => x > threshold);
    // Few losses stay above even the lowest threshold that there can be; the others need no deviation.
    if (stays(median + DEVIATIONS * NORMAL * least)) {
      const deviation = Math.max(middle(sorted.map((x) => Math.abs(x - median)).sort()), least);
      const threshold = median + DEVIATIONS * NORMAL * deviation;
      if (stays(threshold)) return { step: logged[i]!.step, loss, threshold };
    }
    replace(sorted, losses[i - SPIKE_BASELINE]!, loss);
  }
  return null;
}

function middle(sorted: Float64Array): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Takes one value out of a sorted array and puts another in. */
function replace(sorted: Float64Array, out: number, into: number): void {
  let i = sorted.indexOf(out);
  for (; i + 1 < sorted.length && sorted[i + 1]! < into; i++) sorted[i] = sorted[i + 1]!;
  for (; i > 0 && sorted[i - 1]! > into; i--) sorted[i] = sorted[i - 1]!;
  sorted[i] = into;
}
