import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SideFile } from '../checkpoint/side-files.ts';
import { onOutput, toMergeError } from './io-error.ts';

/**
 * Copies files into `dir` by content: modes, owners, times and links of the source mean nothing in the copy, and no file system feature is needed.
 * @param replaced contents to write instead of the source's, by name
 * @returns bytes written
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE for a source; E_NO_SPACE, E_IO for the copy
 */
export async function copySideFiles(
  files: readonly Pick<SideFile, 'name' | 'path'>[],
  dir: string,
  replaced: ReadonlyMap<string, string> = new Map(),
): Promise<number> {
  let bytes = 0;
  for (const { name, path } of files) {
    const edited = replaced.get(name);
    const content = edited === undefined ? await readSource(path) : Buffer.from(edited);
    const target = join(dir, name);
    await onOutput('write', target, async () => {
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content);
    });
    bytes += content.length;
  }
  return bytes;
}

async function readSource(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw toMergeError(error, { action: 'read', file: path, side: 'input' });
  }
}
