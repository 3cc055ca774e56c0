import { createHash } from 'node:crypto';
import type { Region } from '../zip/region.ts';
import type { PlacedTensor } from './archive.ts';
import { extentOfView } from './tensor.ts';

/** Bytes up to which all are read; of more three windows are: of what differs from rank to rank, all does. */
const WHOLE = 2 ** 20;
const WINDOW = 2 ** 18;

/**
 * What tells the values of a tensor from others of its dtype and shape, at the cost of a few reads. Null for
 * a large one that lies among other bytes: that is not looked at.
 * @throws MergeError E_FILE_TRUNCATED, E_IO
 */
export async function tensorFingerprint(region: Region, { dtype, shape, stride, at }: PlacedTensor): Promise<string | null> {
  const size = dtype.bits / 8;
  const extent = extentOfView({ offset: 0, shape, stride }) * size;
  const hash = createHash('sha256');
  if (extent <= WHOLE) {
    const bytes = await region.bytes(at, extent);
    for (const element of elements(shape, stride)) hash.update(bytes.subarray(element * size, (element + 1) * size));
    return hash.digest('base64');
  }
  if (shape.reduce((product, length) => product * length, size) !== extent) return null;
  hash.update(shape.map((length, axis) => (length === 1 ? 0 : stride[axis])).join());
  const middle = Math.floor(extent / 2 / size) * size;
  for (const from of [0, middle, extent - WINDOW]) hash.update(await region.bytes(at + from, WINDOW));
  return hash.digest('base64');
}

/** Where each element of a view is, in elements, the last dimension fastest. */
function* elements(shape: readonly number[], stride: readonly number[], axis = 0, from = 0): Generator<number> {
  if (axis === shape.length) {
    yield from;
    return;
  }
  for (let i = 0; i < shape[axis]!; i++) yield* elements(shape, stride, axis + 1, from + i * stride[axis]!);
}
