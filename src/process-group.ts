import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** What a command has, from being asked to end until it is ended. */
const GRACE_MS = 2000;

export interface GroupOptions {
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Gets what the command prints on stdout, which otherwise goes to this process's stderr, as its stderr does. */
  readonly onOutput?: (chunk: Buffer) => void;
}

/**
 * Runs a shell command as a process group of its own: an abort ends all of it, also when it does not listen.
 *
 * @returns its exit code as a shell shows it: 128 + number where a signal ended it, 127 where there is no shell
 * @throws signal.reason when aborted, after the command ended
 */
export async function runInGroup(command: string, { env, signal, onOutput }: GroupOptions): Promise<number> {
  signal.throwIfAborted();
  const child = spawn('sh', ['-c', command], {
    detached: true,
    stdio: ['ignore', onOutput === undefined ? 2 : 'pipe', 2],
    env: { ...process.env, ...env },
  });
  if (onOutput !== undefined) child.stdout?.on('data', onOutput);
  const end = (name: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, name);
    } catch {
      // It ended by itself.
    }
  };
  let kill: NodeJS.Timeout | undefined;
  const stop = (): void => {
    end('SIGTERM');
    kill = setTimeout(end, GRACE_MS, 'SIGKILL');
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const code = await new Promise<number>((done) => {
      child.on('error', () => done(127));
      child.on('exit', (exit, name) => {
        const shown = exit ?? 128 + constants.signals[name!];
        if (onOutput === undefined) return done(shown);
        // The last of the output is on its way; what the command left running may keep the pipe open for ever.
        const waited = setTimeout(done, GRACE_MS, shown);
        child.on('close', () => {
          clearTimeout(waited);
          done(shown);
        });
      });
    });
    signal.throwIfAborted();
    return code;
  } finally {
    clearTimeout(kill);
    // The shell heeded the request; what it started may not have.
    if (signal.aborted) end('SIGKILL');
    signal.removeEventListener('abort', stop);
  }
}
