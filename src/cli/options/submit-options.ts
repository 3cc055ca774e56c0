import type { Command, Option } from 'commander';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { debug, flag, json, listOption, valueOption } from './options.ts';
import { badValue, parseText, wholeNumber } from './values.ts';

export const SCHEDULERS = ['slurm', 'k8s'] as const;
export type Scheduler = (typeof SCHEDULERS)[number];

/** Options of one scheduler alone, by their names as commander leaves them. */
export const OF_SCHEDULER: Readonly<Record<Scheduler, readonly string[]>> = {
  slurm: ['time', 'partition', 'account', 'sbatch', 'thenSbatch', 'restarts', 'check'],
  k8s: ['image', 'pvc', 'thenImage'],
};

/** What a job is of, where it runs, and what comes after it. */
export function addSubmit(command: Command): Command {
  return command
    .usage('SCHEDULER [options] -- COMMAND...')
    .optionsGroup('Job:')
    .addOption(valueOption('--nodes <n>', 'machines, or pods of Kubernetes: one process on each (default: 1)', wholeNumber(1, MOST.nodes)))
    .addOption(
      valueOption('--cpus <n>', 'CPUs of each (default: all, with the whole machine for the job alone)', wholeNumber(1, MOST.threads)),
    )
    .addOption(valueOption('--name <name>', 'of the job (default: after the output)', parseLine))
    .addOption(
      valueOption(
        '--then <command>',
        'shell command to run when the merge is there, as a job of its own, "$MERGE_MODEL" in it or {model}; of several outputs one each',
        parseText,
      ),
    )
    .addOption(flag('--print', 'print the script or manifest, submit nothing'))
    .optionsGroup('Slurm:')
    .addOption(valueOption('--time <limit>', 'as sbatch takes it: 90 (minutes), 2:00:00, 1-12 (default: of the partition)', parseTimeLimit))
    .addOption(valueOption('--partition <name>', 'where it runs', parseLine))
    .addOption(valueOption('--account <name>', 'who pays', parseLine))
    .addOption(sbatchOption('--sbatch <options>', "more options of sbatch, as '--qos=high --mem=64G'; may be repeated"))
    .addOption(sbatchOption('--then-sbatch <options>', "those of the job of --then, as '--gres=gpu:1 --partition=gpu'; may be repeated"))
    .addOption(
      valueOption(
        '--restarts <n>',
        'times that the job queues anew to go on when its time is over (default: 3)',
        wholeNumber(0, MOST.repeats),
      ),
    )
    .addOption(flag('--no-check', 'do not plan the merge first: its inputs are there only when the job begins'))
    .optionsGroup('Kubernetes:')
    .addOption(valueOption('--image <name>', 'container image with ckpt-merge on its PATH (required)', parseLine))
    .addOption(
      listOption(
        '--pvc <name:mount...>',
        'volumes (PersistentVolumeClaim) and where they are mounted; the first is the working folder',
        parseClaim,
      ),
    )
    .addOption(valueOption('--then-image <name>', 'image of the job of --then (default: that of the merge)', parseLine))
    .optionsGroup('Reporting:')
    .addOption(json())
    .addOption(flag('-q, --quiet', "print only the job's id"))
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}

/** A volume of Kubernetes and the folder that it is in a container. */
export interface MountedClaim {
  readonly claim: string;
  readonly mount: string;
}

/** One line of text, which a line of a script can hold. */
function parseLine(text: string, option: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what no line has
  if (/[\u0000-\u001f\u007f]/.test(text)) throw badValue(option, JSON.stringify(text), 'one line of text');
  return parseText(text.trim(), option);
}

const TIME_LIMIT = /^(\d{1,7}|\d{1,5}:\d\d|\d{1,5}:\d\d:\d\d|\d{1,5}-\d{1,2}(:\d\d){0,2})$/;

function parseTimeLimit(text: string, option: string): string {
  if (!TIME_LIMIT.test(text) || !/[1-9]/.test(text)) {
    throw badValue(option, text, 'a limit as sbatch does', 'Write minutes (90), hours:minutes:seconds (2:00:00), or days-hours (1-12).');
  }
  return text;
}

/**
 * What a job of this program has of its own: another value of it would break the script, or what is said of
 * it, with the option to use where there is one.
 */
const OWN_OF_SBATCH: Readonly<Record<string, string>> = {
  nodes: '--nodes',
  N: '--nodes',
  'cpus-per-task': '--cpus',
  c: '--cpus',
  time: '--time',
  t: '--time',
  partition: '--partition',
  p: '--partition',
  account: '--account',
  A: '--account',
  'job-name': '--name',
  J: '--name',
  ntasks: '',
  n: '',
  'ntasks-per-node': '',
  array: '',
  a: '',
  output: '',
  o: '',
  chdir: '',
  D: '',
  signal: '',
  parsable: '',
  wrap: '',
};

function sbatchOption(flags: string, description: string): Option {
  const own = flags.startsWith('--sbatch') ? OWN_OF_SBATCH : { array: '', a: '', parsable: '', wrap: '' };
  return listOption(flags, description, (text, option) => {
    const line = parseLine(text, option);
    if (!line.startsWith('-')) throw badValue(option, text, "options of sbatch, as '--qos=high'");
    for (const [, long, short] of line.matchAll(/(?:^|\s)(?:--([a-z][a-z-]*)|-([A-Za-z]))/g)) {
      const name = long ?? short!;
      if (!Object.hasOwn(own, name)) continue;
      const other = (own as Readonly<Record<string, string>>)[name]!;
      throw new MergeError('E_OPTION', `${option}: ${long === undefined ? '-' : '--'}${name} of sbatch is for this program to set`, {
        help: other === '' ? 'Leave it out, or print the script with --print and change it.' : `Use ${other}.`,
      });
    }
    return line;
  });
}

function parseClaim(text: string, option: string): MountedClaim {
  const [claim = '', mount = '', ...more] = parseLine(text, option).split(':');
  const named = /^[a-z\d]([a-z\d.-]*[a-z\d])?$/.test(claim);
  if (!named || !/^\/[^/]/.test(mount) || more.length > 0)
    throw badValue(option, text, 'the name of a claim and an absolute path, as checkpoints:/data');
  return { claim, mount: mount.replace(/\/+$/, '') };
}

/** The command that is submitted cannot be told from this one's options. */
export function withoutDashes(invocation: string): MergeError {
  return new MergeError('E_USAGE', 'the command to submit stands behind --', {
    help: `As in: ${invocation} submit slurm --nodes 8 -- average run -o merged`,
  });
}
