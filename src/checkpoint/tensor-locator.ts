import { type Conflict, MergeError } from '../errors.ts';
import type { SafetensorsIndex } from '../safetensors/scan-index.ts';
import type { TensorTable } from '../safetensors/types.ts';
import type { Checkpoint, Shard } from './types.ts';

type Locate = Checkpoint['locate'];

interface KnownLayout {
  readonly index: SafetensorsIndex;
  readonly tables: readonly TensorTable[];
  readonly locate: Locate;
}

/** Layouts that were checked, by the table of their first shard: the steps of a run share tables and index, so they share this too. */
const known = new WeakMap<TensorTable, KnownLayout[]>();

/**
 * The look-up of tensors by name in a checkpoint, after index and shards were checked against each other.
 * @throws MergeError E_TENSOR_MISPLACED, E_TENSOR_TWICE, E_TENSOR_UNINDEXED; with several faults, all are in `details.conflicts`
 */
export function locateTensors(path: string, shards: readonly Shard[], index: SafetensorsIndex | null): Locate {
  const [first] = shards;
  if (first === undefined) return () => undefined;
  if (index === null) return (name) => located(0, first.header.tensors.rowOf(name));
  const tables = shards.map(({ header }) => header.tensors);
  const layouts = known.get(first.header.tensors) ?? [];
  known.set(first.header.tensors, layouts);
  let layout = layouts.find((other) => other.index === index && other.tables.every((table, i) => table === tables[i]));
  if (layout === undefined) {
    layout = { index, tables, locate: checkedLookup(path, shards, index) };
    layouts.push(layout);
  }
  return layout.locate;
}

function checkedLookup(path: string, shards: readonly Shard[], { weightMap }: SafetensorsIndex): Locate {
  /** Row of each tensor, counted through all shards. */
  const rows = new Map<string, number>();
  const firstRow: number[] = [];
  const faults = new Map<string, Conflict>();
  let row = 0;
  for (const shard of shards) {
    firstRow.push(row);
    for (const name of shard.header.tensors.names) {
      const before = rows.size;
      rows.set(name, row++);
      const expected = weightMap.get(name);
      if (rows.size === before) {
        faults.set(
          name,
          fault(
            'E_TENSOR_TWICE',
            shard.path,
            name,
            `is in another shard as well${expected === undefined ? '' : `; the index names ${expected}`}`,
          ),
        );
      } else if (expected === undefined) {
        faults.set(name, fault('E_TENSOR_UNINDEXED', shard.path, name, 'is in this shard, but not in the index'));
      } else if (expected !== shard.name) {
        faults.set(name, fault('E_TENSOR_MISPLACED', shard.path, name, `is in this shard, but the index names ${expected}`));
      }
    }
  }
  if (rows.size < weightMap.size || faults.size > 0) {
    for (const [name, shard] of weightMap) {
      if (!rows.has(name))
        faults.set(
          name,
          fault('E_TENSOR_MISPLACED', `${path}/${shard}`, name, 'is not in this shard, which the index names, nor in any other'),
        );
    }
  }
  if (faults.size > 0) throw layoutError([...faults.values()]);
  return (name) => {
    const found = rows.get(name);
    if (found === undefined) return undefined;
    let shard = firstRow.length - 1;
    while (firstRow[shard]! > found) shard--;
    return located(shard, found - firstRow[shard]!);
  };
}

function located(shard: number, row: number): ReturnType<Locate> {
  return row < 0 ? undefined : { shard, row };
}

function fault(code: Conflict['code'], file: string, tensor: string, problem: string): Conflict {
  return { code, message: `${file}, tensor ${JSON.stringify(tensor)}: ${problem}`, file, tensor };
}

function layoutError(conflicts: readonly Conflict[]): MergeError {
  const { code, message, file, tensor } = conflicts[0]!;
  const more = conflicts.length > 1 ? ` (and ${conflicts.length - 1} more tensors)` : '';
  return new MergeError(code, message + more, { details: { file: file!, tensor: tensor!, conflicts } });
}
