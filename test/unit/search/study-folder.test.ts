import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { StudyFolder } from '../../../src/search/study/folder.ts';
import { temporaryFolder } from '../../support/safetensors.ts';

afterEach(() => void vi.unstubAllEnvs());

it.each([
  ['one process', {}, /^Wait for the other search, or give this one a folder of its own with `dir`\.$/],
  [
    'a task of srun',
    { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2' },
    /^This is task 1 of the 2 that srun started .* run it with `srun -n1`\./,
  ],
  [
    'a task of torchrun',
    { RANK: '3', WORLD_SIZE: '8' },
    /^This is task 3 of the 8 that torchrun started .* `torchrun --nproc-per-node 1 --nnodes 1`\./,
  ],
] as const)('a folder in which another search works: what to do, told to %s', async (_, env, help) => {
  const path = join(temporaryFolder(), 'study');
  const first = await StudyFolder.open(path);
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  await expect(StudyFolder.open(path)).rejects.toMatchObject({ code: 'E_SEARCH_BUSY', help: expect.stringMatching(help) });
  await first.close();
});
