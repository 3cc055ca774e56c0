import { join } from 'node:path';
import { type Conflict, MergeError } from '../../../base/errors.ts';
import { haveSameTensors } from '../../tensors/table.ts';
import type { Shard, TensorTable } from '../../tensors/types.ts';
import type { Opened } from '../types.ts';
import type { SafetensorsIndex } from './scan-index.ts';

type Locate = Opened['locate'];

interface KnownLayout {
  readonly index: SafetensorsIndex | null;
  readonly tables: readonly TensorTable[];
  readonly locate: Locate;
}

/**
 * Layouts that were checked, by the names in their first shard: the steps of a run share columns and index, so
 * they share this too.
 */
const known = new WeakMap<readonly string[], KnownLayout[]>();

/**
 * The look-up of tensors by name in a checkpoint, after index and shards were checked against each other.
 * @throws MergeError E_TENSOR_MISPLACED, E_TENSOR_TWICE, E_TENSOR_UNINDEXED; with several faults, all are in
 *   `details.conflicts`
 */
export function locateTensors(path: string, shards: readonly Shard[], index: SafetensorsIndex | null): Locate {
  const [first] = shards;
  if (first === undefined) return () => undefined;
  if (index === null && shards.length === 1) {
    return (name) => {
      const row = first.tensors.rowOf(name);
      return row === -1 ? undefined : { shard: 0, row };
    };
  }
  const tables = shards.map(({ tensors }) => tensors);
  const layouts = known.get(first.tensors.names) ?? [];
  known.set(first.tensors.names, layouts);
  const isThis = (other: KnownLayout) =>
    other.index === index && other.tables.length === tables.length && tables.every((table, i) => haveSameTensors(table, other.tables[i]));
  let layout = layouts.find(isThis);
  if (layout === undefined) {
    layout = { index, tables, locate: index === null ? lookupOfAll(shards) : checkedLookup(path, shards, index) };
    layouts.push(layout);
  }
  return layout.locate;
}

/**
 * The look-up of tensors by file and name, where every file names its tensors without regard to the others.
 */
export function locateByFile(shards: readonly Shard[]): Locate {
  const numbers = new Map(shards.map(({ name }, i) => [name, i]));
  return (name, file) => {
    const shard = file === undefined ? undefined : numbers.get(file);
    const row = shard === undefined ? -1 : shards[shard]!.tensors.rowOf(name);
    return shard === undefined || row === -1 ? undefined : { shard, row };
  };
}

/** Without an index: every tensor is where it is, and in one shard only. */
function lookupOfAll(shards: readonly Shard[]): Locate {
  const places = new Map<string, { readonly shard: number; readonly row: number }>();
  const conflicts: Conflict[] = [];
  for (const [number, { path, tensors }] of shards.entries()) {
    for (const [row, name] of tensors.names.entries()) {
      const other = places.get(name);
      if (other === undefined) places.set(name, { shard: number, row });
      else
        conflicts.push(
          conflict(
            'E_TENSOR_TWICE',
            path,
            name,
            `is in this shard and also in ${shards[other.shard]!.name}, and no index says which counts`,
          ),
        );
    }
  }
  if (conflicts.length > 0) throw layoutError(conflicts);
  return (name) => places.get(name);
}

function checkedLookup(path: string, shards: readonly Shard[], index: SafetensorsIndex): Locate {
  /** Index into `shards` of each shard of the index. */
  const shardOf = index.shards.map((name) => shards.findIndex((shard) => shard.name === name));
  /** Row of each entry of the index in the shard that it names. */
  const rowOf = new Int32Array(index.names.length).fill(-1);
  const strays: { readonly entry: number; readonly shard: Shard }[] = [];
  const conflicts: Conflict[] = [];
  shards.forEach((shard, i) => {
    const { names } = shard.tensors;
    for (let row = 0; row < names.length; row++) {
      const entry = index.entryOf(names[row]!);
      if (entry === -1) {
        conflicts.push(conflict('E_TENSOR_UNINDEXED', shard.path, names[row]!, 'is in this shard, but not in the index'));
      } else if (shardOf[index.shardOf[entry]!] === i) rowOf[entry] = row;
      else strays.push({ entry, shard });
    }
  });
  const elsewhere = new Set<number>();
  for (const { entry, shard } of strays) {
    const expected = index.shards[index.shardOf[entry]!];
    const name = index.names[entry]!;
    elsewhere.add(entry);
    conflicts.push(
      rowOf[entry] === -1
        ? conflict('E_TENSOR_MISPLACED', shard.path, name, `is in this shard, but the index names ${expected}`)
        : conflict('E_TENSOR_TWICE', shard.path, name, `is in this shard and also in ${expected}, which the index names`),
    );
  }
  rowOf.forEach((row, entry) => {
    if (row !== -1 || elsewhere.has(entry)) return;
    const file = join(path, index.shards[index.shardOf[entry]!]!);
    conflicts.push(
      conflict('E_TENSOR_MISPLACED', file, index.names[entry]!, 'is not in this shard, which the index names, nor in any other'),
    );
  });
  if (conflicts.length > 0) throw layoutError(conflicts);
  return (name) => {
    const entry = index.entryOf(name);
    return entry === -1 ? undefined : { shard: shardOf[index.shardOf[entry]!]!, row: rowOf[entry]! };
  };
}

function conflict(code: Conflict['code'], file: string, tensor: string, problem: string): Conflict {
  return { code, message: `${file}, tensor ${JSON.stringify(tensor)}: ${problem}`, file, tensor };
}

function layoutError(conflicts: readonly Conflict[]): MergeError {
  const { code, message, file, tensor } = conflicts[0]!;
  const more = conflicts.length > 1 ? ` (and ${conflicts.length - 1} more tensors)` : '';
  return new MergeError(code, message + more, { details: { file: file!, tensor: tensor!, conflicts } });
}
