import { tmpdir } from 'node:os';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SHARED_MEMORY, sharedMemoryBytes } from '../../base/disk/shared-memory.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { temporaryFolder } from '../../base/disk/temporary-folder.ts';
import { homeFolder, userName } from '../../base/machine/user.ts';
import { runInGroup } from '../../base/process/process-group.ts';
import { type Check, ok, warn } from './check.ts';

/** A shell that has not answered by then is none, milliseconds. */
const SHELL_MS = 10_000;

/** Who this is. A container may not know, and nothing fails where it does not. */
export function checkUser(): Check {
  const id = process.getuid?.();
  const home = homeFolder();
  return ok('user', `${userName() ?? 'of no name here'}${id === undefined ? '' : ` (${id})`}, ${home ?? 'without a home folder'}`);
}

/** What evaluators and hooks are started with. */
export async function checkShell(): Promise<Check> {
  const none = (why: string): Check =>
    warn('shell', `commands cannot be started: ${why}`, 'Merges work. What `search --eval`, `soup` and hooks of `watch` run needs `sh`.');
  try {
    const { code } = await runInGroup('exit 0', { env: {}, signal: AbortSignal.timeout(SHELL_MS), onOutput: () => {} });
    return code === 0 ? ok('shell', 'commands can be started') : none(`\`sh -c "exit 0"\` ended with ${code}`);
  } catch (error) {
    return none((error as Error).message);
  }
}

/** Where `demo` and `bench` work. */
export async function checkTemporary(): Promise<Check> {
  const folder = tmpdir();
  return tried(
    'temp folder',
    folder,
    '`merge demo` and `merge bench` work there: set TMPDIR to a folder that you may write to.',
    async () => {
      const { bavail, bsize } = await SYSTEM.fs.statfs(folder);
      return bavail * bsize;
    },
  );
}

/** Where a search keeps merges while they are scored. */
export async function checkSharedMemory(): Promise<Check> {
  const help = 'Searches keep their merges beside their trials instead. `--work DIR` names a faster place; containers take `--shm-size`.';
  return tried('shared memory', SHARED_MEMORY, help, sharedMemoryBytes);
}

async function tried(name: string, folder: string, help: string, free: () => Promise<number>): Promise<Check> {
  try {
    await removeTree(SYSTEM, await temporaryFolder(folder, '.merge-doctor-'));
    return ok(name, `${folder}, ${((await free()) / 1e9).toPrecision(3)} GB free`);
  } catch (error) {
    return warn(name, `${folder}: ${(error as Error).message}`, help);
  }
}
