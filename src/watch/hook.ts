import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { PROVENANCE_FILE } from '../publish/provenance.ts';

/** What a hook has, from being asked to end until it is ended. */
const GRACE_MS = 2000;

/**
 * Runs a shell command about a merge. What it prints goes to this process's stderr. It is a process group of its own: an abort ends all of it, also
 * when it does not listen.
 * @returns its exit code as a shell shows it: 128 + number where a signal ended it, 127 where there is no shell
 * @throws signal.reason when aborted, after the command ended
 */
export async function runHook(
  command: string,
  merge: { readonly output: string; readonly step: number | null; readonly tokens: number | null },
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted();
  const output = resolve(merge.output);
  const child = spawn('sh', ['-c', command], {
    detached: true,
    stdio: ['ignore', 2, 2],
    env: {
      ...process.env,
      MERGE_OUTPUT: output,
      MERGE_STEP: String(merge.step ?? ''),
      MERGE_TOKENS: String(merge.tokens ?? ''),
      MERGE_PROVENANCE: join(output, PROVENANCE_FILE),
    },
  });
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
      child.on('exit', (code, name) => done(code ?? 128 + constants.signals[name!]));
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
