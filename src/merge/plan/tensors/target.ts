import { layOut } from '../../../checkpoints/containers/safetensors/encode-header.ts';
import type { TensorPlace, TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/**
 * The tensors of one layout shard as the outputs hold them, before each output's own dtypes: in the layout's
 * order, without what is dropped.
 */
export interface TargetShard {
  /** The layout's own table where nothing is dropped or replaced. */
  readonly table: TensorTable;
  /** [rows] row in the layout shard that each stands for. */
  readonly origin: Int32Array;
}

/** What a tensor becomes that the outputs hold in another form than the layout. */
export interface Replacement {
  readonly name: string;
  readonly dtypeCode: number;
  readonly shape: readonly number[];
}

/** How the outputs differ from the layout, by layout shard. */
export interface LayoutChanges {
  readonly dropped: readonly ReadonlySet<number>[];
  readonly replaced: readonly ReadonlyMap<number, Replacement>[];
}

/** 0, 1, … count − 1: over typed arrays, for these are made tens of thousands at a time. */
export function allRows(count: number): Int32Array {
  return new Int32Array(count).map((_, row) => row);
}

/** Where the outputs hold a tensor of the layout; null where they do not. */
export type PlaceInOutputs = (place: TensorPlace) => TensorPlace | null;

/** The same, of shards that are those of the layout. */
export function placesIn(targets: readonly TargetShard[]): PlaceInOutputs {
  const rows = new Map<number, ReadonlyMap<number, number>>();
  return ({ shard, row }) => {
    let own = rows.get(shard);
    if (own === undefined) {
      own = new Map([...targets[shard]!.origin].map((from, i) => [from, i]));
      rows.set(shard, own);
    }
    const at = own.get(row);
    return at === undefined ? null : { shard, row: at };
  };
}

export function targetShards(layout: Pick<Checkpoint, 'shards'>, { dropped, replaced }: LayoutChanges): TargetShard[] {
  return layout.shards.map(({ tensors }, s) => {
    const [without, instead] = [dropped[s]!, replaced[s]!];
    if (without.size === 0 && instead.size === 0) return { table: tensors, origin: allRows(tensors.count) };
    const origin = allRows(tensors.count).filter((row) => !without.has(row));
    const names: string[] = [];
    const shapes: (readonly number[])[] = [];
    const dtypes = new Uint8Array(origin.length);
    for (const [i, row] of origin.entries()) {
      const other = instead.get(row);
      names.push(other?.name ?? tensors.names[row]!);
      shapes.push(other?.shape ?? tensors.shapes[row]!);
      dtypes[i] = other?.dtypeCode ?? tensors.dtypes[row]!;
    }
    return { table: layOut({ names, shapes, dtypes }), origin };
  });
}
