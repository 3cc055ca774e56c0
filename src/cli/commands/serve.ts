import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import type { Context } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { servingText, startServer } from '../terminal/serving.ts';

interface CommandFlags {
  readonly listen?: string;
  readonly serveTokenFile?: string;
  readonly quiet?: boolean;
}

/** `merge serve`: the address on stdout; it goes on until a signal ends it. */
export async function run({ terminal }: Context, args: readonly (string | readonly string[])[], flags: CommandFlags): Promise<number> {
  const folder = args[0] as string;
  if ((await storeOf(folder).stat(folder)).kind !== 'folder') {
    throw new MergeError('E_NOT_READABLE', `${folder}: is no folder`, {
      details: { file: folder },
      help: 'Name the folder that the page lies in.',
    });
  }
  const { listen, serveTokenFile, quiet } = flags;
  const { server, isGuarded } = await startServer(folder, listen, serveTokenFile, terminal.env);
  try {
    return await interruptible(terminal, (signal) => {
      const ended = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
      terminal.out.write(`${server.url}\n`);
      if (!quiet) terminal.err.write(`${servingText(folder, server, isGuarded)} until Ctrl-C\n`);
      return ended;
    });
  } finally {
    await server.close();
  }
}
