/**
 * The largest of each kind of number that anybody can ask for, on the command line, in a recipe or of the
 * library. They are far beyond what is of use, and keep what follows from a number (threads, arrays, timers)
 * within what a machine can do.
 */
export const MOST = {
  threads: 1024,
  /** Requests in flight: each has a thread of its own. */
  ioDepth: 1024,
  /** Bytes, of a size or a second: a pebibyte. */
  bytes: 2 ** 50,
  /** Checkpoints, layers, members: what is counted one by one. */
  count: 2 ** 31 - 1,
  /** Steps, tokens and seeds: whole numbers that a double holds. */
  whole: Number.MAX_SAFE_INTEGER,
  parallel: 1024,
  /** Machines of a job: what a Job of Kubernetes can have without more ado. */
  nodes: 10_000,
  repeats: 100,
  /** Hidden states for a router. */
  probes: 2 ** 20,
  benchInputs: 256,
  benchRounds: 1000,
  /** Seconds that a timer of Node can hold: 2^31 milliseconds are 24.8 days. */
  timer: 24 * 86_400,
  /** Seconds of a search: ten years. */
  budget: 3650 * 86_400,
  /** How far to go beyond a mean. */
  factor: 1e6,
} as const;
