import { MergeError } from '../errors.ts';
import { unitBytes } from './journal.ts';
import type { Partial } from './partial.ts';
import type { PublicationRequest } from './types.ts';

/**
 * The partial that `--resume` continues: of the same identity, its process ended, and the most finished.
 * @throws MergeError E_BUSY where its process runs or may run, E_RESUME where there is none that fits, saying why.
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
  throw new MergeError('E_RESUME', `${output} cannot be resumed: ${reason(found, same, request)}`, { details: { file: output } });
}

function reason(found: readonly Partial[], same: readonly Partial[], request: PublicationRequest): string {
  if (found.length === 0) return 'there is no unfinished merge beside it';
  if (same.length > 0) return 'the unfinished merge had not finished any part';
  const owners = found.flatMap((p) => p.record?.owner ?? []);
  if (owners.length === 0) return 'the unfinished merge has no record of what it was';
  const differing = new Set(owners.flatMap((o) => differences(o.identityParts, request.identityParts ?? {})));
  return `the unfinished merge was another one${differing.size > 0 ? `; these differ: ${[...differing].join(', ')}` : ''}`;
}

function differences(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((key) => before[key] !== now[key]);
}
