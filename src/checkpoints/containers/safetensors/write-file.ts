import { writeWhole } from '../../../base/disk/write-whole.ts';
import { MergeError } from '../../../base/errors.ts';
import { encodeTable, type HeaderMetadata, layOut, type TensorSpec } from './encode-header.ts';

/** A tensor with its bytes, little-endian and in row-major order. */
export interface TensorData extends TensorSpec {
  readonly data: Uint8Array;
}

/**
 * Writes a safetensors file: 8-byte aligned header, data in the order given. The file appears whole or not at
 * all (see `writeWhole`). For data that is already in memory;
 * merging has its own way to disk.
 * @param options.metadata `__metadata__`; transformers asks for `{ format: 'pt' }`
 * @throws MergeError E_SIZE_MISMATCH when a tensor's data does not fit its dtype and shape, what
 *   `encodeHeader` throws, E_NO_SPACE, E_READ_ONLY, E_IO
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorData>,
  options: { readonly metadata?: HeaderMetadata } = {},
): Promise<void> {
  const list = [...tensors];
  const table = layOut(list);
  list.forEach(({ name, dtype, shape, data }, row) => {
    const bytes = table.bytes[row]!;
    if (data.byteLength === bytes) return;
    throw new MergeError(
      'E_SIZE_MISMATCH',
      `tensor ${JSON.stringify(name)}: ${dtype} of shape [${shape.join(', ')}] needs ${bytes} bytes, its data has ${data.byteLength}`,
      { details: { file: path, tensor: name }, help: 'Correct what is being written.' },
    );
  });
  const header = encodeTable(table, options.metadata ?? null);
  await writeWhole(path, [header, ...list.map(({ data }) => data)]);
}
