import { MergeError } from '../../base/errors.ts';
import { printable } from '../../render/format.ts';
import type { FolderServer } from '../../upkeep/serve/serve.ts';
import type { Terminal } from './terminal.ts';

/** Options of a command whose folder may be served while it works. */
export interface ServeFlags {
  readonly serve?: string | undefined;
  readonly serveTokenFile?: string | undefined;
}

/**
 * Serves a folder while work on it goes on, where that is asked for, and says where.
 * @param folder need not be there yet
 * @throws MergeError of serving, before the work begins; whatever the work throws
 */
export async function whileServing<T>(
  { err, env }: Terminal,
  folder: string,
  { serve, serveTokenFile, quiet }: ServeFlags & { readonly quiet?: boolean | undefined },
  work: () => Promise<T>,
): Promise<T> {
  if (serve === undefined) {
    if (serveTokenFile === undefined) return work();
    throw new MergeError('E_USAGE', '--serve-token-file is about a server, and none is asked for', {
      help: 'Name an address with --serve, or leave it out.',
    });
  }
  const { server, isGuarded } = await startServer(folder, serve, serveTokenFile, env);
  if (!quiet) err.write(`${servingText(folder, server, isGuarded)} while this runs\n`);
  try {
    return await work();
  } finally {
    await server.close();
  }
}

/** Starts a server with the token of a file or of the environment. */
export async function startServer(
  folder: string,
  address: string | undefined,
  tokenFile: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly server: FolderServer; readonly isGuarded: boolean }> {
  const [{ serveFolder }, { givenToken }] = await Promise.all([
    import('../../upkeep/serve/serve.ts'),
    import('../../upkeep/serve/token.ts'),
  ]);
  const token = await givenToken(tokenFile, env);
  return { server: await serveFolder({ folder, address, token }), isGuarded: token !== undefined };
}

/** What is served where; never the token. */
export function servingText(folder: string, { url }: FolderServer, isGuarded: boolean): string {
  return `serving ${printable(folder)} at ${url}${isGuarded ? ', with ?token=… at the first visit,' : ''}`;
}
