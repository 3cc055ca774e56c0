import { describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { launchedRank } from '../../../src/base/process/rank.ts';

const STEP = { SLURM_JOB_ID: '12', SLURM_STEP_ID: '0', SLURM_PROCID: '2', SLURM_NTASKS: '4', SLURM_STEP_NUM_TASKS: '4' };
const TORCHRUN = { RANK: '1', WORLD_SIZE: '2', LOCAL_RANK: '1', TORCHELASTIC_RUN_ID: 'none', TORCHELASTIC_RESTART_COUNT: '0' };
const ARRAY = { SLURM_ARRAY_JOB_ID: '40', SLURM_ARRAY_TASK_MIN: '1', SLURM_ARRAY_TASK_STEP: '2', SLURM_ARRAY_TASK_COUNT: '3' };

/** Variables as launchers were seen to set them, and [launcher, rank, size, launch] of what they mean. */
it.each([
  ['a step of Slurm', 'auto', STEP, ['srun (job 12, step 0)', 2, 4, 'srun 12.0']],
  ['a step of a job that was requeued', 'auto', { ...STEP, SLURM_RESTART_COUNT: '1' }, ['srun (job 12, step 0)', 2, 4, 'srun 12.0.1']],
  [
    'torchrun inside a step of one task',
    'auto',
    { ...TORCHRUN, SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' },
    ['torchrun', 1, 2, 'torchrun none.0'],
  ],
  ['torchrun inside a step of many', 'auto', { ...STEP, ...TORCHRUN }, ['torchrun', 1, 2, 'torchrun none.0']],
  ['Open MPI', 'auto', { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '8' }, ['mpirun', 3, 8, null]],
  ['Open MPI inside a step', 'auto', { ...STEP, OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '8' }, ['mpirun', 3, 8, null]],
  ['Hydra', 'auto', { PMI_RANK: '0', PMI_SIZE: '2' }, ['mpiexec', 0, 2, null]],
  ['variables of our own', 'auto', { MERGE_RANK: '5', MERGE_WORLD_SIZE: '6', ...STEP }, ['MERGE_RANK', 5, 6, null]],
  ['a pod of an Indexed Job', 'auto', { JOB_COMPLETION_INDEX: '7', MERGE_WORLD_SIZE: '8' }, ['an Indexed Job', 7, 8, null]],
  ['a pod of an Indexed Job that does not say how many there are', 'auto', { JOB_COMPLETION_INDEX: '7' }, null],
  // It has rank and size too, and is one process.
  ['a batch script of Slurm for four tasks', 'auto', { SLURM_PROCID: '0', SLURM_NTASKS: '4', SLURM_JOB_ID: '7' }, null],
  ['a step of one', 'auto', { ...STEP, SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' }, null],
  ['RANK of something else', 'auto', { RANK: '1', WORLD_SIZE: '8' }, null],
  ['a task of an array, which may be a sweep', 'auto', { ...ARRAY, SLURM_ARRAY_TASK_ID: '3', SLURM_PROCID: '0', SLURM_NTASKS: '1' }, null],
  ['a task of an array, by the option', 'array', { ...ARRAY, SLURM_ARRAY_TASK_ID: '5' }, ['a job array (job 40)', 2, 3, 'array 40']],
  ['the option', '0/8', STEP, ['ranks 0/8', 0, 8, null]],
  ['the option, which wants no others', 'off', STEP, null],
  ['the option for one', '0/1', STEP, null],
  ['nothing', 'auto', {}, null],
] as const)('%s', (_, choice, env, wanted) => {
  const rank = launchedRank(env, choice);
  expect(rank === null ? null : [rank.launcher, rank.rank, rank.size, rank.launch]).toEqual(wanted);
});

it.each([
  ['srun', { ...STEP, SLURM_RESTART_COUNT: '1' }, 'srun 12'],
  ['variables of our own', { MERGE_RANK: '0', MERGE_WORLD_SIZE: '2', MERGE_LAUNCH: 'nightly' }, 'MERGE_RANK nightly'],
  ['torchrun, whose name of a run is often none', TORCHRUN, null],
  ['Hydra', { PMI_RANK: '0', PMI_SIZE: '2' }, null],
] as const)('the job of %s, however often it is started', (_, env, job) => {
  expect(launchedRank(env)?.job).toBe(job);
});

describe('what is no rank of a number of ranks is refused with what says so', () => {
  it.each([
    ['0/0', {}, '0/0'],
    ['8/8', {}, '8/8'],
    ['0/1000000', {}, '0/1000000'],
    ['1', {}, 'as 0/8, not 1'],
    ['all', {}, 'as 0/8, not all'],
    ['array', {}, 'no task of a job array'],
    ['array', { ...ARRAY, SLURM_ARRAY_TASK_ID: '2' }, 'no rank'],
    ['auto', { MERGE_RANK: '0' }, 'MERGE_WORLD_SIZE is not set'],
    ['auto', { MERGE_WORLD_SIZE: '2' }, 'nothing says which of the ranks this is'],
    ['auto', { MERGE_WORLD_SIZE: 'x', SLURM_PROCID: '0', SLURM_NTASKS: '2' }, 'nothing says which of the ranks this is'],
    ['auto', { MERGE_RANK: '-1', MERGE_WORLD_SIZE: '4' }, 'MERGE_RANK is -1'],
    ['auto', { MERGE_RANK: '4', MERGE_WORLD_SIZE: '4' }, 'MERGE_RANK is 4'],
    ['auto', { MERGE_RANK: '0', MERGE_WORLD_SIZE: '0' }, 'MERGE_WORLD_SIZE is 0'],
    ['auto', { MERGE_RANK: '0', MERGE_WORLD_SIZE: 'many' }, 'MERGE_WORLD_SIZE is many'],
    ['auto', { PMI_RANK: '9', PMI_SIZE: '2' }, 'PMI_RANK is 9'],
    ['auto', { JOB_COMPLETION_INDEX: '8', MERGE_WORLD_SIZE: '8' }, 'JOB_COMPLETION_INDEX is 8'],
    ['auto', { ...STEP, SLURM_PROCID: '4' }, 'SLURM_PROCID is 4'],
  ])('%s with %j', (choice, env, said) => {
    expect(() => launchedRank(env, choice)).toThrow(MergeError);
    expect(() => launchedRank(env, choice)).toThrow(said);
  });
});
