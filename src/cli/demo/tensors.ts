import type { AveragedDtypeName } from '../../base/dtype.ts';
import { MergeError } from '../../base/errors.ts';
import { decodeFloat, FLOAT_BYTES } from '../../base/numbers/float.ts';
import type { Matrix } from '../../base/numbers/matrix.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** Reads weights of one checkpoint as float64 by name, checking shapes. */
export interface WeightReader {
  /**
   * @throws MergeError E_MODEL when the tensor is missing, has another shape, or is not of a plain float
   *   dtype.
   */
  matrix(name: string, rows: number, columns: number): Promise<Matrix>;
  /** As {@link WeightReader.matrix}, for a tensor of one dimension. */
  vector(name: string, length: number): Promise<Float64Array>;
}

/**
 * Opens the checkpoint at `path`, gives a reader of its weights to `use`, and closes every file again when
 * that settles.
 *
 * @throws MergeError whatever `openCheckpoint` throws for a checkpoint that cannot be read, and what the
 *   reader throws.
 */
export async function withWeights<T>(path: string, use: (weights: WeightReader) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(path);
  const reader = new ByteReader();
  const read = async (name: string, shape: readonly number[]): Promise<Float64Array> => {
    const { dtype, place } = find(checkpoint, name, shape);
    const bytes = await readTensor(reader, checkpoint, place);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return Float64Array.from({ length: bytes.length / FLOAT_BYTES[dtype] }, (_, i) => decodeFloat(dtype, view, i));
  };
  try {
    return await use({
      matrix: async (name, rows, columns) => ({ rows, columns, data: await read(name, [rows, columns]) }),
      vector: (name, length) => read(name, [length]),
    });
  } finally {
    await reader.close();
  }
}

function find(checkpoint: Checkpoint, name: string, shape: readonly number[]): { dtype: AveragedDtypeName; place: TensorPlace } {
  const place = checkpoint.locate(name);
  if (place === undefined) throw modelError(checkpoint.path, `the model needs a tensor ${name}, which is not there`, name);
  const info = checkpoint.shards[place.shard]!.tensors.info(place.row);
  if (info.shape.join() !== shape.join()) {
    throw modelError(checkpoint.path, `tensor ${name} has shape [${info.shape}] where config.json asks for [${shape}]`, name);
  }
  if (!(info.dtype in FLOAT_BYTES)) throw modelError(checkpoint.path, `tensor ${name} has dtype ${info.dtype}, not a plain float`, name);
  return { dtype: info.dtype as AveragedDtypeName, place };
}

/** The error for a checkpoint that the demo's forward pass cannot run. */
export function modelError(path: string, what: string, tensor?: string): MergeError {
  return new MergeError('E_MODEL', `${path}: ${what}`, { details: tensor === undefined ? { file: path } : { file: path, tensor } });
}
