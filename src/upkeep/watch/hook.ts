import { join, resolve } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { LogFile } from '../../base/disk/log-file.ts';
import { runInGroup } from '../../base/process/process-group.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';

/** Exit code of a hook that took too long, as timeout(1) has it. */
export const TOO_LATE = 124;

/**
 * Runs a shell command about a merge. What it prints goes into a log, or to this process's stderr.
 * @param timeout seconds after which it is ended, with all that it started
 * @param log path of a file that is begun anew
 * @returns its exit code, see {@link runInGroup}; {@link TOO_LATE} where it was ended
 * @throws signal.reason when aborted, after the command ended
 */
export async function runHook(
  command: string,
  merge: { readonly output: string; readonly step: number | null; readonly tokens: number | null },
  signal: AbortSignal,
  { timeout, log }: { readonly timeout?: number | undefined; readonly log?: string | undefined } = {},
): Promise<number> {
  const output = resolve(merge.output);
  const env = {
    MERGE_OUTPUT: output,
    MERGE_STEP: String(merge.step ?? ''),
    MERGE_TOKENS: String(merge.tokens ?? ''),
    MERGE_PROVENANCE: join(output, PROVENANCE_FILE),
  };
  const late = new AbortController();
  const file = log === undefined ? null : await onOutput('write', log, async () => new LogFile(log));
  const timer = timeout === undefined ? undefined : setTimeout(() => late.abort(), timeout * 1000);
  try {
    const printed = file === null ? {} : { onOutput: (chunk: Buffer) => file.write(chunk) };
    const { code } = await runInGroup(command, { env, signal: AbortSignal.any([signal, late.signal]), ...printed });
    return code;
  } catch (error) {
    signal.throwIfAborted();
    if (late.signal.aborted) return TOO_LATE;
    throw error;
  } finally {
    clearTimeout(timer);
    file?.close();
  }
}
