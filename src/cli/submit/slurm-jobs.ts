import { resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { printable } from '../../render/format.ts';
import { type JobId, submitScript } from './sbatch.ts';
import { jobOptions, mergeScript, type SlurmJob, type ThenJob, thenScript } from './slurm-script.ts';

export interface SubmittedJobs {
  readonly merge: JobId;
  readonly after: JobId | null;
}

/**
 * Submits a merge, and what comes after it. @throws MergeError as {@link submitScript}, with the merge's id where
 * only the second failed
 */
export async function submitJobs(job: SlurmJob, then: ThenJob | null, signal: AbortSignal): Promise<SubmittedJobs> {
  const merge = await submitScript(mergeScript(job), jobOptions(job), signal);
  if (then === null) return { merge, after: null };
  const cluster = merge.cluster === null ? [] : [`--clusters=${merge.cluster}`];
  try {
    return {
      merge,
      after: await submitScript(thenScript(then), [...cluster, `--dependency=afterok:${merge.id}`], signal),
    };
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    const { code, message, details, help, cause } = error;
    throw new MergeError(code, `the merge is job ${merge.id}, and what comes after it is not submitted: ${message}`, {
      details: { ...details, job: merge.id },
      help: `Mend it, and submit the same again: the merge goes on, or is there. To give it up: ${cancelCommand(merge)}\n${help}`,
      cause,
    });
  }
}

/** The document of `submit slurm`; paths are absolute. */
export interface SubmittedDocument {
  readonly schema: 'ckpt-merge/submit';
  readonly version: 1;
  readonly scheduler: 'slurm';
  readonly job: string;
  readonly cluster: string | null;
  readonly name: string;
  readonly nodes: number;
  readonly log: string;
  /** Null where they are known only when the job begins. */
  readonly outputs: readonly string[] | null;
  /** What comes after it; `tasks` of an array, null where it is none. */
  readonly after: { readonly job: string; readonly log: string; readonly tasks: number | null } | null;
  /** Commands to see how it stands, to end it, and to go on. */
  readonly look: string;
  readonly cancel: string;
  readonly resume: string;
}

export function submittedDocument(
  job: SlurmJob,
  then: ThenJob | null,
  { merge, after }: SubmittedJobs,
  outputs: readonly string[] | null,
): SubmittedDocument {
  return {
    schema: 'ckpt-merge/submit',
    version: 1,
    scheduler: 'slurm',
    job: merge.id,
    cluster: merge.cluster,
    name: job.name,
    nodes: job.nodes,
    log: logOf(job.log, merge),
    outputs: outputs?.map((path) => resolve(path)) ?? null,
    after:
      then === null || after === null
        ? null
        : { job: after.id, log: logOf(then.log, after), tasks: then.outputs.length > 1 ? then.outputs.length : null },
    look: ['squeue', ...onCluster(merge), '-j', [merge, ...(after === null ? [] : [after])].map(({ id }) => id).join(',')].join(' '),
    cancel: cancelCommand(merge),
    resume: job.madeBy,
  };
}

export function submittedText({ job, nodes, log, after, look, cancel, resume }: SubmittedDocument): string {
  const rows: (readonly [string, string])[] = [
    ['log', printable(log)],
    ['look', look],
    ['end', `${cancel} (what is finished is kept)`],
    ['go on', `the same again, on any number of nodes: ${resume}`],
  ];
  if (after !== null) {
    const tasks = after.tasks === null ? '' : `, an array of ${after.tasks}`;
    rows.splice(1, 0, ['then', `job ${after.job}${tasks}, when the merge is there; log ${printable(after.log)}`]);
  }
  return `job ${job}: ${nodes} ${nodes === 1 ? 'node' : 'nodes'}\n${rows.map(([what, text]) => `  ${what.padEnd(6)} ${text}\n`).join('')}`;
}

/** A log's path with its job's number; `N` stands for that of a task. */
function logOf(pattern: string, { id }: JobId): string {
  const values: Readonly<Record<string, string>> = { '%%': '%', '%j': id, '%A': id, '%a': 'N' };
  return pattern.replace(/%[%jAa]/g, (symbol) => values[symbol]!);
}

function onCluster({ cluster }: JobId): readonly string[] {
  return cluster === null ? [] : ['-M', cluster];
}

function cancelCommand(job: JobId): string {
  return ['scancel', ...onCluster(job), job.id].join(' ');
}
