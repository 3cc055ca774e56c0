import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { syncFolder, writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { readIfThere } from '../../base/store/store.ts';
import { locate } from './destination.ts';

/** A member takes some hundred bytes. */
const MAX_RECORD_BYTES = 2 ** 26;

/**
 * Writes the record of a merge beside its file, which appears then: whoever finds the file finds the record.
 * Where it does not appear, what lay there before is there again.
 * @throws MergeError of the side of outputs; what `publish` throws
 */
export async function withRecordBeside(path: string, text: string, publish: () => Promise<void>): Promise<void> {
  const before = await readIfThere(path, MAX_RECORD_BYTES);
  await write(path, text);
  try {
    await publish();
  } catch (error) {
    await (before === null ? SYSTEM.fs.unlink(path) : write(path, before)).catch(() => {});
    throw error;
  }
}

/** The file appears whole or not at all, in the place of what lay there. */
async function write(path: string, content: string | Uint8Array): Promise<void> {
  const { parent, name } = await locate(path);
  const draft = join(parent, `.${name}-${newId()}`);
  await onOutput('write', path, async () => {
    try {
      await writeNewFile(SYSTEM, draft, content);
      await SYSTEM.fs.rename(draft, join(parent, name));
    } finally {
      await removeTree(SYSTEM, draft);
    }
  });
  await syncFolder(SYSTEM, parent);
}
