import type { FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloats } from '../../base/numbers/decode.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { RouterLayer, RouterWeights, TensorPlace } from './types.ts';

/**
 * Elements of a tensor of a plain float dtype, as float64: all of them, or `count` from element `from`.
 * @throws MergeError E_INPUT_CHANGED when its file is shorter than its header says
 */
export async function readFloats(
  reader: ByteReader,
  { shards }: Pick<Checkpoint, 'shards'>,
  place: TensorPlace,
  from = 0,
  count = place.shape.reduce((product, size) => product * size, 1) - from,
): Promise<Float64Array> {
  const { path, header } = shards[place.shard]!;
  const dtype = place.dtype as FloatDtypeName;
  const start = header.dataStart + header.tensors.begin[place.row]! + from * FLOAT_BYTES[dtype];
  return decodeFloats(dtype, await reader.read(path, start, count * FLOAT_BYTES[dtype]));
}

/** The router of a layer with its biases, experts as rows. */
export async function readRouter(reader: ByteReader, checkpoint: Pick<Checkpoint, 'shards'>, layer: RouterLayer): Promise<RouterWeights> {
  const vector = async (place: TensorPlace | null) => (place === null ? null : await readFloats(reader, checkpoint, place));
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
