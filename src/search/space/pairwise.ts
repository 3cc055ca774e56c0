import { optionWith, worded } from '../../base/option-words.ts';
import type { Problem } from '../../base/problems.ts';
import type { ScheduleMember } from '../../recipe/schedule/types.ts';
import { realDimension } from './dimension.ts';
import { refuseSpace } from './problems.ts';
import { separateProblems } from './roles.ts';
import { separateSpace } from './separate.ts';
import type { Space } from './types.ts';

/**
 * α, the least weight of the newer checkpoint. The paper's value is not known to us; this one is ours: the
 * newer never weighs less than the older.
 */
export const DEFAULT_LEAST_LAMBDA = 0.5;

export interface PairwiseOptions {
  /** α, in [0, 1). */
  readonly alpha?: number | undefined;
  /** Roles, or groups of roles as in policies, with a λ of their own. */
  readonly separate?: readonly string[] | undefined;
}

/**
 * The weights [1 − λ, λ] of two checkpoints, λ in [α, 1], the newer one's: λ = 1 is the newer alone. Source:
 * arXiv 2403.19390, algorithm 1. The first points {α, 1, (α + 1)/2} are ours; the paper's example begins with
 * α and 1.
 *
 * @param members the older and the newer
 * @throws MergeError E_SPACE for another number of members, α outside [0, 1), what is no role
 */
export function pairwise(members: readonly ScheduleMember[], options: PairwiseOptions = {}): Space {
  return pairSpace('pairwise', members, options);
}

/**
 * The spaces of `--pairwise-chain`: one for each pair of neighbours, oldest first, each with a λ that nothing
 * ties to the others'. Pairs are of the raw checkpoints: none is merged of what another pair gave.
 *
 * @param members at least two
 * @throws MergeError E_SPACE
 */
export function pairwiseChain(members: readonly ScheduleMember[], options: PairwiseOptions = {}): readonly Space[] {
  if (members.length < 2) refuseSpace([{ path: [], message: 'a chain of pairs needs at least two checkpoints, and there is one' }]);
  return members.slice(1).map((newer, i) => pairSpace('pairwise-chain', [members[i]!, newer], options));
}

function pairSpace(name: Space['name'], members: readonly ScheduleMember[], options: PairwiseOptions): Space {
  const { alpha = DEFAULT_LEAST_LAMBDA, separate = [] } = options;
  refuseSpace(pairwiseProblems(members.length, options));
  return separateSpace({
    name,
    members,
    separate,
    dimensions: (prefix) => [realDimension(`${prefix}lambda`, alpha, 1)],
    weights: ([lambda]) => [1 - lambda!, lambda!],
    values: ([older, newer]) => (older === 1 - newer! ? [newer!] : null),
    initial: [[0], [1], [0.5]],
  });
}

/** What is wrong with a pairwise space over so many members. */
export function pairwiseProblems(members: number, { alpha = DEFAULT_LEAST_LAMBDA, separate = [] }: PairwiseOptions): Problem[] {
  const problems = separateProblems(separate);
  if (members !== 2) {
    const message = worded`a pairwise space is between two checkpoints, and there ${members === 1 ? 'is 1' : `are ${members}`}: take two (--last 2), every pair (--pairwise-chain), or ${optionWith('space', 'schedule')}`;
    problems.push({ path: ['space'], message });
  }
  if (!(alpha >= 0 && alpha <= 1)) problems.push({ path: ['alpha'], message: `\`alpha\` must be at least 0 and below 1, not ${alpha}` });
  if (alpha === 1)
    problems.push({ path: ['alpha'], message: '`alpha` is 1, so that the newest alone is left and there is nothing to search' });
  return problems;
}
