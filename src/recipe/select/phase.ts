import type { LogEntry } from '../../checkpoints/types.ts';
import type { Phase, PhaseKind } from './types.ts';

/**
 * Share of the highest rate by which a constant rate may vary: logs are rounded, and trainers scale rates a
 * little when batch sizes change.
 */
const CONSTANT_WITHIN = 0.01;

/**
 * What the logged learning rate does from one step to another, both included. With the rates in order of
 * steps, `climb` is the most that a rate lies above an earlier one and `fall` the most that it lies below
 * one; over 1 % of the highest rate counts. Neither: constant. A climb alone: warm-up, also where the rate
 * stays once it has risen. A fall alone: decaying, also where it falls after a constant piece. Both: unknown,
 * with a text that says so. Where fewer than two rates are logged between the steps, the ones next to them on
 * both sides count as well; fewer than two even so: unknown.
 *
 * @param log by step
 */
export function learningRatePhase(log: readonly LogEntry[], fromStep: number, toStep: number): Phase {
  const rates = log.filter(
    (entry): entry is LogEntry & { learningRate: number } => entry.learningRate !== null && Number.isFinite(entry.learningRate),
  );
  let first = rates.findIndex(({ step }) => step >= fromStep);
  if (first === -1) first = rates.length;
  let end = rates.findIndex(({ step }) => step > toStep);
  if (end === -1) end = rates.length;
  const widened = end - first < 2;
  if (widened) [first, end] = [Math.max(0, first - 1), Math.min(rates.length, end + 1)];
  const window = rates.slice(first, end).map(({ learningRate }) => learningRate);
  if (window.length < 2)
    return unknownPhase(rates.length === 0 ? 'no learning rate is logged' : 'too few learning rates are logged near the members');

  let [lowest, highest, climb, fall] = [window[0]!, window[0]!, 0, 0];
  for (const rate of window) {
    [lowest, highest] = [Math.min(lowest, rate), Math.max(highest, rate)];
    [climb, fall] = [Math.max(climb, rate - lowest), Math.max(fall, highest - rate)];
  }
  const counts = (change: number) => change > CONSTANT_WITHIN * highest;
  const kind: PhaseKind = counts(climb) ? (counts(fall) ? 'unknown' : 'warm-up') : counts(fall) ? 'decaying' : 'constant';
  const [from, to] = [window[0]!, window.at(-1)!].map(short);
  const finding = {
    constant: `constant at ${short(highest)}`,
    'warm-up': `rises from ${from} to ${to}`,
    decaying: `falls from ${from} to ${to}`,
    unknown: `rises and falls between ${short(lowest)} and ${short(highest)}`,
  }[kind];
  const named = kind === 'warm-up' || kind === 'decaying' ? `${kind}, ` : '';
  const source = `${window.length} logs${widened ? ', some of them just outside the members' : ''}`;
  return { kind, lowest, highest, text: `learning rate ${finding} (${named}${source})` };
}

export function unknownPhase(why: string): Phase {
  return { kind: 'unknown', lowest: null, highest: null, text: `learning rate unknown: ${why}` };
}

function short(rate: number): string {
  return String(Number(rate.toPrecision(3)));
}
