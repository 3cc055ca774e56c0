import type { Point } from '../gaussian-process/cube.ts';

/** A trial as a sampler sees it. */
export interface Observed {
  readonly id: number;
  readonly point: Point;
  /** Larger is better; null where the trial failed. */
  readonly value: number | null;
  /**
   * Variance of the value by noise, where it is known (`--noise independent`); null where it is to be
   * learned.
   */
  readonly variance: number | null;
  /** What chose it, as in {@link Proposal}. */
  readonly by: string | null;
  readonly proposals: Readonly<Record<string, Point>> | null;
}

/**
 * All that a proposal may depend on: samplers keep no state, so that a resumed search goes on as it would
 * have.
 */
export interface History {
  readonly observed: readonly Observed[];
  /** Points whose scores are still to come. */
  readonly pending: readonly Point[];
  /** Proposals of this search so far, pending ones included: which element of a sequence comes next. */
  readonly proposed: number;
  /** Whether a point stands for a recipe that was tried or is pending: it gives way to the next best. */
  isTaken(point: Point): Promise<boolean>;
}

export interface Proposal {
  readonly point: Point;
  /**
   * `initial`, `grid`, `random`, `sobol`, or the acquisition function: `ei`, `pi`, `ucb`, `logei`; `command`
   * for a sampler of the user's.
   */
  readonly by: string;
  /** GP-Hedge: what each acquisition function proposed, of which one was drawn. */
  readonly proposals?: Readonly<Record<string, Point>>;
}

export interface Sampler {
  /**
   * Up to `count` points to try next, all different and none taken; fewer, down to none, where the space has
   * no more.
   * @param signal ends the wait for a sampler that is another process
   */
  propose(history: History, count: number, signal?: AbortSignal): Promise<readonly Proposal[]>;
  /**
   * How many proposals depend on no score that is still to come (initial points, a grid, a sequence): they
   * are merged in one read. 1 where it is absent or 0.
   */
  ahead?(history: History): number;
  /** Ends what the sampler runs; absent where it runs nothing. */
  close?(): Promise<void>;
}
