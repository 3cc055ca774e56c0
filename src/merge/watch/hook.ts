import { join, resolve } from 'node:path';
import { runInGroup } from '../../base/process/process-group.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';

/**
 * Runs a shell command about a merge. What it prints goes to this process's stderr.
 * @returns its exit code, see {@link runInGroup}
 * @throws signal.reason when aborted, after the command ended
 */
export async function runHook(
  command: string,
  merge: { readonly output: string; readonly step: number | null; readonly tokens: number | null },
  signal: AbortSignal,
): Promise<number> {
  const output = resolve(merge.output);
  const env = {
    MERGE_OUTPUT: output,
    MERGE_STEP: String(merge.step ?? ''),
    MERGE_TOKENS: String(merge.tokens ?? ''),
    MERGE_PROVENANCE: join(output, PROVENANCE_FILE),
  };
  const { code } = await runInGroup(command, { env, signal });
  return code;
}
