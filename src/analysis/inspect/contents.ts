import { dtypeByCode } from '../../base/dtype.ts';
import { boxesOf } from '../../checkpoints/tensors/boxes.ts';
import { SECTION_WORDS, SECTIONS, type SectionWords, sectionOf } from '../../checkpoints/tensors/section.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** What of a checkpoint belongs to the model, to the optimizer, or to the trainer. */
export interface SectionTotals {
  readonly section: SectionWords;
  readonly tensors: number;
  /** Elements of its tensors. */
  readonly elements: number;
  /** Bytes of its tensors. */
  readonly bytes: number;
  /** Parts in which its tensors are stored. */
  readonly chunks: number;
  /** Values that are no tensors, and their bytes; 0 where the container is not looked through for them. */
  readonly objects: number;
  readonly objectBytes: number;
}

/** A part of a tensor that is stored by itself. */
export interface TensorChunk {
  /** Its first element in the tensor, in each dimension. */
  readonly offset: readonly number[];
  readonly size: readonly number[];
  /** Tensor file, by its name inside the checkpoint. */
  readonly file: string;
  /** Bytes from the beginning of that file to its first element. */
  readonly position: number;
}

/**
 * The sections of a checkpoint that hold something, in one order; of a container that tells of none the model
 * alone.
 */
export function sectionTotals({ shards, objects = [] }: Checkpoint): SectionTotals[] {
  const totals = new Map(SECTIONS.map((section) => [section, { tensors: 0, elements: 0, bytes: 0, chunks: 0 }]));
  for (const { tensors } of shards) {
    for (let row = 0; row < tensors.count; row++) {
      const of = totals.get(sectionOf(tensors, row))!;
      of.tensors++;
      of.bytes += tensors.bytes[row]!;
      of.elements += (tensors.bytes[row]! * 8) / dtypeByCode(tensors.dtypes[row]!).bits;
      of.chunks += tensors.boxes === null ? 1 : tensors.boxes.first[row + 1]! - tensors.boxes.first[row]!;
    }
  }
  return SECTIONS.flatMap((section): SectionTotals[] => {
    const of = totals.get(section)!;
    const held = objects.filter((one) => one.section === section);
    const [count, bytes] = [held.reduce((sum, one) => sum + one.count, 0), held.reduce((sum, one) => sum + one.bytes, 0)];
    if (of.tensors === 0 && count === 0 && section !== 'model') return [];
    return [{ section: SECTION_WORDS[section], ...of, objects: count, objectBytes: bytes }];
  });
}

/** The files of a checkpoint that hold tensors, with how many of them each holds, or holds a part of. */
export function tensorFiles({ shards, files }: Checkpoint): { name: string; bytes: number; tensors: number }[] {
  const counts = new Int32Array(files.length);
  for (const [shard, { tensors }] of shards.entries()) {
    if (tensors.boxes === null) {
      counts[shard]! += tensors.count;
      continue;
    }
    const { first, file } = tensors.boxes;
    for (let row = 0; row < tensors.count; row++) for (const one of new Set(file.subarray(first[row], first[row + 1]))) counts[one]!++;
  }
  return files.map(({ name, stat }, i) => ({ name, bytes: stat.size, tensors: counts[i]! }));
}

/** The parts of a tensor, in the order of their places in it. */
export function chunksOf({ shards, files }: Checkpoint, shard: number, row: number): TensorChunk[] {
  const { tensors } = shards[shard]!;
  const shape = tensors.shapes[row]!;
  const { boxes } = tensors;
  if (boxes === null) return [{ offset: shape.map(() => 0), size: shape, file: files[shard]!.name, position: tensors.offset[row]! }];
  const { count, start, size } = boxesOf(boxes, shape, row);
  const chunks = Array.from({ length: count }, (_, box): TensorChunk => {
    const at = boxes.first[row]! + box;
    return {
      offset: shape.map((_length, axis) => start(box, axis)),
      size: shape.map((_length, axis) => size(box, axis)),
      file: files[boxes.file[at]!]!.name,
      position: boxes.offset[at]!,
    };
  });
  return chunks.sort((a, b) => compare(a.offset, b.offset) || compare(a.size, b.size));
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [axis, value] of a.entries()) if (value !== b[axis]) return value - b[axis]!;
  return 0;
}
