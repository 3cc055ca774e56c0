import { MergeError } from '../errors.ts';
import { optionName } from '../option-words.ts';

/** One of several processes that were started with the same command. */
export interface Rank {
  /** What says so, for people: `torchrun`, `srun (job 12, step 0)`. */
  readonly launcher: string;
  /** The words by which the launcher starts one process alone. */
  readonly single: string;
  readonly rank: number;
  readonly size: number;
  /**
   * What tells this start from every other one of the same command; null where the launcher says nothing of
   * the kind.
   */
  readonly launch: string | null;
  /**
   * What the launcher calls the whole of the work, however often it is started in it; null where it has no
   * name.
   */
  readonly job: string | null;
}

/** How a process finds out which rank it is: `auto` by its environment, `array` as a task of an array, `I/N`. */
export type RanksChoice = string;

/** Words that {@link RanksChoice} can be beside `I/N`. */
const RANKS_WORDS = ['auto', 'off', 'array'] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** Ranks that one command has at most: more than any cluster has nodes. */
const MOST_RANKS = 100_000;

interface Launcher {
  readonly name: string;
  readonly single: string;
  /** Variables of the rank and of the number of them. */
  readonly rank: string;
  readonly size: string;
  /** Variables that must be there too: others write names like RANK. */
  readonly with?: readonly string[];
  /** Whether somebody set the variables by hand, so that half of them is a mistake. */
  readonly byHand?: true;
  /** Variables that together name the start; those that are not there say nothing. */
  readonly launch: readonly string[];
  /** The variable that names the job. */
  readonly job?: string;
}

/**
 * Where launchers write rank and size; the first row counts whose variables are all there. An inner launcher
 * comes before the outer one that started it. A batch script of Slurm has SLURM_PROCID and SLURM_NTASKS, too:
 * only the size of a step says that there are several. A pod of an Indexed Job knows its index, and not how
 * many there are.
 */
const LAUNCHERS: readonly Launcher[] = [
  {
    ...{ name: 'MERGE_RANK', single: 'MERGE_WORLD_SIZE=1' },
    ...{ rank: 'MERGE_RANK', size: 'MERGE_WORLD_SIZE', byHand: true, launch: ['MERGE_LAUNCH'], job: 'MERGE_LAUNCH' },
  },
  {
    ...{ name: 'torchrun', single: 'torchrun --nproc-per-node 1 --nnodes 1' },
    ...{ rank: 'RANK', size: 'WORLD_SIZE', with: ['TORCHELASTIC_RUN_ID'] },
    launch: ['TORCHELASTIC_RUN_ID', 'TORCHELASTIC_RESTART_COUNT', 'MASTER_ADDR', 'MASTER_PORT'],
    // Its name of a run is `none` where nobody gave one, and others may listen at the same port later.
  },
  {
    ...{ name: 'mpirun', single: 'mpirun -n 1' },
    ...{ rank: 'OMPI_COMM_WORLD_RANK', size: 'OMPI_COMM_WORLD_SIZE', launch: ['PMIX_NAMESPACE'] },
  },
  { ...{ name: 'mpiexec', single: 'mpiexec -n 1' }, ...{ rank: 'PMI_RANK', size: 'PMI_SIZE', launch: ['PMI_ID_JOB'] } },
  {
    ...{ name: 'srun', single: 'srun -n1' },
    ...{ rank: 'SLURM_PROCID', size: 'SLURM_STEP_NUM_TASKS' },
    launch: ['SLURM_JOB_ID', 'SLURM_STEP_ID', 'SLURM_RESTART_COUNT'],
    job: 'SLURM_JOB_ID',
  },
  {
    ...{ name: 'an Indexed Job', single: 'MERGE_WORLD_SIZE=1' },
    ...{ rank: 'JOB_COMPLETION_INDEX', size: 'MERGE_WORLD_SIZE', launch: ['MERGE_LAUNCH'], job: 'MERGE_LAUNCH' },
  },
];

/**
 * Variables by which launchers say who a process is, but for those that Slurm sets in each of its steps. Left
 * over from a launcher around them, they would be taken for those of processes that are started later.
 */
export const LAUNCH_VARIABLES: readonly string[] = [
  ...new Set(LAUNCHERS.flatMap(({ rank, size, with: needed = [], launch }) => [rank, size, ...needed, ...launch])),
].filter((name) => !name.startsWith('SLURM_'));

