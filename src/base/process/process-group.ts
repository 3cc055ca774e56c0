import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setImmediate, setTimeout } from 'node:timers/promises';

/** Milliseconds that a command has, from being asked to end until it is ended. */
export const GRACE_MS = 2000;
/** How often it is looked whether it has ended. */
const LOOK_MS = 20;
/**
 * Milliseconds after its end in which what a command printed is still taken, while something else prints on.
 */
const DRAIN_MS = 500;
/** Exit code of what could not be started, as a shell has it. */
const NOT_STARTED = 127;

/** Leaders of the groups that {@link runInGroup} has not seen the end of. */
const running = new Set<number>();

/** Kills all that {@link runInGroup} started, for a process that is going to die at once. */
export function killGroups(): void {
  for (const leader of running) signalGroup(leader, 'SIGKILL');
}

export interface GroupOptions {
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Gets what the command prints, which otherwise goes to this process's stderr. */
  readonly onOutput?: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
}

export interface GroupRun {
  /**
   * Exit code as a shell shows it: 128 + number where a signal ended it, 127 where it could not be started.
   */
  readonly code: number;
  /**
   * Ends what it left running: SIGTERM, after a grace SIGKILL. What made a session of its own (setsid) is not
   * reached.
   */
  endLeftovers(): Promise<void>;
}

/**
 * Starts a command as a process group of its own.
 * @param command as of {@link runInGroup} @param env added to this process's environment
 */
export function spawnGroup(
  command: string | readonly string[],
  stdio: StdioOptions,
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const [program, ...args] = typeof command === 'string' ? ['sh', '-c', command] : command;
  return spawn(program!, args, { detached: true, stdio, env: { ...process.env, ...env } });
}

/**
 * Runs a command as a process group of its own: an abort ends all of it, also when it does not listen.
 * Nothing that it left running is waited for: it is over when the command itself is, and what that printed
 * has been handed on.
 *
 * @param command text for `sh -c`, or the words of a program and its arguments
 * @throws signal.reason when aborted, after the group ended
 */
export async function runInGroup(command: string | readonly string[], options: GroupOptions): Promise<GroupRun> {
  const { env, signal, onOutput } = options;
  signal.throwIfAborted();
  const output = onOutput === undefined ? 2 : 'pipe';
  const failed = (error: unknown): number => {
    onOutput?.(Buffer.from(`could not start ${typeof command === 'string' ? 'sh' : command[0]}: ${(error as Error).message}\n`), 'stderr');
    return NOT_STARTED;
  };
  let child: ChildProcess;
  try {
    child = spawnGroup(command, ['ignore', output, output], env);
  } catch (error) {
    // Some reasons come so (a command longer than the system takes), the others as an event.
    return { code: failed(error), endLeftovers: async () => {} };
  }
  if (child.pid !== undefined) running.add(child.pid);
  let chunks = 0;
  const hand = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    chunks++;
    onOutput?.(chunk, stream);
  };
  child.stdout?.on('data', hand('stdout'));
  child.stderr?.on('data', hand('stderr'));
  const closed = new Promise<void>((done) => child.once('close', () => done()));
  const exited = new Promise<number>((done) => {
    child.once('error', (error) => done(failed(error)));
    child.once('exit', (code, name) => done(code ?? 128 + constants.signals[name!]));
  });
  const endLeftovers = async (): Promise<void> => {
    if (child.pid === undefined) return;
    await endGroup(child.pid);
    running.delete(child.pid);
    // A process that made a session of its own may hold them for ever.
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  let ending: Promise<void> | undefined;
  const stop = (): void => {
    ending = endLeftovers();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const code = await exited;
    if (onOutput !== undefined) await Promise.race([closed, quiet(() => chunks)]);
    await ending;
    signal.throwIfAborted();
    return { code, endLeftovers };
  } finally {
    if (child.pid !== undefined) running.delete(child.pid);
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Resolves when a turn of the event loop brought no more output: what the command printed was in the pipe
 * when it ended, and what it left running may hold the pipe open, or fill it, for ever.
 */
async function quiet(chunks: () => number): Promise<void> {
  for (let waited = 0; waited < DRAIN_MS; waited += LOOK_MS) {
    const before = chunks();
    await setTimeout(LOOK_MS);
    // Timers run before the pipes are read, immediates after.
    await setImmediate();
    if (chunks() === before) return;
  }
}

/** Ends what is left of a process group: SIGTERM, after a grace SIGKILL. @param leader its first process */
export async function endGroup(leader: number): Promise<void> {
  signalGroup(leader, 'SIGTERM');
  for (let waited = 0; waited < GRACE_MS && signalGroup(leader, 0); waited += LOOK_MS) await setTimeout(LOOK_MS);
  signalGroup(leader, 'SIGKILL');
}

/**
 * Sends a signal to all of a process group, 0 only to look.
 * @param pid of the process that leads it @returns whether there is anything left in the group
 */
function signalGroup(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, name);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** An exit code in words: `exit code 3`; of one over 128, the signal that a shell means by it. */
export function exitText(code: number): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  if (name === undefined) return `exit code ${code}`;
  return `exit code ${code} (${name}${name === 'SIGKILL' ? ', often for want of memory' : ''})`;
}
