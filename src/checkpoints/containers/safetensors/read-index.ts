import { MergeError } from '../../../base/errors.ts';
import { readExactly, storeOf } from '../../../base/store/store.ts';
import { otherContentError, otherText } from '../other-content.ts';
import { HeaderCache } from './header-cache.ts';
import { MAX_INDEX_BYTES } from './limits.ts';
import type { SafetensorsIndex } from './scan-index.ts';

/**
 * Reads an index file (`model.safetensors.index.json`) strictly. Whether the shards agree with it is the
 * matter of `openCheckpoint`.
 * @param known as in `Store.open`
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO, E_INDEX_JSON, E_INDEX_UTF8, E_INDEX_PATH,
 *   E_INDEX_TOO_LARGE, E_OTHER_CONTENT, E_DUPLICATE_KEY, E_SURROGATE
 */
export async function readIndex(
  path: string,
  cache: Pick<HeaderCache, 'index'> = new HeaderCache(),
  known = false,
): Promise<SafetensorsIndex> {
  const file = await storeOf(path).open(path, known);
  const { stat } = file;
  try {
    if (stat.size > MAX_INDEX_BYTES) {
      throw new MergeError('E_INDEX_TOO_LARGE', `${path}: the index has ${stat.size} bytes, the limit is ${MAX_INDEX_BYTES}`, {
        details: { file: path },
      });
    }
    const bytes = Buffer.allocUnsafe(stat.size);
    await readExactly(file, bytes, 0);
    try {
      return cache.index(bytes, path);
    } catch (error) {
      const other = error instanceof MergeError && error.code === 'E_INDEX_JSON' ? otherText(bytes) : null;
      throw other === null ? error : otherContentError(path, other, error);
    }
  } finally {
    await file.close();
  }
}
