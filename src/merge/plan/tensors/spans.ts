import { dtypeByCode } from '../../../base/dtype.ts';
import type { TensorTable } from '../../../checkpoints/safetensors/types.ts';
import type { Piece } from '../../../model/layout/types.ts';
import { allRows } from './target.ts';

/**
 * Where tensors (or spans) lie in one member: [rows] each. A file of -1 means that the member lacks the
 * tensor.
 */
export interface MemberColumns {
  readonly file: Int32Array;
  /** Absolute byte offset in the file. */
  readonly offset: Float64Array;
  readonly dtype: Uint8Array;
}

/**
 * Runs of elements of tensors that lie in one piece in every member: whole tensors, unless a member has them
 * in another layout.
 */
export interface Spans {
  /** Tensor, first element in it, and elements. */
  readonly row: Int32Array;
  readonly from: Float64Array;
  readonly elements: Float64Array;
  /** [members]; null where the member takes no part. Rows of these columns are spans. */
  readonly columns: readonly (MemberColumns | null)[];
}

/** A tensor of the layout that a member has in pieces, in the order of its elements. */
export type PiecedRows = ReadonlyMap<number, readonly Piece[]>;

function elementsOf(table: TensorTable, row: number): number {
  return ((table.end[row]! - table.begin[row]!) * 8) / dtypeByCode(table.dtypes[row]!).bits;
}

/**
 * @param columns [members] by tensor; of a pieced tensor, its file, offset and dtype are those of its first
 *   piece
 * @param pieced [members]
 * @param place where a piece of a member begins
 */
export function spansOf(
  table: TensorTable,
  columns: readonly (MemberColumns | null)[],
  pieced: readonly (PiecedRows | null)[],
  place: (member: number, piece: Piece) => { readonly file: number; readonly offset: number; readonly dtype: number },
): Spans {
  const rows = allRows(table.count);
  if (pieced.every((p) => p === null || p.size === 0)) {
    return {
      row: rows,
      from: new Float64Array(table.count),
      elements: new Float64Array(table.count).map((_, row) => elementsOf(table, row)),
      columns,
    };
  }
  const row: number[] = [];
  const from: number[] = [];
  const elements: number[] = [];
  for (const r of rows) {
    const total = elementsOf(table, r);
    const cuts = new Set([0]);
    for (const of of pieced) for (const piece of of?.get(r) ?? []) cuts.add(piece.from);
    const starts = [...cuts].sort((a, b) => a - b);
    for (const [i, start] of starts.entries()) {
      row.push(r);
      from.push(start);
      elements.push((starts[i + 1] ?? total) - start);
    }
  }
  const spread = columns.map((column, m): MemberColumns | null => {
    if (column === null) return null;
    const out = { file: new Int32Array(row.length), offset: new Float64Array(row.length), dtype: new Uint8Array(row.length) };
    for (const [i, r] of row.entries()) {
      const piece = pieced[m]?.get(r)?.findLast((p) => p.from <= from[i]!);
      const at = piece === undefined ? { file: column.file[r]!, offset: column.offset[r]!, dtype: column.dtype[r]! } : place(m, piece);
      out.file[i] = at.file;
      out.dtype[i] = at.dtype;
      out.offset[i] = at.offset + ((from[i]! - (piece?.from ?? 0)) * dtypeByCode(at.dtype).bits) / 8;
    }
    return out;
  });
  return { row: Int32Array.from(row), from: Float64Array.from(from), elements: Float64Array.from(elements), columns: spread };
}
