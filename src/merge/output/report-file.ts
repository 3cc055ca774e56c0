import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { syncFolder, writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { constants, SYSTEM } from '../../base/disk/system.ts';
import { checkOccupant, locate } from './destination.ts';
import { place } from './replace.ts';

/** A place for the text of a report. */
export interface ReportFile {
  /**
   * The file appears whole or not at all. @throws MergeError E_OUTPUT_EXISTS where one came to be meanwhile,
   * or of the side of outputs
   */
  write(text: string): Promise<void>;
}

/**
 * Looks at the place of a report before the work that the report is about. Folders above it are not made.
 *
 * @param force replace a page of this program that is there
 * @throws MergeError E_OUTPUT_EXISTS, E_OUTPUT_KIND, E_READ_ONLY, E_IO
 */
export async function reportFile(path: string, force = false): Promise<ReportFile> {
  const destination = await locate(path);
  const { output, parent } = destination;
  await checkOccupant(destination, 'page', force);
  await onOutput('create', output, () => SYSTEM.fs.access(parent, constants.W_OK));
  return {
    write: async (text) => {
      const id = newId();
      const draft = join(parent, `.ckpt-merge-report-${id}`);
      await onOutput('write', output, async () => {
        try {
          await writeNewFile(SYSTEM, draft, text);
          // What lies there may be another thing than when the work began.
          await checkOccupant(destination, 'page', force);
          await place(SYSTEM, draft, destination, id, 'file', force);
        } finally {
          await removeTree(SYSTEM, draft);
        }
      });
      await syncFolder(SYSTEM, parent);
    },
  };
}
