import { basename, isAbsolute, join, resolve } from 'node:path';
import { isThere } from '../../base/disk/own-file.ts';
import { MergeError } from '../../base/errors.ts';
import { speakTo } from '../../base/option-words.ts';
import { packageRoot } from '../../base/package-root.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { plan, planConversion, planRecipe } from '../../index.ts';
import type { Plan } from '../../merge/plan/types.ts';
import { warningText } from '../../render/error-text.ts';
import { formatBytes } from '../../render/format.ts';
import { checkPlaceholders, fillPlaceholders } from '../../search/evaluate/placeholders.ts';
import { type MountedClaim, OF_SCHEDULER, SCHEDULERS, type Scheduler, withoutDashes } from '../options/submit-options.ts';
import { manifest, type SuspendedJob, startCommand } from '../submit/indexed-job.ts';
import { submitJobs, submittedDocument, submittedText } from '../submit/slurm-jobs.ts';
import { mergeScript, type SlurmJob, slurmFolder, submissionScript, type ThenJob } from '../submit/slurm-script.ts';
import { readSubmitted, type SubmittedCommand } from '../submit/submitted.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { Interrupted, interruptible } from '../terminal/interrupt.ts';
import { type AverageFlags, averageOptions } from './average.ts';
import { type ConvertFlags, convertOptions } from './convert.ts';
import { type RunFlags, recipeRequest } from './run.ts';

