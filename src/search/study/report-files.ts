import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';

export const REPORT_PAGE = 'report.html';
export const RESULT_FILE = 'result.json';

/**
 * Puts a file of a study in the place of the one before, at once and whole. @throws MergeError of the side of
 * outputs
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.${newId()}.draft`;
  await onOutput('write', file, async () => {
    try {
      await writeNewFile(SYSTEM, draft, text);
      await SYSTEM.fs.rename(draft, file);
    } finally {
      await removeTree(SYSTEM, draft);
    }
  });
}
