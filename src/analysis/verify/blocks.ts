import { dtypeByCode } from '../../base/dtype.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** Elements recomputed at a time. */
export const BLOCK_ELEMENTS = 4096;
/**
 * Fewest and most elements of a sample: a share of a small model would prove nothing, and the twin does some
 * millions a second.
 */
const LEAST_SAMPLED = 1 << 20;
const MOST_SAMPLED = 20 << 20;

/** A run of elements of one tensor (bytes, of an integer tensor). */
export interface Block {
  readonly shard: number;
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

export interface Sample {
  /** Share of all elements that the blocks cover. */
  readonly fraction: number;
  readonly blocks: readonly Block[];
  readonly elements: number;
}

/**
 * Which blocks of a checkpoint to recompute: all, or an even stride over all of them that starts at a place
 * given by `seed`, so that a repeated verification looks at the same blocks and that of another merge at
 * others.
 *
 * @param blockElements of a tensor, most elements of a block
 * @param share 1 for all; else the share of the elements wanted, but at least one million elements (or all)
 *   and at most 20 million
 */
export function sampleBlocks(
  checkpoint: Checkpoint,
  share: number,
  seed: number,
  blockElements: (shard: number, row: number) => number = () => BLOCK_ELEMENTS,
): Sample {
  const blocksOf = ({ elements, size }: { elements: number; size: number }): number => Math.ceil(elements / size);
  const rows: { shard: number; row: number; elements: number; size: number; firstBlock: number }[] = [];
  let total = 0;
  let allBlocks = 0;
  for (const [shard, { tensors: table }] of checkpoint.shards.entries()) {
    for (let row = 0; row < table.count; row++) {
      const dtype = dtypeByCode(table.dtypes[row]!);
      const bytes = table.bytes[row]!;
      const elements = dtype.kind === 'float' ? (bytes * 8) / dtype.bits : bytes;
      const entry = { shard, row, elements, size: blockElements(shard, row), firstBlock: allBlocks };
      rows.push(entry);
      allBlocks += blocksOf(entry);
      total += elements;
    }
  }
  const asked = Math.min(Math.max(Math.ceil(allBlocks * share), LEAST_SAMPLED / BLOCK_ELEMENTS), MOST_SAMPLED / BLOCK_ELEMENTS);
  const wanted = share >= 1 ? allBlocks : Math.min(asked, allBlocks);
  const stride = Math.max(1, allBlocks / wanted);
  const start = wanted === allBlocks ? 0 : (seed % 65_521) / 65_521;

  const blocks: Block[] = [];
  let elements = 0;
  let at = 0;
  for (let i = 0; i < wanted && i < allBlocks; i++) {
    const block = Math.min(allBlocks - 1, Math.floor((i + start) * stride));
    while (rows[at]!.firstBlock + blocksOf(rows[at]!) <= block) at++;
    const { shard, row, elements: all, size, firstBlock } = rows[at]!;
    const from = (block - firstBlock) * size;
    const to = Math.min(all, from + size);
    elements += to - from;
    blocks.push({ shard, row, from, to });
  }
  return { fraction: total === 0 ? 1 : elements / total, blocks, elements };
}
