/** One of several processes that a launcher started with the same command. */
export interface LaunchedTask {
  /** What started them, and the words by which it starts one. */
  readonly launcher: string;
  readonly single: string;
  readonly rank: number;
  readonly size: number;
}

/**
 * Where launchers write rank and size. An inner launcher comes before the outer one that started it. A batch
 * script of Slurm has SLURM_PROCID and SLURM_NTASKS, too: only the size of a step says that there are several.
 */
const LAUNCHERS: readonly (readonly [launcher: string, single: string, rank: string, size: string])[] = [
  ['torchrun', 'torchrun --nproc-per-node 1 --nnodes 1', 'RANK', 'WORLD_SIZE'],
  ['mpirun', 'mpirun -n 1', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'],
  ['mpiexec', 'mpiexec -n 1', 'PMI_RANK', 'PMI_SIZE'],
  ['srun', 'srun -n1', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS'],
];

/** Which of several tasks this process is; null where it is the only one, as far as its environment says. */
export function launchedTask(env: Readonly<Record<string, string | undefined>>): LaunchedTask | null {
  for (const [launcher, single, rankName, sizeName] of LAUNCHERS) {
    const [rank, size] = [whole(env[rankName]), whole(env[sizeName])];
    if (rank !== null && size !== null && size > 1 && rank < size) return { launcher, single, rank, size };
  }
  return null;
}

function whole(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,7}$/.test(text) ? Number(text) : null;
}
