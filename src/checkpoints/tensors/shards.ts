import { sectionOf } from './section.ts';
import { ColumnTable } from './table.ts';
import type { BoxColumns, Shard, TensorFile, TensorPlace, TensorTable } from './types.ts';

/** Bytes of a shard of a merge whose layout has none of its own: what Hugging Face's writers take. */
const SHARD_BYTES = 5e9;

/**
 * The shards that a merge has which follows a checkpoint that is stored otherwise: its tensors in their
 * order, of the model as many to a file as fit, and what else there is behind them.
 * @param files of the checkpoint; the shards, which are none of them, are described by the first
 */
export function shardsOf(table: TensorTable, files: readonly TensorFile[], most = SHARD_BYTES): Shard[] {
  const groups: number[][] = [];
  const others: number[] = [];
  let room = -1;
  for (let row = 0; row < table.count; row++) {
    if (sectionOf(table, row) !== 'model') {
      others.push(row);
      continue;
    }
    const bytes = table.bytes[row]!;
    if (room < bytes) {
      groups.push([]);
      room = most;
    }
    groups.at(-1)!.push(row);
    room -= bytes;
  }
  if (groups.length === 0) groups.push([]);
  groups.at(-1)!.push(...others);
  const { path, stat } = files[0]!;
  return groups.map((rows, i) => {
    const tensors = groups.length === 1 && others.length === 0 ? table : rowsOf(table, rows);
    return { name: shardName(i, groups.length), path, stat, tensors, metadata: null };
  });
}

/**
 * What Hugging Face's writers call a shard: `model-00001-of-00002.safetensors`.
 * @param stem of another library's
 */
export function shardName(index: number, count: number, stem = 'model'): string {
  if (count === 1) return `${stem}.safetensors`;
  const digits = (value: number): string => String(value).padStart(5, '0');
  return `${stem}-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}

/** Finds tensors by name among the tables of shards, in which each is once. */
export function locateIn(shards: readonly Shard[]): (name: string) => TensorPlace | undefined {
  return (name) => {
    for (const [shard, { tensors }] of shards.entries()) {
      const row = tensors.rowOf(name);
      if (row >= 0) return { shard, row };
    }
    return undefined;
  };
}

function rowsOf(table: TensorTable, rows: readonly number[]): ColumnTable {
  return new ColumnTable({
    names: rows.map((row) => table.names[row]!),
    dtypes: Uint8Array.from(rows, (row) => table.dtypes[row]!),
    shapes: rows.map((row) => table.shapes[row]!),
    bytes: Float64Array.from(rows, (row) => table.bytes[row]!),
    offset: Float64Array.from(rows, (row) => table.offset[row]!),
    boxes: table.boxes === null ? null : boxesOfRows(table.boxes, rows),
    sections: table.sections === null ? null : Uint8Array.from(rows, (row) => table.sections![row]!),
  });
}

function boxesOfRows(boxes: BoxColumns, rows: readonly number[]): BoxColumns {
  const first = new Int32Array(rows.length + 1);
  const boundsAt = new Float64Array(rows.length + 1);
  for (const [i, row] of rows.entries()) {
    first[i + 1] = first[i]! + boxes.first[row + 1]! - boxes.first[row]!;
    boundsAt[i + 1] = boundsAt[i]! + boxes.boundsAt[row + 1]! - boxes.boundsAt[row]!;
  }
  const file = new Int32Array(first[rows.length]!);
  const offset = new Float64Array(first[rows.length]!);
  const bounds = new Float64Array(boundsAt[rows.length]!);
  for (const [i, row] of rows.entries()) {
    const [from, to] = [boxes.first[row]!, boxes.first[row + 1]!];
    file.set(boxes.file.subarray(from, to), first[i]);
    offset.set(boxes.offset.subarray(from, to), first[i]);
    bounds.set(boxes.bounds.subarray(boxes.boundsAt[row]!, boxes.boundsAt[row + 1]!), boundsAt[i]);
  }
  return { first, file, offset, boundsAt, bounds };
}
