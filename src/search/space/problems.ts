import { type Problem, refuse } from '../../base/problems.ts';

/** @throws MergeError E_SPACE with all problems in `details.conflicts`; nothing where there are none */
export function refuseSpace(problems: readonly Problem[]): void {
  refuse(problems, { code: 'E_SPACE', several: (count) => `the search space has ${count} problems` });
}
