import type { Checkpoint } from '../../checkpoints/types.ts';

/**
 * Numbers the tensors of a checkpoint through all its shards, in their order and in that of the rows of
 * each: the order in which policies see them.
 */
export class TensorIndex {
  /** Tensors of all shards. */
  readonly count: number;
  /** [shards] number of the first tensor of each. */
  readonly #starts: readonly number[];

  constructor({ shards }: Pick<Checkpoint, 'shards'>) {
    let count = 0;
    this.#starts = shards.map(({ tensors }) => {
      const start = count;
      count += tensors.count;
      return start;
    });
    this.count = count;
  }

  /** @param shard index into the checkpoint's shards @param row of the shard's tensor table */
  of(shard: number, row: number): number {
    return this.#starts[shard]! + row;
  }
}
