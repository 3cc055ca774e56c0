import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/owner.ts';
import { removeTree, syncFolder, systemOf, writeNewFile } from '../../base/disk/system.ts';
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
 * @param force replace a file that is there
 * @throws MergeError E_OUTPUT_EXISTS, E_OUTPUT_KIND, E_READ_ONLY, E_IO
 */
export async function reportFile(path: string, force = false): Promise<ReportFile> {
  const destination = await locate(path);
  const { output, parent } = destination;
  await checkOccupant(destination, 'file', force);
  await onOutput('create', output, () => access(parent, constants.W_OK));
  return {
    write: async (text) => {
      const system = systemOf({});
      const id = newId();
      const draft = join(parent, `.ckpt-merge-report-${id}`);
      await onOutput('write', output, async () => {
        try {
          await writeNewFile(system, draft, text);
          await place(system, draft, destination, id, 'file', force);
        } finally {
          await removeTree(system, draft);
        }
      });
      await syncFolder(system, parent);
    },
  };
}
