import type { DtypeName, FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import { splitMix64 } from '../../base/numbers/random.ts';
import { SMALL_FLOATS } from '../../base/numbers/small-float.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { Units } from '../layout/units.ts';
import type { ExpertTensor, RouterLayer } from '../routing/types.ts';

/** Dtypes that hold codes of FP4, where experts are quantised. */
const FP4: ReadonlySet<DtypeName> = new Set<DtypeName>(['U8', 'I8', 'F4']);

/** A run of elements that belongs to one expert. */
interface Piece {
  readonly expert: number;
  readonly tensor: TensorPlace;
  /** `FP4`: two codes a byte. */
  readonly dtype: FloatDtypeName | 'FP4';
  /** First byte in the tensor. */
  readonly offset: number;
  readonly bytes: number;
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
 * Chooses a block of neighbouring elements of an expert's matrices, at places that a seed decides: the same
 * elements whether experts lie one by one or fused, gate and up together or apart, wherever a merge finds
 * them so.
 *
 * @param units of the checkpoint that the layer is of
 * @param size elements of an expert, about
 * @param most matrices of an expert that are looked at; each is a read
 * @returns null where no matrix of the experts is of floats, FP8 or FP4
 */
export function planSample(
  layer: RouterLayer,
  units: Units,
  { size, most, seed }: { readonly size: number; readonly most: number; readonly seed: number },
): SamplePlan | null {
  const kinds = new Map<string, Run[]>();
  for (const tensor of layer.expertTensors) {
    if (!(tensor.dtype in FLOAT_BYTES || FP4.has(tensor.dtype))) continue;
    for (const { kind, ...run } of runsOf(tensor, layer.experts, units)) {
      if (run.elements === 0 || run.expert >= layer.experts) continue;
      const runs = kinds.get(kind);
      if (runs === undefined) kinds.set(kind, [run]);
      else runs.push(run);
    }
  }
  const random = splitMix64(seed);
  const pieces: Piece[] = [];
  const names = [...kinds.keys()].sort().slice(0, most);
  let width = 0;
  for (const name of names) {
    const runs = kinds.get(name)!;
    const held = runs[0]!.elements;
    // Codes of FP4 are taken by the byte.
    const step = runs.some(({ tensor }) => FP4.has(tensor.dtype)) ? 2 : 1;
    const elements = Math.min(held, step * Math.ceil(Math.max(1, size / names.length) / step));
    const any = Number(random() % BigInt(held - elements + 1));
    const from = any - (any % step);
    for (const { expert, tensor, from: first } of runs) {
      const dtype = FP4.has(tensor.dtype) ? 'FP4' : (tensor.dtype as FloatDtypeName);
      const bytesOf = (count: number) => (dtype === 'FP4' ? count / 2 : count * FLOAT_BYTES[dtype]);
      pieces.push({ expert, tensor, dtype, offset: bytesOf(first + from), bytes: bytesOf(elements), at: width });
    }
    width += elements;
  }
  return width === 0 ? null : { width, pieces, key: names.join('|') };
}

/** Reads a sample: [experts x width], 0 for experts that have no weights of their own. */
export async function readSample(checkpoint: Checkpoint, plan: SamplePlan, experts: number, reader: ByteReader): Promise<Float64Array> {
  const out = new Float64Array(experts * plan.width);
  for (const { expert, tensor, dtype, offset, bytes, at } of plan.pieces) {
    const data = await readTensor(reader, checkpoint, tensor, offset, bytes);
    out.set(dtype === 'FP4' ? fp4Codes(data) : decodeFloats(dtype, data), expert * plan.width + at);
  }
  return out;
}

/** A matrix of one expert, or what stands for it in a tensor of many. */
interface Run {
  readonly expert: number;
  readonly tensor: ExpertTensor;
  /** Numbers, of which packed FP4 has two in a byte. */
  readonly from: number;
  readonly elements: number;
}

/**
 * What a tensor holds of each expert, and what it is called in any layout. Of a form that no layout maps
 * (transposed, or gate and up alternating) the tensor's own parts are compared with those of the same form.
 */
function runsOf(tensor: ExpertTensor, experts: number, units: Units): (Run & { readonly kind: string })[] {
  const { expert, name, projection, shape, dtype } = tensor;
  const packed = FP4.has(dtype) && dtype !== 'F4' ? 2 : 1;
  if (projection !== null) {
    const held = units.experts(name, tensor, shape);
    if (held.refused === null) {
      return held.units.map(({ part, expert: own, from, elements }) => ({
        kind: `${part} ${packed * elements}`,
        ...{ expert: own, tensor, from: packed * (tensor.from + from), elements: packed * elements },
      }));
    }
  }
  const elements = packed * elementCount(shape);
  const count = expert !== 'all' ? 1 : shape.length > 2 ? shape[0]! : experts;
  if (count === 0 || elements % count !== 0) return [];
  const kind = `${expert === 'all' ? 'all' : 'each'} ${projection} ${shape.join('x')}`;
  const each = elements / count;
  const first = packed * tensor.from;
  return Array.from({ length: count }, (_, i) => ({
    kind,
    ...{ expert: expert === 'all' ? i : expert, tensor, from: first + i * each, elements: each },
  }));
}

/** What codes of FP4 stand for, two a byte, the lower half first; their scales are not looked at. */
function fp4Codes(bytes: Uint8Array): Float64Array {
  const { values } = SMALL_FLOATS.E2M1;
  return Float64Array.from({ length: 2 * bytes.length }, (_, i) => values[(bytes[i >> 1]! >> (4 * (i & 1))) & 15]!);
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
