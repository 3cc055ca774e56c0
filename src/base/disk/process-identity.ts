import { readFile, readlink } from 'node:fs/promises';
import { errnoOf } from './errno.ts';

/**
 * What tells a process from every other one, as far as the system says; null where it does not (no /proc).
 */
export interface ProcessIdentity {
  readonly bootId: string | null;
  readonly pidNamespace: string | null;
  readonly pid: number;
  /** Clock ticks between boot and start: a process id that was used again has another one. */
  readonly startTime: string | null;
}

interface ProcessStat {
  readonly state: string;
  readonly startTime: string;
}

async function processStat(pid: number | 'self'): Promise<ProcessStat | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    // The name of the program, in parentheses, may hold spaces and parentheses: fields are counted after the
    // last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, startTime] = [fields[0], fields[19]];
    return state === undefined || startTime === undefined ? null : { state, startTime };
  } catch {
    return null;
  }
}

/** The identity of this process. */
export async function currentProcess(): Promise<ProcessIdentity> {
  const [bootId, pidNamespace, stat] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'latin1').then(
      (text) => text.trim(),
      () => null,
    ),
    readlink('/proc/self/ns/pid').catch(() => null),
    processStat('self'),
  ]);
  return { bootId, pidNamespace, pid: process.pid, startTime: stat?.startTime ?? null };
}

/**
 * Whether a process still runs, seen from `self`; `unknown` from another machine, boot or container, or where
 * the system hides it.
 */
export async function processState(owner: ProcessIdentity, self: ProcessIdentity): Promise<'live' | 'dead' | 'unknown'> {
  if (owner.bootId === null || owner.pidNamespace === null || owner.startTime === null) return 'unknown';
  if (owner.bootId !== self.bootId || owner.pidNamespace !== self.pidNamespace) return 'unknown';
  const stat = await processStat(owner.pid);
  if (stat !== null) {
    // A zombie has ended; only its parent has not noticed (a container whose first process does not reap).
    return stat.startTime === owner.startTime && !'ZX'.includes(stat.state) ? 'live' : 'dead';
  }
  try {
    process.kill(owner.pid, 0);
    return 'unknown';
  } catch (error) {
    // Mounted with hidepid, /proc does not show the processes of other users: EPERM says that one is there.
    return errnoOf(error) === 'ESRCH' ? 'dead' : 'unknown';
  }
}
