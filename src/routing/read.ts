import type { ByteReader } from '../checkpoint/byte-reader.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import type { FloatDtypeName } from '../dtype.ts';
import { decodeFloats } from '../reference/decode.ts';
import type { RouterLayer, RouterWeights, TensorPlace } from './types.ts';

/**
 * A whole tensor of a plain float dtype, as float64.
 * @throws MergeError E_INPUT_CHANGED when its file is shorter than its header says
 */
export async function readFloats(reader: ByteReader, { shards }: Pick<Checkpoint, 'shards'>, place: TensorPlace): Promise<Float64Array> {
  const { path, header } = shards[place.shard]!;
  const begin = header.tensors.begin[place.row]!;
  const bytes = await reader.read(path, header.dataStart + begin, header.tensors.end[place.row]! - begin);
  return decodeFloats(place.dtype as FloatDtypeName, bytes);
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
