import { didYouMean } from '../../base/did-you-mean.ts';
import { type Problem, pathText } from '../../base/problems.ts';
import { ROLE_GROUPS, ROLE_NAMES } from '../../recipe/policy/roles.ts';

/** Single roles that a name of policies stands for. */
function rolesOf(name: string): readonly string[] {
  return (ROLE_GROUPS as Readonly<Record<string, readonly string[]>>)[name] ?? [name];
}

/** Whether tensors may be of both. The layers of multi-token prediction hold tensors of any role. */
export function rolesOverlap(a: string, b: string): boolean {
  return a === 'mtp' || b === 'mtp' || rolesOf(a).some((role) => rolesOf(b).includes(role));
}

/** What is wrong with a list of roles under the key `separate`. */
export function separateProblems(roles: readonly string[]): Problem[] {
  return rolesProblems(roles, (i) => ['separate', i]);
}

/**
 * What is wrong with roles that have weights of their own: unknown ones, and those whose tensors belong to
 * roles before them, since the first that fits a tensor decides.
 * @param pathOf the role at an index
 */
export function rolesProblems(roles: readonly string[], pathOf: (index: number) => Problem['path']): Problem[] {
  return roles.flatMap((name, i) => {
    const path = pathOf(i);
    if (!ROLE_NAMES.includes(name)) {
      const near = didYouMean(name, ROLE_NAMES);
      const advice = near === null ? `the roles are ${ROLE_NAMES.join(', ')}` : `did you mean \`${near}\`?`;
      return [{ path, message: `\`${pathText(path)}\`: there is no role ${JSON.stringify(name)}; ${advice}` }];
    }
    const before = roles.slice(0, i).find((other) => rolesOf(name).every((role) => rolesOf(other).includes(role)));
    if (before === undefined) return [];
    const what = before === name ? 'is there twice' : `is part of ${before}, which is there before it and takes all its tensors`;
    return [{ path, message: `\`${pathText(path)}\`: the role ${name} ${what}` }];
  });
}
