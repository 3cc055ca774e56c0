import { join } from 'node:path';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { systemTemporaryFolder } from '../../base/disk/temporary-folder.ts';
import { writeWhole } from '../../base/disk/write-whole.ts';
import { MergeError } from '../../base/errors.ts';
import { exitText, runInGroup } from '../../base/process/process-group.ts';

/** Job as Slurm's commands take it. */
export interface JobId {
  readonly id: string;
  /** Where it is another cluster's, its name. */
  readonly cluster: string | null;
}

/** What it said may be pages of a site's rules; the last lines say what was wrong. */
const SHOWN_LINES = 8;
/** The controller is away, or too busy to answer. */
const LATER = /Unable to contact slurm controller|Socket timed out|Connection (refused|timed out)|try again later/i;
/** What the answer was to, nobody knows. */
const UNKNOWN = /Socket timed out|timed out on send/i;

/**
 * Submits a script. @param args options of sbatch beside those in the script
 * @throws MergeError E_SCHEDULER where sbatch is not there, fails, or names no job; E_TEMPORARY where its
 *   controller cannot be reached; `signal.reason` when aborted, and then the job may be there all the same
 */
export async function submitScript(script: string, args: readonly string[], signal: AbortSignal): Promise<JobId> {
  const folder = await systemTemporaryFolder('merge-submit-');
  const said = { stdout: '', stderr: '' };
  try {
    const file = join(folder, 'job.sh');
    await writeWhole(file, [Buffer.from(script)]);
    const { code } = await runInGroup(['sbatch', '--parsable', ...args, file], {
      env: {},
      signal,
      onOutput: (chunk, stream) => {
        said[stream] += chunk.toString();
      },
    });
    if (code === 0) return jobOf(said.stdout);
    throw failure(code, said.stderr);
  } finally {
    await removeTree(SYSTEM, folder);
  }
}

/** The last line that is one: a site's plugins may print before it. */
function jobOf(stdout: string): JobId {
  const found = [...stdout.matchAll(/^(\d+)(?:;([\w.-]+))?\s*$/gm)].at(-1);
  if (found !== undefined) return { id: found[1]!, cluster: found[2] ?? null };
  throw new MergeError('E_SCHEDULER', `sbatch names no job: it printed ${shown(stdout) === '' ? 'nothing' : `'${shown(stdout)}'`}`, {
    help: 'See with `squeue --me` whether there is one before you submit it again.',
  });
}

function failure(code: number, stderr: string): MergeError {
  if (code === 127 && stderr.startsWith('could not start')) {
    return new MergeError('E_SCHEDULER', `sbatch cannot be started here: ${stderr.replace('could not start sbatch: ', '').trim()}`, {
      help: 'Submit where Slurm is, as on a login node; --print writes the script without it.',
    });
  }
  const message = `sbatch took no job: it ended with ${exitText(code)}\n${shown(stderr)}`.trimEnd();
  const details = { exitCode: code, stderr: shown(stderr) };
  if (!LATER.test(stderr)) return new MergeError('E_SCHEDULER', message, { details });
  const help = UNKNOWN.test(stderr)
    ? 'It may have taken the job all the same: see with `squeue --me`, then run the same command again.'
    : 'Run the same command again in a while.';
  return new MergeError('E_TEMPORARY', message, { details, help });
}

function shown(text: string): string {
  return text.trim().split('\n').slice(-SHOWN_LINES).join('\n');
}
