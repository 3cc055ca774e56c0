import { dtypeByCode } from '../dtype.ts';
import type { TensorTable } from '../safetensors/types.ts';
import type { MemberColumns } from './match.ts';
import type { SegmentTable } from './types.ts';

export interface SegmentInput {
  readonly table: TensorTable;
  /** [members], null where the member takes no part. */
  readonly columns: readonly (MemberColumns | null)[];
  /** [K] dtype code that this output gives to float tensors, null for the layout's. */
  readonly outDtypes: readonly (number | null)[];
  /** [K] bytes before the data in this output's file. */
  readonly dataStart: readonly number[];
}

/**
 * Turns the tensors of a layout shard into segments: neighbours of equal dtype and treatment that are contiguous in every member become one, so that
 * 92,000 small tensors are a few large pieces of work. Tensors without bytes need no work and are left out.
 */
export function buildSegments({ table, columns, outDtypes, dataStart }: SegmentInput): SegmentTable {
  const N = columns.length;
  const K = outDtypes.length;
  const copyFrom = columns.findLastIndex((c) => c !== null);
  const starts: number[] = [];
  const cellRows: number[] = [];
  for (let row = 0, previous = -1; row < table.count; row++) {
    if (table.begin[row] === table.end[row]) continue;
    if (previous < 0 || !continues(table, columns, previous, row)) starts.push(cellRows.length);
    cellRows.push(row);
    previous = row;
  }

  const S = starts.length;
  const segments = {
    count: S,
    elements: new Float64Array(S),
    file: new Int32Array(S * N).fill(-1),
    offset: new Float64Array(S * N),
    dtype: new Uint8Array(S * N),
    outOffset: new Float64Array(S * K),
    outDtype: new Uint8Array(S * K),
    table: new Int32Array(S),
    cell: Int32Array.from([...starts, cellRows.length]),
    cellEnd: new Float64Array(cellRows.length),
    cellRow: Int32Array.from(cellRows),
  };
  const position = [...dataStart];
  for (let s = 0; s < S; s++) {
    const first = cellRows[segments.cell[s]!]!;
    const dtype = dtypeByCode(table.dtypes[first]!);
    const copied = dtype.kind !== 'float';
    segments.table[s] = copied ? -1 - copyFrom : 0;
    let elements = 0;
    for (let c = segments.cell[s]!; c < segments.cell[s + 1]!; c++) {
      const row = cellRows[c]!;
      const bytes = table.end[row]! - table.begin[row]!;
      elements += copied ? bytes : (bytes * 8) / dtype.bits;
      segments.cellEnd[c] = elements;
    }
    segments.elements[s] = elements;
    for (const [m, column] of columns.entries()) {
      if (column === null || (copied && m !== copyFrom)) continue;
      segments.file[s * N + m] = column.file[first]!;
      segments.offset[s * N + m] = column.offset[first]!;
      segments.dtype[s * N + m] = column.dtype[first]!;
    }
    for (let k = 0; k < K; k++) {
      const out = copied ? dtype : dtypeByCode(outDtypes[k] ?? dtype.code);
      segments.outOffset[s * K + k] = position[k]!;
      segments.outDtype[s * K + k] = out.code;
      position[k]! += copied ? elements : (elements * out.bits) / 8;
    }
  }
  return segments;
}

function continues(table: TensorTable, columns: readonly (MemberColumns | null)[], previous: number, row: number): boolean {
  if (table.dtypes[previous] !== table.dtypes[row]) return false;
  const elements = ((table.end[previous]! - table.begin[previous]!) * 8) / dtypeByCode(table.dtypes[previous]!).bits;
  for (const column of columns) {
    if (column === null) continue;
    const bytes = (elements * dtypeByCode(column.dtype[previous]!).bits) / 8;
    if (column.dtype[previous] !== column.dtype[row]) return false;
    if (column.file[previous] !== column.file[row]) return false;
    if (column.offset[previous]! + bytes !== column.offset[row]) return false;
  }
  return true;
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
