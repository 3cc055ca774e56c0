import { dtypeByCode } from '../../../base/dtype.ts';
import type { CombineJob } from '../../native/combine.ts';
import type { Plan } from '../../plan/types.ts';
import { type Cursor, outputElementBytes, type Unit } from '../units.ts';
import { BoxLists, Numbering } from './box-lists.ts';

/** The columns of one native call, and what is needed to name what it reports. */
export interface Batch {
  readonly job: Omit<CombineJob, 'files' | 'outputs' | 'cancel' | 'weights'>;
  /** Indices into `Plan.files`, in the order of the job's `file` column. */
  readonly files: readonly number[];
  /** [cells] row of each cell in the layout shard. */
  readonly cellRow: Int32Array;
  /** Rows of the first tensor of each segment. */
  readonly firstRow: Int32Array;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** Cuts inside a segment fall on multiples of this many elements, so that tiles stay whole. */
const CUT_ELEMENTS = 1 << 15;

/** Cuts a unit into batches; each `next(budget)` takes about `budget` bytes of input. */
export class BatchCutter {
  readonly #plan: Plan;
  readonly #unit: Unit;
  #at: Cursor;

  constructor(plan: Plan, unit: Unit) {
    this.#plan = plan;
    this.#unit = unit;
    this.#at = unit.from;
  }

  /** The next batch, or undefined at the end of the unit. */
  next(budget: number): Batch | undefined {
    const { segments } = this.#plan.shards[this.#unit.shard]!;
    const N = this.#plan.members.length;
    const K = this.#plan.outputs.length;
    const pieces: { s: number; from: number; to: number }[] = [];
    let read = 0;
    let written = 0;
    let { segment: s, element: from } = this.#at;
    const { to: end } = this.#unit;
    while (s < end.segment || (s === end.segment && from < end.element)) {
      const stop = s === end.segment ? end.element : segments.elements[s]!;
      const perElement = this.#inputElementBytes(s);
      const room = Math.max(1, Math.ceil((budget - read) / Math.max(perElement, 1) / CUT_ELEMENTS)) * CUT_ELEMENTS;
      const to = Math.min(stop, from + room);
      pieces.push({ s, from, to });
      read += (to - from) * perElement;
      for (let k = 0; k < K; k++) written += (to - from) * outputElementBytes(segments, s, k, K);
      from = to;
      if (to === segments.elements[s]!) {
        s += 1;
        from = 0;
      }
      if (read >= budget) break;
    }
    this.#at = { segment: s, element: from };
    if (pieces.length === 0) return undefined;

    const S = pieces.length;
    const files = new Numbering<number>();
    const boxes = new BoxLists(S * N);
    const count = new Float64Array(S);
    const file = new Int32Array(S * N).fill(-1);
    const offset = new Float64Array(S * N);
    const dtype = new Uint8Array(S * N);
    const outOffset = new Float64Array(S * K);
    const outDtype = new Uint8Array(S * K);
    const table = new Int32Array(S);
    const cell = new Int32Array(S + 1);
    const firstRow = new Int32Array(S);
    const cellEnd: number[] = [];
    const cellRow: number[] = [];
    for (const [i, piece] of pieces.entries()) {
      const copied = segments.table[piece.s]! < 0;
      count[i] = piece.to - piece.from;
      table[i] = segments.table[piece.s]!;
      for (let m = 0; m < N; m++) {
        const source = segments.file[piece.s * N + m]!;
        if (source < 0) continue;
        const code = segments.dtype[piece.s * N + m]!;
        const size = dtypeByCode(code).bits / 8;
        dtype[i * N + m] = code;
        const gathered = segments.gathered.get(piece.s * N + m);
        if (gathered !== undefined) {
          boxes.add(i * N + m, gathered, piece, { unit: copied ? size : 1, fileOf: (source) => files.of(source) });
          continue;
        }
        file[i * N + m] = files.of(source);
        offset[i * N + m] = segments.offset[piece.s * N + m]! + piece.from * (copied ? 1 : size);
      }
      for (let k = 0; k < K; k++) {
        outDtype[i * K + k] = segments.outDtype[piece.s * K + k]!;
        outOffset[i * K + k] = segments.outOffset[piece.s * K + k]! + piece.from * outputElementBytes(segments, piece.s, k, K);
      }
      let c = firstCellAfter(segments.cellEnd, segments.cell[piece.s]!, segments.cell[piece.s + 1]!, piece.from);
      firstRow[i] = segments.cellRow[c]!;
      for (; c < segments.cell[piece.s + 1]!; c++) {
        const ends = Math.min(segments.cellEnd[c]!, piece.to);
        cellEnd.push(ends - piece.from);
        cellRow.push(segments.cellRow[c]!);
        if (ends === piece.to) break;
      }
      cell[i + 1] = cellEnd.length;
    }
    return {
      job: { count, file, offset, dtype, ...boxes.columns(), outOffset, outDtype, table, cell, cellEnd: Float64Array.from(cellEnd) },
      files: files.list(),
      cellRow: Int32Array.from(cellRow),
      firstRow,
      bytesRead: read,
      bytesWritten: written,
    };
  }

  #inputElementBytes(s: number): number {
    const { segments } = this.#plan.shards[this.#unit.shard]!;
    const N = this.#plan.members.length;
    if (segments.table[s]! < 0) return 1;
    let bytes = 0;
    for (let m = 0; m < N; m++) if (segments.file[s * N + m]! >= 0) bytes += dtypeByCode(segments.dtype[s * N + m]!).bits / 8;
    return bytes;
  }
}

/** First cell in [low, high) that ends after `element`. */
function firstCellAfter(cellEnd: Float64Array, low: number, high: number, element: number): number {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cellEnd[middle]! > element) high = middle;
    else low = middle + 1;
  }
  return low;
}
