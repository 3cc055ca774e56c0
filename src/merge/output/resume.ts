import { MergeError } from '../../base/errors.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { unitBytes } from './journal.ts';
import { type Partial, whyForeign } from './partial.ts';
import type { PublicationRequest } from './types.ts';

/**
 * The partial that `--resume` continues: of the same identity, its process ended, and the most finished.
 * @throws MergeError E_BUSY where its process runs or may run, E_RESUME where there is none that fits, saying
 *   why.
 */
export function partialToResume(found: readonly Partial[], request: PublicationRequest): Partial {
  const { output } = request;
  const same = found.filter((p) => p.record?.owner.identity === request.identity && p.record.owner.kind === request.kind);
  const ready = same.filter((p) => p.state === 'stale' && p.units.size > 0);
  const best = ready.sort((a, b) => unitBytes(b.units.values()) - unitBytes(a.units.values()))[0];
  if (best !== undefined) return best;

  const running = same.find((p) => p.state !== 'stale');
  if (running?.state === 'live') {
    throw new MergeError('E_BUSY', `the merge to ${output} is still running`, { details: { file: running.path } });
  }
  if (running !== undefined) {
    throw new MergeError('E_BUSY', `the merge to ${output} may still be running on another machine or in another container`, {
      details: { file: running.path },
      help: 'It can be resumed a quarter of an hour after its last sign of life. To start afresh, run without --resume.',
    });
  }
  const help = helpOf(found);
  throw new MergeError('E_RESUME', `${output} cannot be resumed: ${reason(found, same, request)}`, {
    details: { file: output },
    ...(help === undefined ? {} : { help }),
  });
}

function helpOf(found: readonly Partial[]): string | undefined {
  const ours = found.find(({ foreign }) => foreign === 'others write');
  if (ours !== undefined)
    return `Where nobody else was at it: chmod go-w ${shellQuote(ours.path)}, and run again. To start afresh, run without --resume.`;
  if (!found.some(({ foreign }) => foreign === 'another user')) return undefined;
  return 'Only that user can resume it. Run without --resume to make the merge afresh: whoever ends first has the output.';
}

function reason(found: readonly Partial[], same: readonly Partial[], request: PublicationRequest): string {
  if (found.length === 0) return 'there is no unfinished merge beside it';
  const foreign = found.find(({ state }) => state === 'foreign');
  if (foreign !== undefined && found.every(({ state }) => state === 'foreign')) return `${foreign.path} ${whyForeign(foreign)}`;
  if (same.length > 0) return 'the unfinished merge had not finished any part';
  const owners = found.flatMap((p) => p.record?.owner ?? []);
  if (owners.length === 0) return 'the unfinished merge has no record of what it was';
  const now = request.identityParts ?? {};
  const differing = [...new Set(owners.flatMap((o) => differences(o.identityParts, now)))];
  const named = differing.filter((text) => text !== WHOLE_PART);
  return `the unfinished merge was another one${differing.length > 0 ? `; these differ: ${(named.length > 0 ? named : differing).join(', ')}` : ''}`;
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
