import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runRecipe } from '../../src/index.ts';
import { boardPlace } from '../../src/merge/ranks/board-place.ts';
import { rankedRun, removeRuns } from '../support/ranks.ts';

afterAll(removeRuns);

it.skipIf(process.getuid?.() !== 0)('one process leaves alone what another user put where ranks of its merge would meet', async () => {
  const { recipe, out } = rankedRun();
  const { path } = await boardPlace(recipe);
  mkdirSync(path, { mode: 0o755 });
  writeFileSync(join(path, 'plan.json'), '{}');
  chownSync(path, 12_345, 12_345);
  const { outputs } = await runRecipe(recipe);
  expect(outputs.map((output) => output.path)).toEqual([out]);
  expect(existsSync(join(path, 'plan.json'))).toBe(true);
});