/**
 * Which of several ranks this process is; null where it is the only one, as far as its environment says.
 * Nothing but where a rank begins to work is decided by it.
 * @throws MergeError E_OPTION for a choice or for variables that name no rank of a number of ranks
 */
export function launchedRank(env: Environment, choice: RanksChoice = 'auto'): Rank | null {
  if (choice === 'off') return null;
  if (choice === 'array') return ofArray(env);
  const name = optionName('ranks');
  const given = /^(\d{1,9})\/(\d{1,9})$/.exec(choice);
  if (given !== null) {
    return checked(
      { launcher: `${name} ${choice}`, single: `${name} off`, launch: null, job: null },
      given[1],
      given[2],
      `${name} ${choice}`,
    );
  }
  if (choice !== 'auto') {
    throw new MergeError('E_OPTION', `${name} must be ${RANKS_WORDS.join(', ')} or a rank and their number as 0/8, not ${choice}`, {
      help: `Ranks count from 0: the last of eight is ${name} 7/8.`,
    });
  }
  for (const { name: launcher, single, rank, size, with: needed = [], byHand, launch, job } of LAUNCHERS) {
    if (needed.some((variable) => env[variable] === undefined)) continue;
    if (byHand && env[rank] !== undefined && env[size] === undefined) {
      throw new MergeError('E_OPTION', `${rank} is ${env[rank]}, and ${size} is not set`, { help: `Set ${size} to the number of ranks.` });
    }
    if (env[rank] === undefined || env[size] === undefined) continue;
    const named = launch.flatMap((variable) => env[variable] ?? []);
    const about = {
      ...{ launcher: shown(launcher, env), single, launch: named.length === 0 ? null : `${launcher} ${named.join('.')}` },
      job: job === undefined || env[job] === undefined ? null : `${launcher} ${env[job]}`,
    };
    return checked(about, env[rank], env[size], `${rank} is ${env[rank]} and ${size} is ${env[size]}`);
  }
  const size = env.MERGE_WORLD_SIZE;
  if (size !== undefined && size !== '1') {
    throw new MergeError('E_OPTION', `MERGE_WORLD_SIZE is ${size}, and nothing says which of the ranks this is`, {
      help: `Set MERGE_RANK too (in Kubernetes, completionMode: Indexed does); ${name} off makes the merge in this process alone.`,
    });
  }
  return null;
}

function shown(launcher: string, { SLURM_JOB_ID: job, SLURM_STEP_ID: step }: Environment): string {
  return launcher === 'srun' && job !== undefined && step !== undefined ? `srun (job ${job}, step ${step})` : launcher;
}

/** A task of a job array, whose numbers may begin anywhere and have steps. */
function ofArray(env: Environment): Rank | null {
  const [id, least, step, count] = ['ID', 'MIN', 'STEP', 'COUNT'].map((part) => whole(env[`SLURM_ARRAY_TASK_${part}`]));
  const option = `${optionName('ranks')} array`;
  if (id == null || count == null) {
    throw new MergeError('E_OPTION', `${option}: this is no task of a job array`, {
      help: 'SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT are not set: submit it with sbatch --array=0-7, or leave the option out.',
    });
  }
  const rank = (id - (least ?? 0)) / (step || 1);
  const job = env.SLURM_ARRAY_JOB_ID ?? null;
  const about = { launcher: `a job array${job === null ? '' : ` (job ${job})`}`, single: 'sbatch without an array' };
  const named = job === null ? null : `array ${job}`;
  return checked({ ...about, launch: named, job: named }, String(rank), String(count), `the array's task is ${rank}`);
}

function checked(about: Omit<Rank, 'rank' | 'size'>, rankText = '', sizeText = '', said: string): Rank | null {
  const [rank, size] = [whole(rankText), whole(sizeText)];
  if (rank === null || size === null || size < 1 || size > MOST_RANKS || rank >= size) {
    throw new MergeError('E_OPTION', `${said}: that is no rank of a number of ranks`, {
      help: `There can be 1 to ${MOST_RANKS} ranks, and they count from 0. ${optionName('ranks')} off makes the merge in this process alone.`,
    });
  }
  return size === 1 ? null : { ...about, rank, size };
}

function whole(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
}