interface SubmitFlags {
  readonly nodes?: number;
  readonly cpus?: number;
  readonly name?: string;
  readonly then?: string;
  readonly print?: boolean;
  readonly time?: string;
  readonly partition?: string;
  readonly account?: string;
  readonly sbatch?: readonly string[];
  readonly thenSbatch?: readonly string[];
  readonly restarts?: number;
  readonly check?: boolean;
  readonly image?: string;
  readonly pvc?: readonly MountedClaim[];
  readonly thenImage?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

/** How often a job queues anew by itself. */
const RESTARTS = 3;
/** Letters of a Job's name: the names of its pods, which are longer, have 63. */
const NAME_LETTERS = 50;

/** `merge submit`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: SubmitFlags): Promise<number> {
  const [scheduler, words] = args as readonly [Scheduler, readonly string[]];
  const { invocation } = context.terminal;
  if (!context.argv.includes('--')) throw withoutDashes(invocation);
  refuseOthers(scheduler, flags);
  const submitted = await readSubmitted(words, invocation);
  return scheduler === 'slurm' ? submitToSlurm(context, submitted, flags) : printJob(context, submitted, flags);
}

/** @throws MergeError E_USAGE for options of the other scheduler, and those that need another one */
function refuseOthers(scheduler: Scheduler, flags: SubmitFlags): void {
  const given = (name: string) =>
    name === 'check' ? flags.check === false : (flags as Readonly<Record<string, unknown>>)[name] !== undefined;
  const spelled = (name: string) => (name === 'check' ? '--no-check' : `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`);
  for (const other of SCHEDULERS.filter((name) => name !== scheduler)) {
    const names = OF_SCHEDULER[other].filter(given).map(spelled);
    if (names.length === 0) continue;
    const what = names.length === 1 ? 'is an option' : 'are options';
    throw new MergeError('E_USAGE', `${names.join(', ')} ${what} of \`submit ${other}\`, and not of \`submit ${scheduler}\``, {
      help: 'Leave out what is not of this scheduler.',
    });
  }
  const alone = (['thenSbatch', 'thenImage'] as const).find((name) => flags[name] !== undefined && flags.then === undefined);
  if (alone !== undefined)
    throw new MergeError('E_USAGE', `${spelled(alone)} is about the job of --then, and there is none`, {
      help: 'Name its command with --then.',
    });
  if (flags.print && flags.quiet)
    throw new MergeError('E_USAGE', '--print and --quiet cannot be used together', { help: 'Nothing is submitted, and no job has an id.' });
}

async function submitToSlurm(context: Context, submitted: SubmittedCommand, flags: SubmitFlags): Promise<number> {
  const { terminal } = context;
  const folder = slurmFolder();
  const command = thenCommand(flags.then);
  const outputs =
    flags.check === false ? await namedOutputs(submitted, terminal.invocation) : await plannedOutputs(context, submitted, flags);
  const name = flags.name ?? `merge-${stemOf(submitted, outputs)}`;
  const log = (pattern: string) => join(folder.replaceAll('%', '%%'), `${name.replace(/[^\w.-]/g, '_')}-${pattern}.log`);
  const { time, partition, account } = flags;
  const job: SlurmJob = {
    name,
    nodes: flags.nodes ?? 1,
    cpus: flags.cpus ?? null,
    time,
    partition,
    account,
    more: flags.sbatch ?? [],
    restarts: flags.restarts ?? RESTARTS,
    folder,
    log: log('%j'),
    words: [process.execPath, `${packageRoot}bin/merge.js`, ...submitted.words],
    madeBy: typed(context),
  };
  if (command !== null) requireOutputs(outputs, submitted);
  const then: ThenJob | null =
    command === null
      ? null
      : {
          name: `${name}-then`,
          partition,
          account,
          more: flags.thenSbatch ?? [],
          folder,
          log: log(outputs!.length > 1 ? 'then-%A_%a' : 'then-%j'),
          command,
          outputs: outputs!.map((path) => resolve(path)),
        };
  if (flags.print) return printScript(context, job, then, flags);
  const jobs = await interruptible(terminal, (signal) => submitJobs(job, then, signal)).catch((error: unknown) => {
    if (!(error instanceof Interrupted)) throw error;
    throw new Interrupted(error.signal, [], 'Slurm may have taken the job all the same: see with `squeue --me`');
  });
  const document = submittedDocument(job, then, jobs, outputs);
  if (flags.json) writeJson(context, document);
  else if (flags.quiet) terminal.out.write(`${document.job}\n`);
  else terminal.out.write(submittedText(document));
  return 0;
}

function printScript({ terminal, ...context }: Context, job: SlurmJob, then: ThenJob | null, { json }: SubmitFlags): number {
  const script = then === null ? mergeScript(job) : submissionScript(job, then);
  if (json) writeJson({ terminal, ...context }, { schema: 'ckpt-merge/submit', version: 1, scheduler: 'slurm', job: null, script });
  else {
    terminal.out.write(script);
    terminal.err.write(`${then === null ? 'submit it with: sbatch FILE' : 'it submits two jobs: run it with bash FILE'}\n`);
  }
  return 0;
}

/** `merge submit k8s`: prints a manifest. */
async function printJob(context: Context, submitted: SubmittedCommand, flags: SubmitFlags): Promise<number> {
  const { terminal } = context;
  if (!flags.print) {
    throw new MergeError('E_USAGE', 'a Job of Kubernetes is printed, and kubectl submits it: --print is missing', {
      help: `${[terminal.invocation, 'submit', 'k8s', '--print'].join(' ')} … | kubectl apply -f -`,
    });
  }
  const { image, pvc: claims = [], nodes = 1, cpus = null } = flags;
  if (image === undefined)
    throw new MergeError('E_USAGE', 'no image is given', {
      help: 'Name one that has ckpt-merge with --image; docs/clusters.md has a Dockerfile.',
    });
  if (claims.length === 0)
    throw new MergeError('E_USAGE', 'no volume is given: what a pod writes into its own file system ends with it', {
      help: 'Name the claim that holds the run, and where it is mounted, as --pvc checkpoints:/data; it must be ReadWriteMany.',
    });
  const twice = claims.find(({ mount }, i) => claims.findIndex((other) => other.mount === mount) < i);
  if (twice !== undefined)
    throw new MergeError('E_OPTION', `--pvc mounts two volumes at ${twice.mount}`, { help: 'Give each a folder of its own.' });
  const outputs = await namedOutputs(submitted, terminal.invocation);
  refuseOutside(outputs ?? [], claims);
  const name = flags.name ?? jobName(stemOf(submitted, outputs));
  if (flags.name !== undefined && (jobName(name) !== `merge-${name}` || name.length > NAME_LETTERS))
    throw new MergeError('E_OPTION', `--name takes small letters, digits and - between them, at most ${NAME_LETTERS}, not '${name}'`);
  const command = thenCommand(flags.then);
  if (command !== null) requireOutputs(outputs, submitted);
  const then: SuspendedJob | null =
    command === null ? null : { name: `${name}-then`, image: flags.thenImage ?? image, command, outputs: outputs! };
  const text = manifest({ name, nodes, cpus, image, claims, words: submitted.words, madeBy: typed(context) }, then);
  if (flags.json) writeJson(context, { schema: 'ckpt-merge/submit', version: 1, scheduler: 'k8s', job: name, manifest: text });
  else {
    terminal.out.write(text);
    const start = then === null ? '' : `\nthen   ${startCommand(name, then.name)}`;
    terminal.err.write(
      `submit it with: kubectl apply -f FILE\nlook   kubectl get pods -l job-name=${name}; kubectl logs -f -l job-name=${name}\ngo on  kubectl replace --force -f FILE${start}\n`,
    );
  }
  return 0;
}

/** What is written elsewhere than into a volume is lost with its pod. */
function refuseOutside(outputs: readonly string[], claims: readonly MountedClaim[]): void {
  const lost = outputs.find((path) => {
    const inside = isAbsolute(path) ? path : join(claims[0]!.mount, path);
    return !claims.some(({ mount }) => resolve(inside).startsWith(`${mount}/`));
  });
  if (lost === undefined) return;
  throw new MergeError('E_USAGE', `${lost} lies in none of the volumes, and would be lost with its pod`, {
    details: { file: lost },
    help: `Write it below ${claims.map(({ mount }) => mount).join(' or ')}, or mount a volume there with --pvc.`,
  });
}

/** A DNS label after an output's name. */
function jobName(stem: string): string {
  const letters = stem.toLowerCase().replace(/[^a-z\d]+/g, '-');
  return `merge-${letters}`.slice(0, NAME_LETTERS).replace(/^-+|-+$/g, '');
}

/** What a job is named after: its one output, or the recipe. */
function stemOf({ command, args }: SubmittedCommand, outputs: readonly string[] | null): string {
  const path = outputs?.length === 1 || command !== 'run' ? outputs?.[0] : (args[0] as string);
  return (
    basename(path ?? command)
      .replace(/\.(safetensors|ya?ml|pt)$/, '')
      .replace(/[{}]/g, '') || 'merge'
  );
}

/** The text of --then for a shell that has the output in MERGE_MODEL; null where none is given. */
function thenCommand(command: string | undefined): string | null {
  if (command === undefined) return null;
  if (command.trim() === '') throw new MergeError('E_OPTION', '--then is empty');
  checkPlaceholders('--then', command, ['model'], true);
  return fillPlaceholders(command, { model: '' }, true) as string;
}

function requireOutputs(outputs: readonly string[] | null, { command }: SubmittedCommand): void {
  if (outputs !== null) return;
  throw new MergeError('E_USAGE', `--then needs the paths of the outputs, and those of this ${command} are known only when it is planned`, {
    help: 'Leave --no-check out where there is one, name the outputs one by one in a recipe that lies here, or submit the evaluation when the merge is there.',
  });
}

/** Paths of the outputs as they are written, without a look at the inputs; null where members decide them. */
async function namedOutputs({ command, args, options }: SubmittedCommand, invocation: string): Promise<readonly string[] | null> {
  if (command === 'verify') return [args[0] as string];
  if (command === 'convert') return [convertOptions(args[0] as readonly string[], options as ConvertFlags, invocation).output];
  const flags = options as AverageFlags & RunFlags;
  if (command === 'run' && !isThere(args[0] as string)) return flags.output === undefined ? null : [flags.output];
  const paths =
    command === 'average'
      ? [averageOptions(args[0] as readonly string[], flags).output]
      : (await recipeRequest(args[0] as string, flags)).recipe.outputs.map(({ path }) => path);
  return paths.some((path) => path.includes('{')) ? null : paths;
}

/**
 * Plans the merge as its job will, so that inputs that are not there, an output that is, and whatever else
 * forbids it are errors here.
 */
async function plannedOutputs(context: Context, submitted: SubmittedCommand, { quiet }: SubmitFlags): Promise<readonly string[]> {
  const { command, args } = submitted;
  if (command === 'verify') {
    const [path] = args as readonly string[];
    if (!isThere(path!)) throw new MergeError('E_NOT_FOUND', `${path} is not there`, { details: { file: path! } });
    return [path!];
  }
  const { err } = context.terminal;
  const made = await interruptible(context.terminal, (signal) => planned(submitted, context.terminal.invocation, signal));
  for (const warning of made.warnings) err.write(warningText(warning, err.colors));
  if (!quiet) err.write(`planned: ${formatBytes(made.bytesRead)} to read, ${formatBytes(made.bytesWritten)} to write\n`);
  speakTo('command line');
  return [...made.finished, ...made.outputs.map(({ path }) => path)];
}

async function planned({ command, args, options: flags }: SubmittedCommand, invocation: string, signal: AbortSignal): Promise<Plan> {
  if (command === 'average')
    return plan({ ...averageOptions(args[0] as readonly string[], flags as AverageFlags), resume: true }, { signal });
  if (command === 'convert')
    return planConversion({ ...convertOptions(args[0] as readonly string[], flags as ConvertFlags, invocation), resume: true }, { signal });
  const { recipe, options } = await recipeRequest(args[0] as string, flags as RunFlags);
  return planRecipe(recipe, { ...options, resume: true, signal });
}

/** The command as it was typed. */
function typed({ terminal, argv }: Context): string {
  return [terminal.invocation, ...argv.map(shellQuote)].join(' ');
}
