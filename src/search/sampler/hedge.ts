import type { AcquisitionName } from '../gaussian-process/names.ts';
import type { Process } from '../gaussian-process/process.ts';
import type { Observed } from './types.ts';

/** Acquisition functions that GP-Hedge chooses among. */
export const HEDGED = ['ei', 'pi', 'ucb'] as const satisfies readonly AcquisitionName[];

/** Learning rate, for gains in standardised units. Ours, as in scikit-optimize. */
const ETA = 1;

/**
 * Probabilities of GP-Hedge (Hoffman, Brochu and de Freitas, UAI 2011, algorithm 1): p_j ∝ exp(η (g_j − max
 * g)). The gain g_j of an acquisition function is the sum of the model's means at all that it proposed. It is
 * summed anew each time, under the present model in its standardised units: a sum of means of ever other
 * models has no unit.
 *
 * @returns one an acquisition function, in the order of {@link HEDGED}; all alike where nothing was proposed
 *   so
 */
export function hedgeProbabilities(process: Process, observed: readonly Observed[]): number[] {
  const rounds = observed.flatMap(({ proposals }) => (proposals !== null && HEDGED.every((name) => proposals[name]) ? [proposals] : []));
  const { mean, scale } = process.standard;
  const gains = HEDGED.map((name) => {
    const points = rounds.map((proposals) => proposals[name]!);
    return process.predict(points).mean.reduce((sum, value) => sum + (value - mean) / scale, 0);
  });
  const most = Math.max(...gains);
  const shares = gains.map((gain) => Math.exp(ETA * (gain - most)));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}
