import { flush } from '../machine/flush.ts';
import { onOutput } from './io-error.ts';
import { openOwn } from './own-file.ts';
import { SYSTEM } from './system.ts';

/**
 * Adds a line to a file and flushes it; where that fails, the file is as it was. @throws MergeError of the
 * side of outputs
 */
export async function appendLine(file: string, line: object): Promise<void> {
  await onOutput('write', file, async () => {
    const handle = await openOwn(SYSTEM, file, 'append');
    try {
      const { size } = await handle.stat();
      try {
        await handle.appendFile(`${JSON.stringify(line)}\n`);
        await flush(handle);
      } catch (error) {
        // The next line would go on with the torn one.
        await handle.truncate(size).catch(() => {});
        throw error;
      }
    } finally {
      await handle.close();
    }
  });
}
