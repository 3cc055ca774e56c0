import { dtypeByCode } from '../../../base/dtype.ts';
import type { BoxedMatrix } from '../../../checkpoints/tensors/matrix.ts';
import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import type { TensorTable } from '../../../checkpoints/tensors/types.ts';
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

/** A tensor that a member has in columns or boxes, with files as the plan numbers them. */
export type MatrixRows = ReadonlyMap<number, BoxedMatrix>;

/**
 * Runs of elements of tensors that lie in one piece in every member, or are gathered from its boxes: whole
 * tensors, unless a member has them in another layout.
 */
export interface Spans {
  /** Tensor, first element in it, and elements. */
  readonly row: Int32Array;
  readonly from: Float64Array;
  readonly elements: Float64Array;
  /**
   * [rows] the element of the tensor that is the first of the row, where rows are parts of tensors; absent
   * where they are whole.
   */
  readonly base?: Float64Array | undefined;
  /** [members]; null where the member takes no part. Rows of these columns are spans. */
  readonly columns: readonly (MemberColumns | null)[];
  /** [members] by tensor, those that are gathered. */
  readonly matrices: readonly MatrixRows[];
}

/** Elements of a layout's tensor, from `from` to the next run, as a member has them. */
export interface SpanRun {
  readonly from: number;
  /** As in {@link MemberColumns}. */
  readonly file: number;
  readonly offset: number;
  readonly dtype: number;
}

/** Tensors of the layout that a member has in several runs, in the order of their elements. */
export type RunRows = ReadonlyMap<number, readonly SpanRun[]>;

/**
 * @param columns [members] by tensor; of one in runs, file, offset and dtype are those of the first
 * @param runs [members]
 * @param matrices [members]
 */
export function spansOf(
  table: TensorTable,
  columns: readonly (MemberColumns | null)[],
  runs: readonly (RunRows | null)[],
  matrices: readonly MatrixRows[] = [],
): Spans {
  const rows = allRows(table.count);
  if (runs.every((of) => of === null || of.size === 0)) {
    return {
      row: rows,
      from: new Float64Array(table.count),
      elements: new Float64Array(table.count).map((_, row) => elementsOf(table, row)),
      columns,
      matrices,
    };
  }
  const row: number[] = [];
  const from: number[] = [];
  const elements: number[] = [];
  for (const r of rows) {
    const total = elementsOf(table, r);
    const cuts = new Set([0]);
    for (const of of runs) for (const run of of?.get(r) ?? []) cuts.add(run.from);
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
    // Runs and spans are both in order, and a span begins in the run that it begins with or after.
    let [of, next]: [readonly SpanRun[] | undefined, number] = [undefined, 0];
    for (const [i, r] of row.entries()) {
      if (i === 0 || r !== row[i - 1]) [of, next] = [runs[m]?.get(r), 0];
      while (of !== undefined && next < of.length && of[next]!.from <= from[i]!) next++;
      const at = of?.[next - 1] ?? { from: 0, file: column.file[r]!, offset: column.offset[r]!, dtype: column.dtype[r]! };
      out.file[i] = at.file;
      out.dtype[i] = at.dtype;
      out.offset[i] = at.offset + ((from[i]! - at.from) * dtypeByCode(at.dtype).bits) / 8;
    }
    return out;
  });
  return { row: Int32Array.from(row), from: Float64Array.from(from), elements: Float64Array.from(elements), columns: spread, matrices };
}
