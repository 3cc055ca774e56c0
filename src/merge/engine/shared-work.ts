import type { Publication } from '../output/types.ts';
import type { Unit } from './units.ts';

/** Bytes and seconds of several processes. */
export interface SharedTotals {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Of the one that has been at it for the longest. */
  readonly seconds: number;
  readonly ranks: number;
  readonly hosts: number;
  readonly job: string | undefined;
}

/** What of a run's progress the other ranks are told. */
export interface OwnTotals {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly seconds: number;
}

/** Work on a plan that several processes share, as the engine of one of them sees it. */
export interface SharedWork {
  /** [K] where all of them write; they outlive a run of the engine. */
  readonly publications: readonly Publication[];
  /**
   * Indices of units for this process to make; null where there is none now, and others are at work. Ends when
   * all units are journaled, or the outputs are there.
   * @param settle resolves when all that this process made is journaled, and throws what went wrong with it
   */
  units(units: readonly Unit[], settle: () => Promise<void>): AsyncIterable<number | null>;
  /** Before each native call: whether to go on. @throws what ends the work */
  check(): void;
  /** Whether this process publishes the outputs; false where another one has. */
  publishes(): Promise<boolean>;
  /** Whether output `k` is there already as the plan makes it: whoever published it died before the others. */
  isPublished(k: number): Promise<boolean>;
  /** Notes for the others what was done here, and gets what all did, as far as this process has seen. */
  totals(own: OwnTotals): SharedTotals;
  /** Tells the others at once. Never throws: only figures are lost. */
  tell(own: OwnTotals): Promise<void>;
}
