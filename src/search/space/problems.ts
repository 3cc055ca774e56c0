import { type Conflict, MergeError } from '../../base/errors.ts';

type Keys = readonly (string | number)[];

/** One thing that is wrong with a space that was asked for. */
export interface SpaceProblem {
  /** Keys to the entry at fault; empty for the space as a whole. */
  readonly path: Keys;
  /** In words, with the entry's name in it. */
  readonly message: string;
  /** The last key itself is at fault, whatever stands behind it. */
  readonly atKey?: true;
}

/** `parameters.window.from`, `parameters.spacing[1]`. */
export function pathText(path: Keys): string {
  return path.reduce<string>((text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? key : `${text}.${key}`), '');
}

/** @throws MergeError E_SPACE with all problems in `details.conflicts`; nothing where there are none */
export function refuseSpace(problems: readonly SpaceProblem[]): void {
  if (problems.length === 0) return;
  const conflicts = problems.map(({ message }): Conflict => ({ code: 'E_SPACE', message }));
  const message = problems.length === 1 ? problems[0]!.message : `the search space has ${problems.length} problems`;
  throw new MergeError('E_SPACE', message, { details: { conflicts } });
}
