import { MergeError } from '../../base/errors.ts';
import type { ToldFailure } from '../../merge/launch/messages.ts';
import type { WatchSummary } from './types.ts';

/** A summary as a document, with all that an error is made of. */
export interface ToldSummary extends Omit<WatchSummary, 'failed'> {
  readonly failed: readonly { readonly checkpoint: string; readonly error: ToldFailure }[];
}

export function toldSummary({ failed, ...rest }: WatchSummary): ToldSummary {
  const told = failed.map(({ checkpoint, error: { code, message, details, help } }) => ({
    checkpoint,
    error: { code, message, details, help },
  }));
  return { ...rest, failed: told };
}

/** What {@link toldSummary} made a document of. */
export function readSummary({ failed, ...rest }: ToldSummary): WatchSummary {
  const read = failed.map(({ checkpoint, error: { code, message, details, help } }) => ({
    checkpoint,
    error: new MergeError(code, message, { details, help }),
  }));
  return { ...rest, failed: read };
}
