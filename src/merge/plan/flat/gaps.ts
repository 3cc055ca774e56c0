import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import type { Buffer32, BufferRun } from './parts.ts';
import type { FoundPart } from './search.ts';

/** Elements of a buffer. */
export interface Gap {
  /** Index into the buffers. */
  readonly buffer: number;
  readonly from: number;
  readonly to: number;
}

/** Parameters begin at multiples of so many elements in Megatron-core's buffers, and padding fills what is between. */
export const ALIGNMENT = 64;

/**
 * Without runs that lie within those of longer parts: a few elements may be those of any weight, at one of the
 * places where a rank's share of it begins.
 */
export function withoutCoincidence(found: readonly FoundPart[]): FoundPart[] {
  const all = found.flatMap(({ part, runs }, of) => runs.map((run) => ({ ...run, to: run.from + part.elements, of })));
  all.sort((a, b) => b.to - b.from - (a.to - a.from) || a.from - b.from);
  /** By buffer, ascending and apart from one another. */
  const taken = new Map<number, { readonly from: number; readonly to: number }[]>();
  const runs: BufferRun[][] = found.map(() => []);
  for (const { buffer, from, to, of } of all) {
    const own = taken.get(buffer) ?? [];
    taken.set(buffer, own);
    const at = firstEndingBehind(own, from);
    const next = own[at];
    if (next === undefined || next.from >= to) own.splice(at, 0, { from, to });
    else if (next.from !== from || next.to !== to) continue;
    runs[of]!.push({ buffer, from });
  }
  return found.map(({ part }, i) => ({ part, runs: runs[i]!.sort((a, b) => a.buffer - b.buffer || a.from - b.from) }));
}

/** Index of the first of some ranges that ends behind an element. */
function firstEndingBehind(ranges: readonly { readonly to: number }[], element: number): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.to <= element) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Elements of buffers that are of no weight, and whether they can be padding: what lies before an aligned start. */
export function gapsOf(found: readonly FoundPart[], buffers: readonly Buffer32[]): (Gap & { readonly padding: boolean })[] {
  const runs = found.flatMap(({ part, runs: own }) => own.map(({ buffer, from }) => ({ buffer, from, to: from + part.elements })));
  const gaps: (Gap & { padding: boolean })[] = [];
  for (const [buffer, { checkpoint, place }] of buffers.entries()) {
    const size = elementsOf(checkpoint.shards[place.shard]!.tensors, place.row);
    let end = 0;
    const own = runs.filter((run) => run.buffer === buffer).sort((a, b) => a.from - b.from);
    for (const { from, to } of [...own, { from: size, to: size }]) {
      const padding = from - end < ALIGNMENT && from % ALIGNMENT === 0 && from < size;
      if (from > end) gaps.push({ buffer, from: end, to: from, padding });
      end = Math.max(end, to);
    }
  }
  return gaps;
}
