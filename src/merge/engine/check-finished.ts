import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import type { NativeBinding } from '../native/binding.ts';
import { unitBytes, unitKey } from '../output/journal.ts';
import type { JournalUnit, Publication } from '../output/types.ts';
import type { MergeEvent } from './events.ts';
import { describeFailure } from './failure.ts';
import type { MergeTotals } from './totals.ts';

/** Bytes that are summed between two looks at the signal. */
const PIECE = 256 * 2 ** 20;

export interface CheckTools {
  readonly binding: NativeBinding;
  readonly totals: MergeTotals;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads the units that an interrupted run left in its outputs and compares them with the checksums that it
 * wrote down: a disk, a copy or somebody may have changed them since. What differs is made anew.
 * @returns [K] what to say of units that differ
 * @throws MergeError E_IO; `signal.reason` on an abort
 */
export async function* checkFinished(
  publications: readonly Publication[],
  { binding, totals, signal }: CheckTools,
): AsyncGenerator<MergeEvent, (Warning | null)[]> {
  const total = publications.reduce((sum, { finished }) => sum + unitBytes(finished.values()), 0);
  const found: (Warning | null)[] = [];
  for (const publication of publications) {
    const units = [...publication.finished.values()];
    const damaged: JournalUnit[] = [];
    for (const unit of units) {
      let crc = 0;
      for (let at = unit.start; at < unit.end; at += PIECE) {
        signal?.throwIfAborted();
        const bytes = Math.min(PIECE, unit.end - at);
        const piece = await binding.crc32cFile(join(publication.dir, unit.file), at, bytes).catch((cause: unknown) => {
          throw describeFailure(cause, { path: `${publication.output} (${unit.file})` });
        });
        crc = binding.crc32cCombine(crc, piece, bytes);
        totals.checked(bytes, total);
        const progress = totals.progress('check', 0);
        if (progress !== undefined) yield progress;
      }
      if (crc !== unit.crc) damaged.push(unit);
    }
    for (const unit of damaged) publication.distrust(unitKey(unit));
    found.push(damaged.length === 0 ? null : damagedWarning(publication, damaged, units.length));
  }
  return found;
}

/** How many files a message names. */
const MOST_FILES = 3;

function damagedWarning({ output }: Publication, damaged: readonly JournalUnit[], of: number): Warning {
  const files = [...new Set(damaged.map(({ file }) => file))].sort();
  const named = `${files.slice(0, MOST_FILES).join(', ')}${files.length > MOST_FILES ? ', …' : ''}`;
  const message = `${output}: ${damaged.length} of ${of} finished parts are not what the interrupted merge wrote, and are made anew (${named})`;
  return { code: 'W_PART_CHANGED', message };
}
