import { dtypeByCode } from '../../base/dtype.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { elementsOf } from './table.ts';
import type { Extent, TensorPlace, TensorSource } from './types.ts';

/**
 * Where elements of a tensor lie: all of them, or `elements` from element `from` on. In order, and without
 * gap; of most containers always one.
 */
export function extentsOf({ shards }: Pick<TensorSource, 'shards'>, { shard, row }: TensorPlace, from = 0, elements?: number): Extent[] {
  const { tensors } = shards[shard]!;
  const size = dtypeByCode(tensors.dtypes[row]!).bits / 8;
  const end = elements === undefined ? elementsOf(tensors, row) : from + elements;
  const { extents } = tensors;
  if (extents === null) return [{ from, elements: end - from, file: shard, offset: tensors.offset[row]! + from * size }];
  const found: Extent[] = [];
  for (let e = extents.first[row]!; e < extents.first[row + 1]!; e++) {
    const begin = Math.max(from, extents.from[e]!);
    const count = Math.min(end, extents.from[e]! + extents.elements[e]!) - begin;
    if (count <= 0) continue;
    found.push({ from: begin, elements: count, file: extents.file[e]!, offset: extents.offset[e]! + (begin - extents.from[e]!) * size });
  }
  return found;
}

/**
 * Where a tensor lies that is known to lie in one extent.
 * @throws RangeError where it is in several
 */
export function wholeExtent(source: Pick<TensorSource, 'shards'>, place: TensorPlace): Extent {
  const [extent, second] = extentsOf(source, place);
  if (extent === undefined || second !== undefined) throw new RangeError('the tensor is stored in parts');
  return extent;
}

/**
 * Bytes of a tensor: all of them, or `length` from byte `at` on.
 * @throws MergeError E_INPUT_CHANGED when a file is shorter than it was when it was opened; E_NOT_FOUND,
 *   E_NOT_READABLE, E_IO
 */
export async function readTensor(
  reader: ByteReader,
  source: TensorSource,
  place: TensorPlace,
  at = 0,
  length = source.shards[place.shard]!.tensors.bytes[place.row]! - at,
): Promise<Buffer> {
  const { path, tensors } = source.shards[place.shard]!;
  if (tensors.extents === null) return reader.read(path, tensors.offset[place.row]! + at, length);
  const size = dtypeByCode(tensors.dtypes[place.row]!).bits / 8;
  const parts: Buffer[] = [];
  for (const { elements, file, offset } of extentsOf(source, place, at / size, length / size)) {
    parts.push(await reader.read(source.files[file]!.path, offset, elements * size));
  }
  return Buffer.concat(parts);
}
