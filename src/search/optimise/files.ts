import { rename, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/owner.ts';
import { systemOf, writeNewFile } from '../../base/disk/system.ts';
import { version } from '../../base/version.ts';
import { flowMap } from '../../merge/plan/recipe-text.ts';
import type { Policy } from '../../recipe/policy/types.ts';
import type { Candidate } from '../space/types.ts';
import type { StudyMember } from '../study/members.ts';
import { type MergeSettings, takingPart } from '../study/merges.ts';

export const BEST_RECIPE = 'best.yaml';
export const REPORT_PAGE = 'report.html';
export const RESULT_FILE = 'result.json';

/**
 * Puts a file of a study in the place of the one before, at once and whole. @throws MergeError of the side of
 * outputs
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.${newId()}.draft`;
  await onOutput('write', file, async () => {
    try {
      await writeNewFile(systemOf({}), draft, text);
      await rename(draft, file);
    } finally {
      await rm(draft, { force: true });
    }
  });
}

export interface BestRecipe {
  readonly folder: string;
  /** Where `merge run` would make it; beside the folder's own files when absent. */
  readonly output: string | undefined;
  readonly members: readonly StudyMember[];
  readonly candidate: Candidate;
  readonly merging: MergeSettings;
  /** What is said of it above the recipe, a line each. */
  readonly remarks: readonly string[];
}

/** The text of a recipe that `merge run` takes, whose paths are relative to the folder that it lies in. */
export function bestRecipeText({ folder, output, members, candidate, merging, remarks }: BestRecipe): string {
  const { members: taken, weights, parts } = takingPart(candidate);
  const from = (path: string) => JSON.stringify(relative(resolve(folder), resolve(path)) || '.');
  const {
    policies = [],
    router,
    dtype,
    like,
    allowMixedDtypes,
    allowUnknown,
    allowPermuted,
    allowStages,
    allowConfigs,
    baseModelId,
  } = merging;
  const own = parts.map(({ role, weights: list }): Policy => ({ role, weights: list }));
  const options: readonly (readonly [string, string | undefined])[] = [
    ['like', like === undefined ? undefined : from(like)],
    ['allow-mixed-dtypes', allowMixedDtypes ? 'true' : undefined],
    ['allow-unknown', allowUnknown ? 'true' : undefined],
    ['allow-permuted', allowPermuted ? 'true' : undefined],
    ['allow-stages', allowStages ? 'true' : undefined],
    ['allow-configs', allowConfigs ? 'true' : undefined],
    ['base-model-id', baseModelId === undefined ? undefined : JSON.stringify(baseModelId)],
  ];
  const all = [...own, ...policies];
  return [
    `# The best recipe of the search beside it, by ckpt-merge ${version}. To make it: merge run ${BEST_RECIPE}`,
    ...remarks.map((remark) => `# ${remark}`),
    'inputs:',
    ...taken.map((m) => `  - ${from(members[m]!.path)}`),
    ...options.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`])),
    'outputs:',
    `  - path: ${from(output ?? join(folder, 'best'))}`,
    `    weights: [${weights.map(String).join(', ')}]`,
    ...(router === undefined ? [] : [`    router: ${router}`]),
    ...(dtype === undefined ? [] : [`    dtype: ${dtype}`]),
    ...(all.length === 0 ? [] : ['    policies:', ...all.map((policy) => `      - ${flowMap(policy)}`)]),
    '',
  ].join('\n');
}
