import { type Problem, refuse } from '../../base/problems.ts';

/** `parameters.window.from`, `parameters.spacing[1]`. */
export function pathText(path: Problem['path']): string {
  return path.reduce<string>((text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? key : `${text}.${key}`), '');
}

/** @throws MergeError E_SPACE with all problems in `details.conflicts`; nothing where there are none */
export function refuseSpace(problems: readonly Problem[]): void {
  refuse(problems, { code: 'E_SPACE', several: (count) => `the search space has ${count} problems` });
}
