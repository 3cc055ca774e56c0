import { MergeError } from '../errors.ts';
import type { Terminal } from './terminal.ts';

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
export type EndingSignal = keyof typeof SIGNALS;

/** Thrown where a signal ended the work and everything is cleaned up. */
export class Interrupted extends Error {
  readonly signal: EndingSignal;
  /** What the library said about what it left, if anything. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(signal: EndingSignal, cause: unknown) {
    super(`ended by ${signal}`, { cause });
    this.name = 'Interrupted';
    this.signal = signal;
    this.details = cause instanceof MergeError ? cause.details : {};
  }

  get exitCode(): number {
    return SIGNALS[this.signal];
  }
}

/**
 * Runs work that the first SIGINT, SIGTERM or SIGHUP aborts, with the signal's name as the reason, and waits for its cleanup. The second signal takes
 * its default course and ends the process at once: a read that is stuck in the kernel cannot be waited for.
 * @throws Interrupted when the work ended because of the signal; any other error of the work as it is.
 */
export async function interruptible<T>(terminal: Terminal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let received: EndingSignal | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    if (received !== null) {
      release();
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
  for (const name of Object.keys(SIGNALS)) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (received !== null && endedBy(error, received)) throw new Interrupted(received, error);
    throw error;
  } finally {
    release();
  }
}

/** Whether an error is the abort coming back, and not a failure that happened to come after the signal. */
function endedBy(error: unknown, reason: EndingSignal): boolean {
  if (error === reason) return true;
  return error instanceof Error && (error.name === 'AbortError' || (error instanceof MergeError && error.code === 'E_INTERRUPTED'));
}
