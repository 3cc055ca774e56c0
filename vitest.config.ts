import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { Slowest } from './test/support/slowest.ts';

// Guards against hanging, with room for a machine that does other things as well.
const shared = { testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    reporters: ['default', ['json', { outputFile: 'build/test-results.json' }], new Slowest()],
    // Tests wait for processes that they started more than they compute: Vitest's default leaves a core free.
    maxWorkers: availableParallelism(),
    projects: [
      // No test of these changes what another could see, and a worker for each file costs more than most of them
      // take.
      { test: { ...shared, name: 'unit', include: ['test/unit/**/*.test.ts'], isolate: false } },
      { test: { ...shared, name: 'native', include: ['test/native/**/*.test.ts'], pool: 'forks', isolate: false } },
      { test: { ...shared, name: 'cli', include: ['test/cli/**/*.test.ts'], pool: 'forks', isolate: false } },
      // Kills at many moments, every refusal, memory in all settings: not of `npm test`, but of .ci/run and
      // .ci/full. They wait for time-outs half of the time.
      {
        test: {
          ...{ ...shared, name: 'campaign', include: ['test/campaign/**/*.test.ts'], pool: 'forks' as const },
          ...{ maxWorkers: Math.ceil(1.5 * availableParallelism()), sequence: { groupOrder: 1 } },
        },
      },
    ],
  },
});
