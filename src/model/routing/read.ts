import type { FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { TensorSource } from '../../checkpoints/tensors/types.ts';
import type { RouterLayer, RouterWeights, RoutingTensor } from './types.ts';

/**
 * Elements of a tensor (or one layer's part) of a plain float dtype, as float64: all of them, or `count` from
 * element `from`.
 * @throws MergeError E_INPUT_CHANGED when its file is shorter than its header says
 */
export async function readFloats(
  reader: ByteReader,
  source: TensorSource,
  place: RoutingTensor,
  from = 0,
  count = place.shape.reduce((product, size) => product * size, 1) - from,
): Promise<Float64Array> {
  const dtype = place.dtype as FloatDtypeName;
  const size = FLOAT_BYTES[dtype];
  return decodeFloats(dtype, await readTensor(reader, source, place, (place.from + from) * size, count * size));
}

/** The router of a layer with its biases, experts as rows. */
export async function readRouter(reader: ByteReader, checkpoint: TensorSource, layer: RouterLayer): Promise<RouterWeights> {
  const vector = async (place: RoutingTensor | null) => (place === null ? null : await readFloats(reader, checkpoint, place));
  const data = await readFloats(reader, checkpoint, layer.router);
  return {
    rows: layer.transposed ? transpose(data, layer.width, layer.experts) : data,
    logitBias: await vector(layer.logitBias),
    correctionBias: await vector(layer.correctionBias),
  };
}

function transpose(data: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return out;
}
