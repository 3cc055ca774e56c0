import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { StudyFolder } from '../../../src/search/study/folder.ts';
import { refuseRanks } from '../../../src/search/study/one-process.ts';
import { temporaryFolder } from '../../support/safetensors.ts';

afterEach(() => void vi.unstubAllEnvs());

it('refuses a folder in which another search works, and says what to do', async () => {
  const path = join(temporaryFolder(), 'study');
  const first = await StudyFolder.open(path);
  const help = 'Wait for the other search, or give this one a folder of its own with `dir`.';
  await expect(StudyFolder.open(path)).rejects.toMatchObject({ code: 'E_SEARCH_BUSY', help });
  await first.close();
});

it.each([
  ['srun', { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2' }, 'rank 1 of 2 (srun)', '`srun -n1`'],
  ['MPI', { PMI_RANK: '3', PMI_SIZE: '8' }, 'rank 3 of 8 (mpiexec)', '`mpiexec -n 1`'],
] as const)('a search refuses to be one of several ranks of %s', (_, env, who, how) => {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  expect(refuseRanks).toThrow(
    expect.objectContaining({ code: 'E_USAGE', message: expect.stringContaining(who), help: expect.stringContaining(how) }),
  );
});
