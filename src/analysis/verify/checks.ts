/**
 * Pieces of a verification, numbered from 0: each is done once and gives a number, whoever does it.
 */
export interface Checks {
  /** A short word that tells them from others of the same verification. */
  readonly name: string;
  readonly count: number;
  /** @throws MergeError where something is not as it should be */
  carryOut(check: number): Promise<number>;
  /** Told of each that is done, once. @throws MergeError where that shows that something is wrong */
  onDone(check: number, found: number): void;
}

/** Does all pieces. @throws what a piece throws; `signal.reason` */
export type CarryOut = (checks: Checks) => Promise<void>;

/** In this process, one after the other. */
export function carryOutHere(signal: AbortSignal | undefined): CarryOut {
  return async ({ count, carryOut, onDone }) => {
    for (let check = 0; check < count; check++) {
      signal?.throwIfAborted();
      onDone(check, await carryOut(check));
    }
  };
}
