import { open, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, MergeError } from '../errors.ts';
import { HEARTBEAT, HEARTBEAT_MS, heartbeatStopped } from './heartbeat.ts';
import { onOutput } from './io-error.ts';
import { claim, newId, ownerFile, readOwner, release as releaseOwner } from './owner.ts';
import { currentProcess, processState } from './process-identity.ts';
import { systemOf } from './system.ts';

const SAME_MOMENT = 'a process that started at the same moment';

/** What is locked, for messages. */
export interface LockedWork {
  /** `watch`, `search`. */
  readonly name: string;
  /** What users know the folder by. */
  readonly output: string;
  /** Of the error where another process has the lock, what it says before `already, by …`, and what to do. */
  readonly code: ErrorCode;
  readonly busy: string;
  readonly help: string;
}

/** The right to be the only process that works in a folder. */
export interface FolderLock {
  /**
   * @throws MergeError where another process took over, which takes that this one stood still for a quarter
   *   of an hour.
   */
  assertHeld(): Promise<void>;
  /** Gives it back; the next watch need not wait for anything. */
  release(): Promise<void>;
}

/**
 * Takes the lock of a folder that is there, with the owner records and the heartbeat that partial merges
 * have: that of a process which ended is taken over at once where that can be seen (same machine, boot and
 * container), else a quarter of an hour after its last sign of life.
 * @throws MergeError `work.code` naming the other's process and host
 */
export async function acquireLock(folder: string, work: LockedWork): Promise<FolderLock> {
  const { output } = work;
  const system = systemOf({});
  const self = await currentProcess();
  const heartbeat = join(folder, HEARTBEAT);
  const before = await readOwner(folder);
  const other = before?.owner;
  if (other !== undefined && !other.released) {
    const state = await processState(other, self);
    const ended = state === 'dead' || (state === 'unknown' && (await heartbeatStopped(folder, join(folder, `probe-${newId()}`), system)));
    if (!ended) throw busy(work, `process ${other.pid} on ${other.identityParts.host ?? 'another machine'}`);
  }
  const owner = {
    ...self,
    id: newId(),
    name: work.name,
    kind: 'folder' as const,
    identity: '',
    identityParts: { host: hostname() },
    parentsMade: 0,
    released: false,
  };
  const held = async (): Promise<boolean> => (await readOwner(folder))?.owner.id === owner.id;
  let generation = (before?.generation ?? -1) + 1;
  while (!(await onOutput('lock', output, () => claim(system, folder, generation, owner)))) {
    // Without hard links a record can be left half written, which nobody can read or ever finish: the next
    // number is free.
    if (before !== null || generation > 99 || (await readOwner(folder)) !== null) throw busy(work, SAME_MOMENT);
    generation++;
  }
  if (!(await held())) throw busy(work, SAME_MOMENT);
  await onOutput('lock', output, async () => {
    for (const name of await readdir(folder)) {
      if (/^owner(-\d+)?\.json$/.test(name) && name !== ownerFile(generation)) await rm(join(folder, name), { force: true });
    }
  });
  const beat = async (): Promise<void> => {
    // A write, and not utimes: on a network file system the time is then the server's.
    const handle = await open(heartbeat, 'w');
    await handle.write('0').finally(() => handle.close());
  };
  await onOutput('lock', output, beat);
  const timer = setInterval(() => void beat().catch(() => {}), HEARTBEAT_MS).unref();
  return {
    async assertHeld() {
      if (!(await held())) throw busy(work, 'a process that took over, because this one stood still for a quarter of an hour');
    },
    async release() {
      clearInterval(timer);
      if (await held()) await onOutput('unlock', output, () => releaseOwner(system, folder, { generation, owner }));
    },
  };
}

function busy({ output, code, busy, help }: LockedWork, who: string): MergeError {
  return new MergeError(code, `${output} ${busy} already, by ${who}`, { details: { file: output }, help });
}
