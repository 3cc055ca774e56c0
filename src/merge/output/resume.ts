import { MergeError } from '../../base/errors.ts';
import { unitBytes } from './journal.ts';
import { type Partial, whyForeign } from './partial.ts';
import type { PublicationRequest } from './types.ts';

/**
 * The partial that a resume continues: of the same identity, its process ended, and the most finished. Null
 * where there is none: then the merge begins.
 * @throws MergeError E_BUSY where one of the same identity runs or may run
 */
export function partialToResume(found: readonly Partial[], request: PublicationRequest): Partial | null {
  const { output } = request;
  const same = found.filter((p) => isSame(p, request));
  const ready = same.filter((p) => p.state === 'stale' && p.units.size > 0);
  const best = ready.sort((a, b) => unitBytes(b.units.values()) - unitBytes(a.units.values()))[0];
  if (best !== undefined) return best;

  const running = same.find((p) => p.state === 'live') ?? same.find((p) => p.state === 'unknown');
  if (running?.state === 'live') {
    throw new MergeError('E_BUSY', `the merge to ${output} is still running`, { details: { file: running.path } });
  }
  if (running !== undefined) {
    throw new MergeError('E_BUSY', `the merge to ${output} may still be running on another machine or in another container`, {
      details: { file: running.path },
      help: 'It can be resumed a quarter of an hour after its last sign of life. To start afresh, run without --resume.',
    });
  }
  return null;
}

/** Whether a partial is of the very merge that is asked for. */
function isSame({ record }: Partial, { identity, kind }: Pick<PublicationRequest, 'identity' | 'kind'>): boolean {
  return record?.owner.identity === identity && record.owner.kind === kind;
}

/** Partials of this very merge without a finished part, which a resume removes: there is nothing in them to lose. */
export function emptyOnes(found: readonly Partial[], request: PublicationRequest, taken: Partial | null): Partial[] {
  return found.filter((p) => p !== taken && p.state === 'stale' && p.units.size === 0 && isSame(p, request));
}

/** Why an unfinished merge is not the one that is asked for, after its path. */
export function whyOther(partial: Partial, request: PublicationRequest): string {
  if (partial.state === 'foreign') return whyForeign(partial);
  if (partial.record === null) return 'has no record of what it was';
  if (isSame(partial, request)) return 'has less of this merge than another';
  const differing = differences(partial.record.owner.identityParts, request.identityParts ?? {});
  const named = differing.filter((text) => text !== WHOLE_PART);
  return `is of another merge${differing.length > 0 ? `; these differ: ${(named.length > 0 ? named : differing).join(', ')}` : ''}`;
}

/**
 * Name of the part that is a digest of all others and more: named only where nothing else says what differs.
 */
export const WHOLE_PART = 'layout, metadata or version of this program';
/** Longest value that is shown, characters: a parameter is, what identifies a file is not. */
const SHOWN = 40;

function differences(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  // An input that is there under another path is the same input; nothing else has values so long.
  const elsewhere = (key: string, one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean =>
    other[key] === undefined && one[key]!.length > SHOWN && Object.values(other).includes(one[key]!);
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((key) => before[key] !== now[key])
    .filter((key) => !(key in before ? elsewhere(key, before, now) : elsewhere(key, now, before)))
    .map((key) => {
      const [a, b] = [before[key], now[key]];
      if (key === WHOLE_PART) return key;
      const short = (a ?? '').length <= SHOWN && (b ?? '').length <= SHOWN;
      return short && a !== undefined && b !== undefined ? `${key} (was ${a}, is ${b})` : key;
    });
}
