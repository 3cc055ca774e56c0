import type { FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import { splitMix64 } from '../../base/numbers/random.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { ExpertTensor, RouterLayer } from '../routing/types.ts';

/** A run of elements that belongs to one expert. */
interface Piece {
  readonly expert: number;
  readonly tensor: TensorPlace;
  readonly dtype: FloatDtypeName;
  /** First byte in the tensor. */
  readonly offset: number;
  readonly elements: number;
  /** Where it goes in the expert's row of the sample. */
  readonly at: number;
}

/**
 * Where a sample of the experts' weights of one layer lies, in checkpoints of equal tensor tables: the same
 * elements of each expert.
 */
export interface SamplePlan {
  /** Elements of each expert. */
  readonly width: number;
  readonly pieces: readonly Piece[];
  /** What was taken, for comparison: samples of two checkpoints can be compared where it is the same. */
  readonly key: string;
}

/**
 * Chooses a block of neighbouring elements of an expert's matrices, at places that a seed decides.
 *
 * @param size elements of an expert, about
 * @param most matrices of an expert that are looked at; each is a read
 * @returns null where no matrix of the experts is stored as plain floats
 */
export function planSample(
  layer: RouterLayer,
  { size, most, seed }: { readonly size: number; readonly most: number; readonly seed: number },
): SamplePlan | null {
  const kinds = new Map<string, ExpertTensor[]>();
  for (const tensor of layer.expertTensors) {
    const count = expertsIn(tensor, layer.experts);
    if (!(tensor.dtype in FLOAT_BYTES) || count === 0) continue;
    const key = `${tensor.expert === 'all' ? 'all' : 'each'} ${tensor.projection} ${tensor.shape.join('x')}`;
    kinds.set(key, [...(kinds.get(key) ?? []), tensor]);
  }
  const random = splitMix64(seed);
  const pieces: Piece[] = [];
  const names = [...kinds.keys()].sort().slice(0, most);
  let width = 0;
  for (const name of names) {
    const tensors = kinds.get(name)!;
    const held = elementsOf(tensors[0]!.shape) / expertsIn(tensors[0]!, layer.experts);
    const elements = Math.min(held, Math.max(1, Math.ceil(size / names.length)));
    const from = Number(random() % BigInt(held - elements + 1));
    for (const tensor of tensors) pieces.push(...piecesOf(tensor, layer.experts, { held, from, elements, at: width }));
    width += elements;
  }
  return width === 0 ? null : { width, pieces, key: names.join('|') };
}

/** Reads a sample: [experts x width], 0 for experts that have no weights of their own. */
export async function readSample(checkpoint: Checkpoint, plan: SamplePlan, experts: number, reader: ByteReader): Promise<Float64Array> {
  const out = new Float64Array(experts * plan.width);
  for (const { expert, tensor, dtype, offset, elements, at } of plan.pieces) {
    const bytes = await readTensor(reader, checkpoint, tensor, offset, elements * FLOAT_BYTES[dtype]);
    out.set(decodeFloats(dtype, bytes), expert * plan.width + at);
  }
  return out;
}

function piecesOf(
  tensor: ExpertTensor,
  experts: number,
  { held, from, elements, at }: { held: number; from: number; elements: number; at: number },
): Piece[] {
  const dtype = tensor.dtype as FloatDtypeName;
  const piece = (expert: number, index: number): Piece => ({
    ...{ expert, tensor, dtype, elements, at },
    offset: (index * held + from) * FLOAT_BYTES[dtype],
  });
  if (tensor.expert !== 'all') return tensor.expert < experts ? [piece(tensor.expert, 0)] : [];
  return Array.from({ length: Math.min(experts, expertsIn(tensor, experts)) }, (_, expert) => piece(expert, expert));
}

/**
 * Neighbouring columns of a router: of every expert's row the same, at a place that a seed decides; all of
 * them where they are no more than `size`.
 *
 * @returns first column and their number
 */
export function routerColumns(width: number, size: number, seed: number): { readonly from: number; readonly count: number } {
  const count = Math.min(width, size);
  return { from: Number(splitMix64(seed)() % BigInt(width - count + 1)), count };
}

/** Neighbouring columns, as {@link routerColumns} chooses them. */
export type Columns = ReturnType<typeof routerColumns>;

/** [experts x count] those columns of whole rows. */
export function pickColumns(rows: Float64Array, experts: number, { from, count }: Columns): Float64Array {
  const width = rows.length / experts;
  const out = new Float64Array(experts * count);
  for (let e = 0; e < experts; e++) out.set(rows.subarray(e * width + from, e * width + from + count), e * count);
  return out;
}

/** How many experts share the tensor in equal parts; 0 where they cannot. */
function expertsIn({ expert, shape }: ExpertTensor, experts: number): number {
  const elements = elementsOf(shape);
  if (expert !== 'all') return elements === 0 ? 0 : 1;
  const count = shape.length > 2 ? shape[0]! : experts;
  return elements > 0 && count > 0 && elements % count === 0 ? count : 0;
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
