import { dtypeByCode } from '../../base/dtype.ts';
import type { Plan, PlanShard, SegmentTable } from '../plan/types.ts';

/** A place in a shard's work: element `element` of segment `segment`. */
export interface Cursor {
  readonly segment: number;
  readonly element: number;
}

/** A resumable piece of a shard: what is fsynced and journaled together. */
export interface Unit {
  /** Its place among all units of the plan. */
  readonly index: number;
  /** Index into `Plan.shards`. */
  readonly shard: number;
  readonly from: Cursor;
  readonly to: Cursor;
  /** [K] byte range of the unit in each output's file; the first unit of a file includes the header. */
  readonly ranges: readonly { readonly start: number; readonly end: number }[];
  /** Whether it is the first of its shard. */
  readonly first: boolean;
}

export interface UnitOptions {
  /**
   * Bytes of output between two cuts; the same for all who work on one output. A multiple of 4 MiB keeps
   * cuts on whole pages and stripes of every file system.
   */
  readonly size?: number | undefined;
}

/** So that an interrupted merge of 100 GB shards loses little. */
const UNIT_BYTES = 4 * 2 ** 30;

/** Bytes of one element of segment `s` in output `k`. */
export function outputElementBytes(segments: SegmentTable, s: number, k: number, K: number): number {
  return segments.table[s]! < 0 ? 1 : dtypeByCode(segments.outDtype[s * K + k]!).bits / 8;
}

/**
 * Cuts a plan's shards into units, in the order of the files and in each by offset. Depends on the plan's
 * outputs and `size` only, and not on how the inputs are sharded: a rerun finds the same units, and so does
 * another machine. A shard with quantised weights is one: they are written apart from the segments around
 * them, in any order.
 *
 * Cuts lie where the offset in the output's file is a multiple of `size` and an element begins; where an
 * element of an odd size lies across, the unit goes on to the next multiple. Several outputs, whose headers
 * differ in length, share cuts that are multiples in the data of the largest.
 */
export function planUnits(plan: Plan, { size = UNIT_BYTES }: UnitOptions = {}): Unit[] {
  const units: Unit[] = [];
  for (const [s, shard] of plan.shards.entries()) {
    const cuts = shard.quantised.length > 0 ? [] : cutsOf(plan, shard, s, size);
    const points = [{ segment: 0, element: 0 }, ...cuts, { segment: shard.segments.count, element: 0 }];
    const last = points.length - 1;
    const byteAt = (p: number, k: number): number => {
      if (p === 0) return 0;
      if (p === last) return plan.outputs[k]!.files[s]!.bytes;
      return outputOffset(plan, shard.segments, points[p]!, k);
    };
    for (let p = 0; p < last; p++) {
      const ranges = plan.outputs.map((_, k) => ({ start: byteAt(p, k), end: byteAt(p + 1, k) }));
      units.push({ index: units.length, shard: s, from: points[p]!, to: points[p + 1]!, ranges, first: p === 0 });
    }
  }
  return units;
}

function outputOffset(plan: Plan, segments: SegmentTable, { segment, element }: Cursor, k: number): number {
  const K = plan.outputs.length;
  return segments.outOffset[segment * K + k]! + element * outputElementBytes(segments, segment, k, K);
}

/** Where a shard is cut, in ascending order. */
function cutsOf(plan: Plan, { segments }: PlanShard, shard: number, size: number): Cursor[] {
  const K = plan.outputs.length;
  const files = plan.outputs.map((output) => output.files[shard]!);
  const dataBytes = files.map((file) => file.bytes - file.headerBytes);
  const k = dataBytes.indexOf(Math.max(...dataBytes));
  const { headerBytes } = files[k]!;
  // Outputs that an interrupted run had published count: the rest must find the units that were made with
  // them.
  const alone = K + plan.finished.length === 1;
  const cuts: Cursor[] = [];
  let next = (alone ? 0 : headerBytes) + size;
  if (next <= headerBytes) next = (Math.floor(headerBytes / size) + 1) * size;
  for (let s = 0; s < segments.count; s++) {
    const width = outputElementBytes(segments, s, k, K);
    const start = segments.outOffset[s * K + k]!;
    const end = start + segments.elements[s]! * width;
    if (next < start) next += Math.ceil((start - next) / size) * size;
    for (; next < end; next += size) if ((next - start) % width === 0) cuts.push({ segment: s, element: (next - start) / width });
  }
  return cuts;
}
