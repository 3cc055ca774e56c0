import { MergeError } from '../../../base/errors.ts';
import type { TensorTable } from '../../tensors/types.ts';
import type { DataColumns } from './sort-by-data.ts';
import type { HeaderSource } from './types.ts';

/**
 * The data of the tensors must follow one another from byte 0 of the data section, with no byte shared or
 * left over between them.
 * @throws MergeError E_OVERLAP, E_HOLE, E_OFFSETS
 */
export function checkContiguous({ begin, end, names }: DataColumns, dataStart: number, { path, fileSize }: HeaderSource): void {
  let last = 0;
  for (let row = 0; row < names.length; row++) {
    const start = begin[row]!;
    if (start !== last) {
      const tensor = names[row]!;
      const before = row === 0 ? 'the start of the data' : `tensor ${JSON.stringify(names[row - 1])}`;
      const [code, problem] =
        start < last
          ? (['E_OVERLAP', `shares bytes with ${before}`] as const)
          : dataStart + start > fileSize
            ? (['E_OFFSETS', 'begins beyond the end of the file'] as const)
            : (['E_HOLE', `leaves ${start - last} bytes after ${before} that belong to no tensor`] as const);
      const position = dataStart + start;
      throw new MergeError(code, `${path}, tensor ${JSON.stringify(tensor)}, byte ${position}: ${problem}`, {
        details: { file: path, tensor, position },
      });
    }
    last = end[row]!;
  }
}

/**
 * The data must end where the file ends.
 * @throws MergeError E_FILE_TRUNCATED, E_TRAILING_BYTES
 */
export function checkFileSize(tensors: TensorTable, dataStart: number, { path, fileSize }: HeaderSource): void {
  const { count, offset, bytes } = tensors;
  const expected = count === 0 ? dataStart : offset[count - 1]! + bytes[count - 1]!;
  if (expected === fileSize) return;
  if (expected < fileSize) {
    throw new MergeError('E_TRAILING_BYTES', `${path}, byte ${expected}: ${fileSize - expected} bytes follow the last tensor`, {
      details: { file: path, position: expected },
    });
  }
  const row = offset.findIndex((start, i) => start + bytes[i]! > fileSize);
  const tensor = tensors.names[row]!;
  throw new MergeError(
    'E_FILE_TRUNCATED',
    `${path}, tensor ${JSON.stringify(tensor)}, byte ${fileSize}: the file has ${fileSize} bytes, its header describes ${expected}`,
    { details: { file: path, tensor, position: fileSize } },
  );
}
