import { open } from 'node:fs/promises';
import { onOutput } from './io-error.ts';

/** Adds a line to a file and flushes it. @throws MergeError of the side of outputs */
export async function appendLine(file: string, line: object): Promise<void> {
  await onOutput('write', file, async () => {
    const handle = await open(file, 'a');
    try {
      await handle.appendFile(`${JSON.stringify(line)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}
