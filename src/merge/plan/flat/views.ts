import { dtypeByName } from '../../../base/dtype.ts';
import { boxesOfRun } from '../../../checkpoints/tensors/box-runs.ts';
import { BoxTable } from '../../../checkpoints/tensors/box-table.ts';
import { extentsOf } from '../../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { stateTensor } from '../../../model/roles/optimizer-state.ts';
import type { FlatMasters } from './masters.ts';

/** Padding of buffers by their names, of masters and of the moments that lie as they do. */
export function paddingOf(layout: Checkpoint, { buffers, padding }: FlatMasters): Map<string, [from: number, to: number][]> {
  const found = new Map<string, [number, number][]>();
  const stem = (name: string): string => name.slice(0, name.lastIndexOf('.') + 1);
  const ranges = new Map<string, [number, number][]>();
  for (const [i, { shard, row }] of buffers.entries()) {
    const own = padding.filter(({ buffer }) => buffer === i);
    ranges.set(
      stem(layout.shards[shard]!.tensors.names[row]!),
      own.map(({ from, to }) => [from, to]),
    );
  }
  for (const { tensors } of layout.shards) {
    for (const name of tensors.names) {
      const own = ranges.get(stem(name));
      if (own !== undefined && stateTensor(name).flat) found.set(name, own);
    }
  }
  return found;
}

/** What the master of a weight is called among a checkpoint's tensors. */
export const masterName = (weight: string): string => `float32 master of ${weight}`;

/**
 * A checkpoint with the masters of its weights as tensors of their own, behind all others: views of its buffers.
 */
export function withMasters(checkpoint: Checkpoint, layout: Checkpoint, { runs, buffers }: FlatMasters): Checkpoint {
  const views = new BoxTable();
  for (const { part, buffer, from } of runs) {
    const table = layout.shards[part.weight.shard]!.tensors;
    const { shard, row } = buffers[buffer]!;
    const place = checkpoint.locate(layout.shards[shard]!.tensors.names[row]!)!;
    const stride = part.size.map((_, axis) => part.size.slice(axis + 1).reduce((product, length) => product * length, 1));
    const tensor = { dtype: dtypeByName('F32')!, shape: table.shapes[part.weight.row]!, section: 'optimizer' } as const;
    for (const extent of extentsOf(checkpoint, place, from, part.elements)) {
      for (const { start, size, at } of boxesOfRun(part.size, extent.from - from, extent.elements)) {
        views.add(masterName(table.names[part.weight.row]!), tensor, {
          file: extent.file,
          offset: extent.offset + (at - (extent.from - from)) * 4,
          start: start.map((first, axis) => part.start[axis]! + first),
          size,
          stride,
        });
      }
    }
  }
  const table = views.table((name, text) => new RangeError(`${name} ${text}`));
  const { path, stat } = checkpoint.files[0]!;
  const shard = checkpoint.shards.length;
  return {
    ...checkpoint,
    shards: [...checkpoint.shards, { name: '', path, stat, tensors: table, metadata: null }],
    locate(name, file) {
      const row = table.rowOf(name);
      return row >= 0 ? { shard, row } : checkpoint.locate(name, file);
    },
  };
}
