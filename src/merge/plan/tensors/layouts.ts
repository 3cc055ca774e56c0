import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import type { TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/**
 * Where the layouts of several outputs differ. Each output follows the newest of its own members, as it would
 * alone, and one read can serve all of them only if these hold the same tensors in the same order and dtypes.
 * Shard names and metadata may differ, and so may a trainer's state where the model alone is written.
 */
export function layoutConflicts(
  outputs: readonly { readonly path: string; readonly layout: Checkpoint }[],
  { modelAlone }: { readonly modelAlone: boolean },
): Conflict[] {
  const first = outputs[0]!;
  const seen = new Set([first.layout]);
  const conflicts: Conflict[] = [];
  for (const { path, layout } of outputs) {
    if (seen.has(layout)) continue;
    seen.add(layout);
    const how = difference(first.layout, layout, modelAlone);
    if (how === null) continue;
    const message = worded`${first.path} would follow the layout of ${first.layout.path} and ${path} that of ${layout.path}, and they differ: ${how}; name one for all with like (--like), or make the outputs one by one`;
    conflicts.push({ code: 'E_LAYOUTS_DIFFER', message, file: layout.path });
  }
  return conflicts;
}

function difference(a: Checkpoint, b: Checkpoint, modelAlone: boolean): string | null {
  if (a.shards.length !== b.shards.length) return `${a.shards.length} and ${b.shards.length} tensor files`;
  for (const [s, shard] of a.shards.entries()) {
    const how = tableDifference(shard.tensors, b.shards[s]!.tensors, modelAlone);
    if (how !== null) return `${how} in tensor file ${s + 1}`;
  }
  return null;
}

function tableDifference(a: TensorTable, b: TensorTable, modelAlone: boolean): string | null {
  // Equal headers are one object.
  if (a === b) return null;
  const [ofA, ofB] = [rowsOf(a, modelAlone), rowsOf(b, modelAlone)];
  if (ofA.length !== ofB.length) return `${ofA.length} and ${ofB.length} tensors`;
  for (const [i, row] of ofA.entries()) {
    const other = ofB[i]!;
    if (a.names[row] !== b.names[other]) return `tensor ${i + 1} is ${a.names[row]} and ${b.names[other]}`;
    const [x, y] = [describe(a, row), describe(b, other)];
    if (x !== y) return `tensor ${a.names[row]} is ${x} and ${y}`;
  }
  return null;
}

/** The rows that are written. */
function rowsOf(table: TensorTable, modelAlone: boolean): number[] {
  const all = Array.from({ length: table.count }, (_, row) => row);
  return modelAlone ? all.filter((row) => sectionOf(table, row) === 'model') : all;
}

function describe(table: TensorTable, row: number): string {
  return `${dtypeByCode(table.dtypes[row]!).name} [${table.shapes[row]!.join(', ')}]`;
}
