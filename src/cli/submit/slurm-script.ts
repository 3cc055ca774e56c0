import { MergeError } from '../../base/errors.ts';
import { LAUNCH_VARIABLES } from '../../base/process/rank.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { printable } from '../../render/format.ts';

/** A merge as a job of Slurm. */
export interface SlurmJob {
  readonly name: string;
  readonly nodes: number;
  /** CPUs of each; null: all of a machine that no other job has. */
  readonly cpus: number | null;
  readonly time: string | undefined;
  readonly partition: string | undefined;
  readonly account: string | undefined;
  /** More options of sbatch, a line each, as its own scripts have them. */
  readonly more: readonly string[];
  /** How often it queues anew when its time is over. */
  readonly restarts: number;
  /** Folder that it works in, absolute. */
  readonly folder: string;
  /** Its log, absolute, with Slurm's `%j`. */
  readonly log: string;
  /** Program and arguments; each node finds them under the same paths. */
  readonly words: readonly string[];
  /** The command that made it, for people. */
  readonly madeBy: string;
}

/** What comes after a merge, as a job that waits for it. */
export interface ThenJob {
  readonly name: string;
  readonly partition: string | undefined;
  readonly account: string | undefined;
  readonly more: readonly string[];
  readonly folder: string;
  /** Its log, absolute, with Slurm's `%j`, of an array `%A` and `%a`. */
  readonly log: string;
  /** Text for `sh -c`, which finds its output in MERGE_MODEL. */
  readonly command: string;
  /** A task of it for each, absolute. */
  readonly outputs: readonly string[];
  /** What each goes by, in MERGE_NAME. */
  readonly names?: readonly string[];
  /** A folder that is to be there before the command runs. */
  readonly makes?: string;
}

/**
 * Seconds between the starts of the processes in one run of the job. The last is longer than it takes Slurm to
 * notice that a machine does not answer: a third of its SlurmdTimeout, which is 300 s where nobody chose it.
 */
const PAUSES = [10, 120];

/**
 * The folder that a job works in and writes its log into, as a line of sbatch can name it.
 * @throws MergeError E_USAGE
 */
export function slurmFolder(): string {
  const folder = process.cwd();
  if (!folder.includes('\\') && inLine(folder) === folder) return folder;
  throw new MergeError(
    'E_USAGE',
    'Slurm cannot write a log into this folder: there is a backslash, a new line or a control character in its path',
    { details: { file: folder }, help: 'Submit from another folder.' },
  );
}

/**
 * Options of sbatch that hold whatever the user's environment (SBATCH_TIMELIMIT and the like) says, which
 * counts for more than a script and less than the command line.
 */
export function jobOptions({ name, nodes, time, partition, account, folder, log }: SlurmJob): readonly string[] {
  return [
    `--job-name=${inLine(name)}`,
    `--nodes=${nodes}`,
    '--ntasks-per-node=1',
    ...(time === undefined ? [] : [`--time=${time}`]),
    ...placed({ partition, account }),
    `--chdir=${folder}`,
    `--output=${log}`,
    '--open-mode=append',
    '--requeue',
    '--no-kill',
    '--signal=TERM@60',
  ];
}

/** Before those of the user's, of which the last counts. */
function thenOptions({ name, partition, account, folder, log, outputs }: ThenJob): readonly string[] {
  return [
    `--job-name=${inLine(name)}`,
    ...(outputs.length > 1 ? [`--array=0-${outputs.length - 1}`] : []),
    ...placed({ partition, account }),
    `--chdir=${folder}`,
    `--output=${log}`,
    // A merge that failed is no reason to wait for ever.
    '--kill-on-invalid-dep=yes',
  ];
}

