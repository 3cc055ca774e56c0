import type { Conflict, ErrorCode, Warning } from '../../../base/errors.ts';
import { globMatches, globParts } from '../../../base/glob.ts';
import type { DraftOutput } from '../inputs/drafts.ts';

/**
 * What names and configurations say of quantised weights without any codes to prove it. What they say of
 * layers and experts (`model/roles/structure.ts`) is of that kind too.
 */
const GUESSED: ReadonlySet<ErrorCode> = new Set(['E_SCALE_ORPHAN', 'E_QUANTISATION_CONFIG']);
/** Doubts of one code that a warning names. */
const SHOWN = 3;

/** Whether every output has a policy by name that takes a tensor. */
export function isNamed(tensor: string, drafts: readonly DraftOutput[]): boolean {
  return drafts.every(({ output: { policies = [] } }) =>
    policies.some(({ name }) => name !== undefined && globMatches(globParts(name), tensor)),
  );
}

/** Takes guesses that are overruled out of the conflicts. @param overruled whether one about this tensor is */
export function withoutDoubts(
  conflicts: readonly Conflict[],
  overruled: (tensor: string) => boolean,
): { readonly kept: readonly Conflict[]; readonly doubts: Conflict[] } {
  const isOverruled = ({ code, tensor }: Conflict): boolean => GUESSED.has(code) && overruled(tensor ?? '');
  return { kept: conflicts.filter((c) => !isOverruled(c)), doubts: conflicts.filter(isOverruled) };
}

/** One warning for everything of a kind that does not fit and is merged all the same. */
export function doubtWarnings(doubts: readonly Conflict[]): Warning[] {
  const byCode = new Map<ErrorCode, string[]>();
  for (const { code, message } of doubts) byCode.set(code, [...(byCode.get(code) ?? []), message]);
  return [...byCode].map(([code, messages]) => {
    const more = messages.length > SHOWN ? `; and ${messages.length - SHOWN} more` : '';
    return { code: 'W_DOUBTS', message: `${code}, merged all the same: ${messages.slice(0, SHOWN).join('; ')}${more}` };
  });
}
