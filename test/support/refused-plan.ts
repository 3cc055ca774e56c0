import { expect } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';

/** How a plan is refused. */
export interface RefusedPlan {
  readonly name: string;
  readonly code: string;
  /** A part of what is named: file, tensor or option. */
  readonly place: string;
  /** Of all that is said, help included. */
  readonly says: RegExp;
}

interface ToldConflict {
  readonly code: string;
  readonly message: string;
  readonly tensor?: string;
  readonly file?: string;
  readonly help?: string;
}

/**
 * A plan ends with the error, which names the place and says what it has to.
 * @returns what was said
 */
export async function expectRefused(
  planned: Promise<unknown>,
  { name, code, place, says }: RefusedPlan,
): Promise<{ readonly codes: readonly string[]; readonly message: string }> {
  const error = await planned.then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(error, `${name}: is refused`).toBeInstanceOf(MergeError);
  const { code: first, details, message, help } = error as MergeError;
  const conflicts = (details.conflicts as readonly ToldConflict[] | undefined) ?? [{ code: first, message, help }];
  const own = conflicts.find((one) => one.code === code && `${one.message} ${one.tensor} ${one.file}`.includes(place));
  expect(own, JSON.stringify(conflicts)).toBeDefined();
  expect(conflicts.map((one) => `${one.message} ${one.help ?? help}`).join(' ')).toMatch(says);
  return { codes: conflicts.map((one) => one.code), message };
}
