import { open, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { MergeError } from '../errors.ts';
import { onOutput } from '../publish/io-error.ts';
import { claim, newId, ownerFile, readOwner, release as releaseOwner } from '../publish/owner.ts';
import { HEARTBEAT, HEARTBEAT_MS, heartbeatStopped } from '../publish/partial.ts';
import { currentProcess, processState } from '../publish/process-identity.ts';
import { systemOf } from '../publish/system.ts';

const SAME_MOMENT = 'a process that started at the same moment';

/** The right to be the only watch of a folder. */
export interface WatchLock {
  /** @throws MergeError E_BUSY where another watch took over, which takes that this process stood still for a quarter of an hour. */
  assertHeld(): Promise<void>;
  /** Gives it back; the next watch need not wait for anything. */
  release(): Promise<void>;
}

/**
 * Takes the lock of a watch's hidden folder, with the owner records and the heartbeat that partial merges have: that of a process which ended is taken
 * over at once where that can be seen (same machine, boot and container), else a quarter of an hour after its last sign of life.
 * @throws MergeError E_BUSY naming the other's process and host
 */
export async function acquireLock(folder: string, output: string): Promise<WatchLock> {
  const system = systemOf({});
  const self = await currentProcess();
  const heartbeat = join(folder, HEARTBEAT);
  const before = await readOwner(folder);
  const other = before?.owner;
  if (other !== undefined && !other.released) {
    const state = await processState(other, self);
    const ended = state === 'dead' || (state === 'unknown' && (await heartbeatStopped(folder, join(folder, `probe-${newId()}`), system)));
    if (!ended) throw busy(output, `process ${other.pid} on ${other.identityParts.host ?? 'another machine'}`);
  }
  const owner = {
    ...self,
    id: newId(),
    name: 'watch',
    kind: 'folder' as const,
    identity: '',
    identityParts: { host: hostname() },
    parentsMade: 0,
    released: false,
  };
  const held = async (): Promise<boolean> => (await readOwner(folder))?.owner.id === owner.id;
  let generation = (before?.generation ?? -1) + 1;
  while (!(await onOutput('lock', output, () => claim(system, folder, generation, owner)))) {
    // Without hard links a record can be left half written, which nobody can read or ever finish: the next number is free.
    if (before !== null || generation > 99 || (await readOwner(folder)) !== null) throw busy(output, SAME_MOMENT);
    generation++;
  }
  if (!(await held())) throw busy(output, SAME_MOMENT);
  for (const name of await readdir(folder)) {
    if (/^owner(-\d+)?\.json$/.test(name) && name !== ownerFile(generation)) await rm(join(folder, name), { force: true });
  }
  const beat = async (): Promise<void> => {
    // A write, and not utimes: on a network file system the time is then the server's.
    const handle = await open(heartbeat, 'w');
    await handle.write('0').finally(() => handle.close());
  };
  await onOutput('lock', output, beat);
  const timer = setInterval(() => void beat().catch(() => {}), HEARTBEAT_MS).unref();
  return {
    async assertHeld() {
      if (!(await held())) throw busy(output, 'a process that took over, because this one stood still for a quarter of an hour');
    },
    async release() {
      clearInterval(timer);
      if (await held()) await releaseOwner(system, folder, { generation, owner });
    },
  };
}

function busy(output: string, who: string): MergeError {
  return new MergeError('E_BUSY', `${output} is being watched already, by ${who}`, {
    details: { file: output },
    help: 'End the other watch, or give this one another folder with -o.',
  });
}
