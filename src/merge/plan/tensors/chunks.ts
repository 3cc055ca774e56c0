import { dtypeByCode } from '../../../base/dtype.ts';
import { layOut } from '../../../checkpoints/containers/safetensors/encode-header.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { MatchResult } from './match.ts';
import type { MemberColumns, Spans } from './spans.ts';
import type { PlannedTensors } from './tensors.ts';

/** A part of a tensor that an output holds as one: some of its rows. */
export interface Chunk {
  /** Row of the tensor in `tensors` of {@link Chunked}. */
  readonly tensor: number;
  /** First index in the first dimension, and how many there are; 0 and 1 of a scalar. */
  readonly start: number;
  readonly rows: number;
}

/** Planned tensors in parts: rows of targets are chunks. */
export interface Chunked {
  readonly planned: PlannedTensors;
  /** By shard, [rows of the target] what each is a part of; `tensor` counts on from shard to shard. */
  readonly chunks: readonly (readonly Chunk[])[];
  /** The tensors themselves, in the order of the shards. */
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/**
 * Cuts tensors into parts of whole rows, so that a loader need not hold all of one at once.
 * @param cutsOf where a tensor of that name and shape is cut: ascending indices of its first dimension
 */
export function inChunks(planned: PlannedTensors, cutsOf: (name: string, shape: readonly number[]) => readonly number[]): Chunked {
  const tensors: { name: string; shape: readonly number[] }[] = [];
  const all: Chunk[][] = [];
  const parts = planned.targets.map(({ table, origin }, s) => {
    const chunks: Chunk[] = [];
    for (const [row, shape] of table.shapes.entries()) {
      const tensor = tensors.push({ name: table.names[row]!, shape }) - 1;
      const apart = planned.works.kinds[planned.workOf[s]![row]!]!.apart;
      const cuts = apart || shape.length === 0 ? [] : cutsOf(table.names[row]!, shape);
      const starts = [0, ...cuts.filter((cut) => cut > 0 && cut < shape[0]!)];
      for (const [i, start] of starts.entries()) chunks.push({ tensor, start, rows: (starts[i + 1] ?? shape[0] ?? 1) - start });
    }
    all.push(chunks);
    const first = tensors.length - table.count;
    const of = chunks.map(({ tensor }) => tensor - first);
    const shapes = chunks.map(({ rows }, i) => (table.shapes[of[i]!]!.length === 0 ? [] : [rows, ...table.shapes[of[i]!]!.slice(1)]));
    const own = layOut({ names: of.map((row) => table.names[row]!), shapes, dtypes: Uint8Array.from(of, (row) => table.dtypes[row]!) });
    return { target: { table: own, origin: Int32Array.from(of, (row) => origin[row]!) }, of, chunks };
  });
  return {
    chunks: all,
    tensors,
    planned: {
      ...planned,
      targets: parts.map(({ target }) => target),
      workOf: parts.map(({ of }, s) => Int32Array.from(of, (row) => planned.workOf[s]![row]!)),
      treatmentOf: planned.treatmentOf.map((byShard) => parts.map(({ of }, s) => Int32Array.from(of, (row) => byShard[s]![row]!))),
      matched: planned.matched.map(
        (matched, s): MatchResult => ({
          ...matched,
          spans: cutSpans(matched.spans, parts[s]!.of, parts[s]!.chunks, planned.targets[s]!.table.shapes),
        }),
      ),
    },
  };
}

/** Spans that end where chunks do, and whose rows are chunks. */
function cutSpans(spans: Spans, of: readonly number[], chunks: readonly Chunk[], shapes: readonly (readonly number[])[]): Spans {
  const perRow = (tensor: number): number => shapes[tensor]!.slice(1).reduce((product, size) => product * size, 1);
  const firstChunk = new Map<number, number>();
  for (const [i, tensor] of of.entries()) if (!firstChunk.has(tensor)) firstChunk.set(tensor, i);
  const row: number[] = [];
  const from: number[] = [];
  const elements: number[] = [];
  /** Span that each comes from, and elements in it before this one. */
  const source: number[] = [];
  const before: number[] = [];
  for (let span = 0; span < spans.row.length; span++) {
    const tensor = spans.row[span]!;
    const width = perRow(tensor);
    const [start, end] = [spans.from[span]!, spans.from[span]! + spans.elements[span]!];
    for (let chunk = firstChunk.get(tensor)!; of[chunk] === tensor; chunk++) {
      const chunkFrom = chunks[chunk]!.start * width;
      const chunkEnd = chunkFrom + chunks[chunk]!.rows * width;
      const [a, b] = [Math.max(start, chunkFrom), Math.min(end, chunkEnd)];
      // One without elements stands for itself, so that its row is known.
      if (b <= a && !(start === end && a === b && chunkFrom === chunkEnd)) continue;
      row.push(chunk);
      from.push(a - chunkFrom);
      elements.push(b - a);
      source.push(span);
      before.push(a - start);
    }
  }
  const base = Float64Array.from(chunks, ({ start }, i) => (spans.base?.[of[i]!] ?? 0) + start * perRow(of[i]!));
  return {
    row: Int32Array.from(row),
    from: Float64Array.from(from),
    elements: Float64Array.from(elements),
    base,
    columns: spans.columns.map((column): MemberColumns | null =>
      column === null
        ? null
        : {
            file: Int32Array.from(source, (span) => column.file[span]!),
            offset: Float64Array.from(source, (span, i) => column.offset[span]! + (before[i]! * dtypeByCode(column.dtype[span]!).bits) / 8),
            dtype: Uint8Array.from(source, (span) => column.dtype[span]!),
          },
    ),
    matrices: spans.matrices.map((own) => new Map(of.flatMap((tensor, i) => (own.has(tensor) ? [[i, own.get(tensor)!] as const] : [])))),
  };
}

/**
 * Where a checkpoint cuts its tensors into rows, by name: its own parts, whatever else they are cut into.
 */
export function rowCutsOf(layout: Checkpoint): (name: string) => readonly number[] {
  return (name) => {
    const place = layout.locate(name);
    const table = place === undefined ? null : layout.shards[place.shard]!.tensors;
    if (table?.boxes == null) return [];
    const { first, boundsAt, bounds } = table.boxes;
    const { row } = place!;
    const rank = table.shapes[row]!.length;
    if (rank === 0) return [];
    const starts = new Set<number>();
    for (let box = first[row]!; box < first[row + 1]!; box++) starts.add(bounds[boundsAt[row]! + (box - first[row]!) * 3 * rank]!);
    return [...starts].sort((a, b) => a - b);
  };
}