/** The script of a merge. */
export function mergeScript(job: SlurmJob): string {
  const { nodes, cpus, words, restarts, more, madeBy } = job;
  const whole = cpus === null ? ['--exclusive', '--mem=0'] : [`--cpus-per-task=${cpus}`];
  const step = [
    '--ntasks-per-node=1',
    ...(cpus === null ? ['--cpu-bind=none'] : [`--cpus-per-task=${cpus}`]),
    '--no-kill',
    '--kill-on-bad-exit=0',
    '--wait=0',
  ];
  return `#!/usr/bin/env bash
${header([...jobOptions(job), ...whole])}${lines(more)}
# Made by: ${inLine(madeBy)}
# A process on each node: they find out from Slurm who they are, and share the work among themselves. Whatever
# ends this job, the same command goes on where it stopped, on any number of nodes.

# Left by a launcher around sbatch, they would be taken for those of this job.
unset ${LAUNCH_VARIABLES.join(' ')}

on=(--nodes=${nodes} --ntasks=${nodes})
step=(${step.join(' ')})
merge=(${words.map(shellQuote).join(' ')})

for pause in ${PAUSES.join(' ')} 0; do
  srun "\${on[@]}" "\${step[@]}" "\${merge[@]}"
  code=$?
  case $code in
    # Done; what is wrong with the command, its inputs, outputs or space; ended by a signal.
    0 | 2 | 3 | 4 | 5 | 6 | 129 | 130 | 143) break ;;
  esac
  # A process or a machine died, or a file system was away for a moment: what is finished is kept.
  [ "$pause" = 0 ] && break
  echo "exit code $code: once more in $pause seconds"
  sleep "$pause"
  # What Slurm holds for processes that it takes for alive, on a machine that failed, is waited for otherwise.
  export SLURM_OVERLAP=1
  # Without machines that are down or do not answer; as before where Slurm does not tell.
  up=($(sinfo --noheader --Node --nodes="$SLURM_JOB_NODELIST" --format='%N %t' | awk '$2 !~ /down|fail|[*]/ { print $1 }' | sort -u))
  [ "\${#up[@]}" -gt 0 ] && on=("--nodes=\${#up[@]}" "--ntasks=\${#up[@]}" "--nodelist=$(IFS=,; echo "\${up[*]}")")
done

# Ended because the time of the job is over, and not by somebody: in the queue again, to go on.
if [ "$code" = 143 ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt ${restarts} ]; then
  case $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%L) in
    [0-2]:[0-5][0-9])
      echo "time is over: queued again"
      scontrol requeue "$SLURM_JOB_ID" && sleep 60
      ;;
  esac
fi
exit "$code"
`;
}

/** The script of what comes after a merge. */
export function thenScript(job: ThenJob): string {
  const { outputs, names, command, more, makes } = job;
  const index = outputs.length > 1 ? '$SLURM_ARRAY_TASK_ID' : '0';
  return `#!/usr/bin/env bash
${header(thenOptions(job))}${lines(more)}
outputs=(${outputs.map(shellQuote).join(' ')})
export MERGE_MODEL="\${outputs[${index}]}"
${names === undefined ? '' : `names=(${names.map(shellQuote).join(' ')})\nexport MERGE_NAME="\${names[${index}]}"\n`}${
  makes === undefined
    ? ''
    : `mkdir -p -- ${shellQuote(makes)} || exit
`
}exec sh -c ${shellQuote(command)}
`;
}

/**
 * A script that submits both, for `--print`: the second job has to know the first one's id.
 */
export function submissionScript(merge: SlurmJob, then: ThenJob): string {
  const [first, second] = [mergeScript(merge), thenScript(then)];
  const end = delimiter(`${first}${second}`);
  return `#!/usr/bin/env bash
set -e
id=$(sbatch --parsable <<'${end}'
${first}${end}
)
sbatch --parsable --dependency="afterok:\${id%%;*}" <<'${end}'
${second}${end}
`;
}

function placed({ partition, account }: Pick<SlurmJob, 'partition' | 'account'>): readonly string[] {
  return [...(partition === undefined ? [] : [`--partition=${partition}`]), ...(account === undefined ? [] : [`--account=${account}`])];
}

function header(options: readonly string[]): string {
  return options.map((option) => `#SBATCH ${sbatchWord(option)}\n`).join('');
}

function lines(more: readonly string[]): string {
  return more.map((line) => `#SBATCH ${line}\n`).join('');
}

/** Without what would end a line, or repaint a terminal: what comes after it in a script would be run. */
function inLine(text: string): string {
  return Array.from(text, (character) => (printable(character) === character ? character : '_')).join('');
}

/** A word as sbatch reads it in a script: quotes, and a backslash before what they and it are. */
function sbatchWord(option: string): string {
  if (/^[\w@%+=:,./-]+$/.test(option)) return option;
  const equals = option.indexOf('=') + 1;
  return `${option.slice(0, equals)}"${option.slice(equals).replace(/[\\"]/g, '\\$&')}"`;
}

/** A line that no line of the text is. */
function delimiter(text: string): string {
  const taken = new Set(text.split('\n'));
  let end = 'SCRIPT';
  while (taken.has(end)) end += '_';
  return end;
}
