import { killGroups } from '../../base/process/process-group.ts';
import type { Terminal } from './terminal.ts';

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
export type EndingSignal = keyof typeof SIGNALS;

/** Thrown where a signal ended the work and everything is cleaned up. */
export class Interrupted extends Error {
  readonly signal: EndingSignal;
  /** Outputs of which finished parts were kept, for `--resume`. */
  readonly kept: readonly string[];
  /** What may be there all the same, where nothing was kept. */
  readonly doubt: string | null;

  constructor(signal: EndingSignal, kept: readonly string[], doubt: string | null = null) {
    super(`ended by ${signal}`);
    this.name = 'Interrupted';
    this.signal = signal;
    this.kept = kept;
    this.doubt = doubt;
  }

  get exitCode(): number {
    return SIGNALS[this.signal];
  }
}

/** Gives back the handlers of work that is done, which stay until the process ends or begins another. */
let releaseLast = (): void => {};

/**
 * Runs work that the first SIGINT, SIGTERM or SIGHUP aborts, with the signal's name as the reason, and waits
 * for its cleanup. The second signal takes its default course and ends the process at once, and what it
 * started: a read that is stuck in the kernel cannot be waited for. Signals that come when the work is done change nothing.
 * @param kept outputs that can be resumed, filled by the work before it ends
 * @throws Interrupted when the work ended because of the signal; any other error of the work as it is.
 */
export async function interruptible<T>(
  terminal: Terminal,
  work: (signal: AbortSignal) => Promise<T>,
  kept: readonly string[] = [],
): Promise<T> {
  const controller = new AbortController();
  let received: EndingSignal | null = null;
  let done = false;
  const onSignal = (signal: NodeJS.Signals) => {
    // What was asked for is there: the exit code says so, however often somebody is impatient.
    if (done) return;
    if (received !== null) {
      release();
      killGroups();
      process.kill(process.pid, signal);
      return;
    }
    received = signal as EndingSignal;
    // The terminal has written ^C into the progress line.
    terminal.err.write(`${terminal.err.tty ? '\n' : ''}${signal}: stopping and cleaning up; once more to leave at once\n`);
    controller.abort(signal);
  };
  const release = () => {
    for (const name of Object.keys(SIGNALS)) process.removeListener(name, onSignal);
  };
  releaseLast();
  for (const name of Object.keys(SIGNALS)) process.on(name, onSignal);
  try {
    const result = await work(controller.signal);
    done = true;
    releaseLast = release;
    return result;
  } catch (error) {
    release();
    if (received !== null && error === received) throw new Interrupted(received, kept);
    throw error;
  }
}
