export { errnoOf, type IoContext, toMergeError } from './io-error.ts';
export { unitBytes, unitKey } from './journal.ts';
export { findPartials, type Partial, type PartialState } from './partial.ts';
export { beginPublication } from './publication.ts';
export { restoreInterrupted } from './replace.ts';
export type { PublishHooks } from './system.ts';
export type { JournalUnit, Publication, PublicationRequest } from './types.ts';
