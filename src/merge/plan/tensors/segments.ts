import { dtypeByCode } from '../../../base/dtype.ts';
import type { TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { GatheredInput, SegmentTable } from '../types.ts';
import type { Entries } from './shared-text.ts';
import type { MemberColumns, Spans } from './spans.ts';
import type { Work } from './work.ts';

export interface SegmentInput {
  /** The tensors that the outputs hold. */
  readonly table: TensorTable;
  readonly spans: Spans;
  /** [rows] index into `kinds`. */
  readonly of: Int32Array;
  readonly kinds: readonly Work[];
  /** [K] this shard in each output, and the bytes before its data. */
  readonly outputs: readonly { readonly entries: Entries; readonly dataStart: number }[];
}

/**
 * Turns the tensors of a shard into segments: neighbours of equal dtype and treatment that are contiguous in
 * every file become one, so that 92,000 small tensors are a few large pieces of work. Tensors without bytes
 * need no work and are left out.
 */
export function buildSegments(input: SegmentInput): SegmentTable {
  const { table, spans, of, kinds, outputs } = input;
  const N = spans.columns.length;
  const K = outputs.length;
  const workOf = (span: number): Work => kinds[of[spans.row[span]!]!]!;
  const starts: number[] = [];
  const cells: number[] = [];
  for (let span = 0, previous = -1; span < spans.row.length; span++) {
    if (spans.elements[span] === 0 || workOf(span).apart) continue;
    if (previous < 0 || !continues(input, previous, span)) starts.push(cells.length);
    cells.push(span);
    previous = span;
  }

  const S = starts.length;
  const segments = {
    count: S,
    elements: new Float64Array(S),
    file: new Int32Array(S * N).fill(-1),
    offset: new Float64Array(S * N),
    dtype: new Uint8Array(S * N),
    gathered: new Map<number, GatheredInput>(),
    outOffset: new Float64Array(S * K),
    outDtype: new Uint8Array(S * K),
    table: new Int32Array(S),
    cell: Int32Array.from([...starts, cells.length]),
    cellEnd: new Float64Array(cells.length),
    cellRow: new Int32Array(cells.length).map((_, c) => spans.row[cells[c]!]!),
  };
  for (let s = 0; s < S; s++) {
    const first = cells[segments.cell[s]!]!;
    const row = spans.row[first]!;
    const work = workOf(first);
    segments.table[s] = work.table;
    const unit = work.table < 0 ? dtypeByCode(table.dtypes[row]!).bits / 8 : 1;
    let elements = 0;
    for (let c = segments.cell[s]!; c < segments.cell[s + 1]!; c++) {
      elements += spans.elements[cells[c]!]! * unit;
      segments.cellEnd[c] = elements;
    }
    segments.elements[s] = elements;
    for (const [m, column] of spans.columns.entries()) {
      if (column === null || !work.reads[m]) continue;
      segments.file[s * N + m] = column.file[first]!;
      segments.offset[s * N + m] = column.offset[first]!;
      segments.dtype[s * N + m] = column.dtype[first]!;
      const matrix = spans.matrices[m]?.get(row);
      if (matrix !== undefined) segments.gathered.set(s * N + m, { matrix, start: (spans.base?.[row] ?? 0) + spans.from[first]! });
    }
    for (let k = 0; k < K; k++) {
      segments.outOffset[s * K + k] = outOffset(input, first, k);
      segments.outDtype[s * K + k] = outputs[k]!.entries.dtypes[row]!;
    }
  }
  return segments;
}

function outOffset({ spans, outputs }: SegmentInput, span: number, k: number): number {
  const { entries, dataStart } = outputs[k]!;
  const row = spans.row[span]!;
  return dataStart + entries.begin[row]! + (spans.from[span]! * dtypeByCode(entries.dtypes[row]!).bits) / 8;
}

function continues(input: SegmentInput, previous: number, span: number): boolean {
  const { table, spans, of, kinds, outputs } = input;
  const [before, row] = [spans.row[previous]!, spans.row[span]!];
  const work = kinds[of[row]!]!;
  if (table.dtypes[before] !== table.dtypes[row] || kinds[of[before]!]!.table !== work.table) return false;
  const elements = spans.elements[previous]!;
  const { columns, matrices } = spans;
  let looked: MemberColumns | null = null;
  for (let m = 0; m < columns.length; m++) {
    const column = columns[m]!;
    if (column === null || !work.reads[m]) continue;
    const gathered = matrices[m];
    if (gathered !== undefined && gathered.size > 0 && (gathered.has(before) || gathered.has(row))) return false;
    if (column.file[previous] !== column.file[span]) return false;
    // Members of one header share these, and there may be many of both.
    if (column.offset === looked?.offset && column.dtype === looked.dtype) continue;
    looked = column;
    const dtype = column.dtype[previous]!;
    if (dtype !== column.dtype[span]) return false;
    if (column.offset[previous]! + (elements * dtypeByCode(dtype).bits) / 8 !== column.offset[span]) return false;
  }
  return outputs.every(({ entries: { dtypes } }, k) => {
    const bytes = (elements * dtypeByCode(dtypes[row]!).bits) / 8;
    return dtypes[before] === dtypes[row] && outOffset(input, previous, k) + bytes === outOffset(input, span, k);
  });
}

/** Bytes that the members' files give and the outputs take, for one shard. */
export function segmentBytes(segments: SegmentTable, members: number, outputs: number): { read: number; written: number } {
  let read = 0;
  let written = 0;
  for (let s = 0; s < segments.count; s++) {
    const copied = segments.table[s]! < 0;
    const bytesOf = (code: number): number => (copied ? 1 : dtypeByCode(code).bits / 8) * segments.elements[s]!;
    for (let m = 0; m < members; m++) if (segments.file[s * members + m]! >= 0) read += bytesOf(segments.dtype[s * members + m]!);
    for (let k = 0; k < outputs; k++) written += bytesOf(segments.outDtype[s * outputs + k]!);
  }
  return { read, written };
}
