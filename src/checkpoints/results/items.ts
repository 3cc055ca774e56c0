import { createHash } from 'node:crypto';

/** Scores of the items of one metric, in the order of their names. */
export interface ItemList {
  /** Of the metric that they are of; empty for an evaluator of one score. */
  readonly name: string;
  /** Share of this list's mean in the metric asked for: 1, or less for a task of a group. */
  readonly share: number;
  /** SHA-256 of the names in order, or of the number of items that have none. */
  readonly digest: string;
  readonly scores: readonly number[];
}

/**
 * A metric is printed with as many digits as its evaluator likes, and its mean was summed in another order.
 */
const SAME_MEAN = 1e-6;

/** Items without names are taken to come in one order always. */
export function unnamedItems(name: string, scores: readonly number[]): ItemList {
  return { name, share: 1, digest: sha256([`n=${scores.length}`]), scores };
}

/** @returns null where a name stands twice: then nothing says which item is which in another evaluation */
export function namedItems(name: string, entries: readonly (readonly [item: string, score: number])[]): ItemList | null {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  if (sorted.some(([item], i) => i > 0 && sorted[i - 1]![0] === item)) return null;
  return { name, share: 1, digest: sha256(sorted.map(([item]) => item)), scores: sorted.map(([, score]) => score) };
}

/** Whether the shares of the lists' means add up to the metric. */
export function addUpTo(metric: number, lists: readonly ItemList[]): boolean {
  const sum = lists.reduce((total, { share, scores }) => total + share * mean(scores), 0);
  return Math.abs(sum - metric) <= SAME_MEAN * Math.max(Math.abs(sum), Math.abs(metric));
}

export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
}

function sha256(names: readonly string[]): string {
  const hash = createHash('sha256');
  for (const name of names) hash.update(name).update('\n');
  return hash.digest('hex');
}
