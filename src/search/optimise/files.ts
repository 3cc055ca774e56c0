import { relative, resolve } from 'node:path';
import { keysOf, pick } from '../../base/pick.ts';
import { recipeYaml } from '../../recipe/file/write.ts';
import { CHECKS } from '../../recipe/options.ts';
import { withFiles } from '../../recipe/policy/files.ts';
import type { Policy } from '../../recipe/policy/types.ts';
import { HF_NAMES } from '../../recipe/types.ts';
import type { StudyMember } from '../study/members.ts';
import type { MergeSettings, TakingPart } from '../study/merges.ts';

export const BEST_RECIPE = 'best.yaml';
/** Of the mean of the last of the run, which a search is only compared with. */
export const REFERENCE_RECIPE = 'sma.yaml';
export interface RecipeOfTrial {
  readonly folder: string;
  /** Where `merge run` would make it. */
  readonly output: string;
  readonly members: readonly StudyMember[];
  readonly taking: TakingPart;
  readonly merging: MergeSettings;
  /** What is said of it above the recipe, a line each. */
  readonly head: readonly string[];
}

/** The text of a recipe that `merge run` takes, whose paths are relative to the folder that it lies in. */
export function recipeOfTrialText({ folder, output, members, taking, merging, head }: RecipeOfTrial): string {
  const { members: taken, weights, parts } = taking;
  const from = (path: string) => relative(resolve(folder), resolve(path)) || '.';
  const { policies = [], router, dtype, like, names, config, shardSize, baseModelId } = merging;
  const own = policies.map((policy) => withFiles(policy, from));
  const all = [...parts.map(({ role, weights: list }): Policy => ({ role, weights: list })), ...own];
  return recipeYaml(
    {
      inputs: taken.map((m) => from(members[m]!.path)),
      like: like === undefined ? undefined : from(like),
      names: names === undefined || names === HF_NAMES ? names : from(names),
      config: config === undefined ? undefined : from(config),
      shardSize,
      ...pick(
        merging,
        keysOf(CHECKS).filter((name) => merging[name]),
      ),
      baseModelId,
      outputs: [{ path: from(output), weights, router, dtype, policies: all.length === 0 ? undefined : all }],
    },
    { head },
  );
}
