import { join } from 'node:path';
import { storeOf } from '../../base/store/store.ts';

/** Bytes of all files of a checkpoint, links followed. */
export async function bytesOfAll(path: string): Promise<number> {
  const store = storeOf(path);
  const entries = await store.list(path);
  if (entries === null) return (await store.stat(path)).size;
  let sum = 0;
  for (const { name, kind } of entries) {
    const inner = join(path, name);
    if (kind === 'folder') sum += await bytesOfAll(inner);
    // A link to nothing has no bytes, and one to a folder may lead around in a circle.
    else
      sum += await store.stat(inner).then(
        ({ kind: of, size }) => (of === 'file' ? size : 0),
        () => 0,
      );
  }
  return sum;
}
