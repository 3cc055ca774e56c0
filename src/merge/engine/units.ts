import { dtypeByCode } from '../../base/dtype.ts';
import type { Plan, PlanShard, SegmentTable } from '../plan/types.ts';

/** A place in a shard's work: element `element` of segment `segment`. */
export interface Cursor {
  readonly segment: number;
  readonly element: number;
}

/** A resumable piece of a shard: what is fsynced and journaled together. */
export interface Unit {
  /** Index into `Plan.shards`. */
  readonly shard: number;
  readonly from: Cursor;
  readonly to: Cursor;
  /** [K] byte range of the unit in each output's file; the first unit of a file includes the header. */
  readonly ranges: readonly { readonly start: number; readonly end: number }[];
  /** Whether it is the first and the last of its shard. */
  readonly first: boolean;
  readonly last: boolean;
}

/** Most output bytes of a unit, so that an interrupted merge of 100 GB shards loses little. */
const UNIT_BYTES = 4 * 2 ** 30;
/** Cuts inside a tensor fall on multiples of this many elements, wherever the unit limit is. */
const CUT_ELEMENTS = 1 << 16;

/** Bytes of one element of segment `s` in output `k`. */
export function outputElementBytes(segments: SegmentTable, s: number, k: number, K: number): number {
  return segments.table[s]! < 0 ? 1 : dtypeByCode(segments.outDtype[s * K + k]!).bits / 8;
}

/**
 * Cuts a plan's shards into units. Depends on the plan and `limit` only, so that a rerun finds the same
 * units. A shard with quantised weights is one: they are written apart from the segments around them, in any
 * order.
 */
export function planUnits(plan: Plan, limit: number = UNIT_BYTES): Unit[] {
  return plan.shards.flatMap((shard, index) =>
    shardUnits(plan, shard, index, shard.quantised.length > 0 ? Number.POSITIVE_INFINITY : limit),
  );
}

function shardUnits(plan: Plan, { segments }: PlanShard, shard: number, limit: number): Unit[] {
  const K = plan.outputs.length;
  const sizes = plan.outputs.map((o) => o.files[shard]!.bytes);
  const cuts: Cursor[] = [];
  let filled = 0;
  for (let s = 0; s < segments.count; s++) {
    const widest = Math.max(...Array.from({ length: K }, (_, k) => outputElementBytes(segments, s, k, K)));
    let element = 0;
    for (;;) {
      const left = segments.elements[s]! - element;
      if (filled + left * widest <= limit) {
        filled += left * widest;
        break;
      }
      const room = Math.floor((limit - filled) / widest / CUT_ELEMENTS) * CUT_ELEMENTS;
      element += filled === 0 ? Math.max(room, CUT_ELEMENTS) : room;
      filled = 0;
      if (element >= segments.elements[s]!) break;
      cuts.push({ segment: s, element });
    }
  }

  const start: Cursor = { segment: 0, element: 0 };
  const end: Cursor = { segment: segments.count, element: 0 };
  const points = [start, ...cuts, end];
  const byteAt = (cursor: Cursor, k: number): number => {
    if (cursor === start) return 0;
    if (cursor === end) return sizes[k]!;
    return segments.outOffset[cursor.segment * K + k]! + cursor.element * outputElementBytes(segments, cursor.segment, k, K);
  };
  return points.slice(1).map((to, i) => ({
    shard,
    from: points[i]!,
    to,
    ranges: sizes.map((_, k) => ({ start: byteAt(points[i]!, k), end: byteAt(to, k) })),
    first: i === 0,
    last: to === end,
  }));
}
