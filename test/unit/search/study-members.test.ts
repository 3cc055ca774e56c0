import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Selection } from '../../../src/recipe/select/types.ts';
import { namesAmong, studyMembers } from '../../../src/search/study/members.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeRun } from '../../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const STAGES = [1, 2].flatMap((stage) => [1000, 2000, 3000].map((step) => `stage${stage}-step${step}`));
const EPOCHS = [0, 1, 2].flatMap((epoch) => [1000, 2000].map((step) => `epoch_${epoch}_step_${step}`));

async function study(names: readonly string[], select?: Selection) {
  const run = writeRun(
    join(folder.path, 'run'),
    names.map((name) => ({ name })),
  );
  const found = await studyMembers({ inputs: [run], select });
  const named = (members: readonly number[]) => members.map((m) => basename(found.all[m]!.path));
  return { ...found, poolNames: named(found.pool), lastNames: named(found.last) };
}

describe.each([
  ['stages', STAGES],
  ['epochs', EPOCHS],
])('%s that count their steps anew', (_what, names) => {
  test('are in the order of the run', async () => {
    const { all, pool, poolNames } = await study(names);
    expect(poolNames).toEqual(names);
    expect(pool).toEqual(names.map((_, i) => i));
    const nameOf = namesAmong(all);
    expect(new Set(all.map((one) => JSON.stringify(nameOf(one)))).size).toBe(names.length);
  });
});

test('the mean of the last stays in the stage of those that were selected', async () => {
  const newest = await study(STAGES, { last: 2 });
  expect(newest.poolNames).toEqual(['stage2-step2000', 'stage2-step3000']);
  expect(newest.lastNames).toEqual(['stage2-step1000', 'stage2-step2000', 'stage2-step3000']);
  const first = await study(STAGES, { stage: 1, last: 2 });
  expect(first.lastNames).toEqual(['stage1-step1000', 'stage1-step2000', 'stage1-step3000']);
});

test('the mean of the last goes over epochs', async () => {
  const { lastNames, pool } = await study(EPOCHS, { last: 2 });
  expect(lastNames).toEqual(EPOCHS);
  expect(pool).toEqual([4, 5]);
});
