import { join, resolve } from 'node:path';
import { runInGroup } from '../../base/process/process-group.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';

/** Exit code of a hook that took too long, as timeout(1) has it. */
export const TOO_LATE = 124;

/**
 * Runs a shell command about a merge. What it prints goes to this process's stderr.
 * @param timeout seconds after which it is ended, with all that it started
 * @returns its exit code, see {@link runInGroup}; {@link TOO_LATE} where it was ended
 * @throws signal.reason when aborted, after the command ended
 */
export async function runHook(
  command: string,
  merge: { readonly output: string; readonly step: number | null; readonly tokens: number | null },
  signal: AbortSignal,
  timeout?: number,
): Promise<number> {
  const output = resolve(merge.output);
  const env = {
    MERGE_OUTPUT: output,
    MERGE_STEP: String(merge.step ?? ''),
    MERGE_TOKENS: String(merge.tokens ?? ''),
    MERGE_PROVENANCE: join(output, PROVENANCE_FILE),
  };
  const late = new AbortController();
  const timer = timeout === undefined ? undefined : setTimeout(() => late.abort(), timeout * 1000);
  try {
    const { code } = await runInGroup(command, { env, signal: AbortSignal.any([signal, late.signal]) });
    return code;
  } catch (error) {
    signal.throwIfAborted();
    if (late.signal.aborted) return TOO_LATE;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
