import { expect, it } from 'vitest';
import { launchedTask } from '../../../src/base/process/launched-task.ts';

it.each([
  ['a step of Slurm', { SLURM_PROCID: '2', SLURM_NTASKS: '4', SLURM_STEP_NUM_TASKS: '4' }, ['srun', 2, 4]],
  ['torchrun inside a step of one task', { RANK: '1', WORLD_SIZE: '2', SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' }, ['torchrun', 1, 2]],
  ['OpenMPI', { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '8' }, ['mpirun', 3, 8]],
  ['Hydra', { PMI_RANK: '0', PMI_SIZE: '2' }, ['mpiexec', 0, 2]],
  // It has rank and size too, and waiting for the others would be waiting for ever.
  ['a batch script of Slurm for four tasks', { SLURM_PROCID: '0', SLURM_NTASKS: '4', SLURM_JOB_ID: '7' }, null],
  ['a step of one', { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' }, null],
  ['an array', { SLURM_ARRAY_TASK_ID: '3', SLURM_ARRAY_TASK_COUNT: '9', SLURM_PROCID: '0', SLURM_NTASKS: '1' }, null],
  ['nonsense', { RANK: '-1', WORLD_SIZE: 'many' }, null],
  ['a rank beyond the size', { RANK: '5', WORLD_SIZE: '4' }, null],
  ['nothing', {}, null],
])('%s', (_, env, wanted) => {
  const task = launchedTask(env);
  expect(task === null ? null : [task.launcher, task.rank, task.size]).toEqual(wanted);
});
