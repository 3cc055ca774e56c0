import type { FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type RouterLogits, routerLogits } from '../routing/choice.ts';
import { readFloats, readRouter } from '../routing/read.ts';
import type { RouterInputs, RouterLayer } from '../routing/types.ts';
import { type Columns, pickColumns } from './sample.ts';

/**
 * Rows taken at a time: about a megabyte of numbers, which stay in the cache while all inputs are multiplied
 * with them.
 */
const BLOCK_BYTES = 2 ** 20;

/** What a report keeps of one router. */
export interface RouterLook {
  /** [experts x columns.count] */
  readonly columns: Float64Array;
  /** Null without inputs. */
  readonly logits: RouterLogits | null;
  /** [experts] */
  readonly correctionBias: Float64Array | null;
}

/**
 * Reads a router once, some rows at a time: whole ones of large models as float64 are many times what a cache
 * or a collector of garbage likes.
 * @throws MergeError E_INPUT_CHANGED where a file is shorter than its header says
 */
export async function lookAtRouter(
  reader: ByteReader,
  checkpoint: Checkpoint,
  layer: RouterLayer,
  columns: Columns,
  inputs: RouterInputs | null,
): Promise<RouterLook> {
  const { experts, width, transposed, router } = layer;
  if (transposed) {
    const whole = await readRouter(reader, checkpoint, layer);
    const logits = inputs === null ? null : routerLogits(inputs, whole);
    return { columns: pickColumns(whole.rows, experts, columns), logits, correctionBias: whole.correctionBias };
  }
  const dtype = router.dtype as FloatDtypeName;
  const rowBytes = width * FLOAT_BYTES[dtype];
  const vector = async (place: RouterLayer['logitBias']) => (place === null ? null : await readFloats(reader, checkpoint, place));
  const [logitBias, correctionBias] = [await vector(layer.logitBias), await vector(layer.correctionBias)];
  // A multiple of four: what `linear` takes at once.
  const step = Math.min(experts, 4 * Math.max(1, Math.floor(BLOCK_BYTES / (32 * width))));
  const block = new Float64Array(step * width);
  const picked = new Float64Array(experts * columns.count);
  const logits = inputs === null ? null : new Float64Array(inputs.tokens * experts);
  for (let from = 0; from < experts; from += step) {
    const count = Math.min(step, experts - from);
    const bytes = await readTensor(reader, checkpoint, router, router.from * FLOAT_BYTES[dtype] + from * rowBytes, count * rowBytes);
    const rows = decodeFloats(dtype, bytes, block.subarray(0, count * width));
    picked.set(pickColumns(rows, count, columns), from * columns.count);
    if (inputs === null) continue;
    const own = routerLogits(inputs, { rows, logitBias: logitBias?.subarray(from, from + count) ?? null, correctionBias: null }).logits;
    for (let t = 0; t < inputs.tokens; t++) logits!.set(own.subarray(t * count, (t + 1) * count), t * experts + from);
  }
  return { columns: picked, logits: logits === null ? null : { logits, correctionBias }, correctionBias };
}

/** [experts x count] some columns of a router: what {@link lookAtRouter} has of them, for less. */
export async function columnsOfRouter(
  reader: ByteReader,
  checkpoint: Checkpoint,
  layer: RouterLayer,
  columns: Columns,
): Promise<Float64Array> {
  const { experts, width, transposed, router } = layer;
  if (transposed) return pickColumns((await readRouter(reader, checkpoint, layer)).rows, experts, columns);
  const dtype = router.dtype as FloatDtypeName;
  const size = FLOAT_BYTES[dtype];
  const step = Math.max(1, Math.floor(BLOCK_BYTES / (width * size)));
  const out = new Float64Array(experts * columns.count);
  // Whole rows: one read of many costs less than a read for each.
  for (let from = 0; from < experts; from += step) {
    const count = Math.min(step, experts - from);
    const bytes = await readTensor(reader, checkpoint, router, (router.from + from * width) * size, count * width * size);
    for (let row = 0; row < count; row++) {
      const at = (row * width + columns.from) * size;
      decodeFloats(
        dtype,
        bytes.subarray(at, at + columns.count * size),
        out.subarray((from + row) * columns.count, (from + row + 1) * columns.count),
      );
    }
  }
  return out;
}
