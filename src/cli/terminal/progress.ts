import type { VerifyProgress } from '../../analysis/verify/verify.ts';
import type { Warning } from '../../base/errors.ts';
import type { MergeEvent } from '../../merge/engine/events.ts';
import { containerNote } from '../../merge/plan/container-note.ts';
import { warningText } from '../../render/error-text.ts';
import { progressLine, startLine } from './progress-line.ts';
import type { Terminal } from './terminal.ts';

export type ProgressMode = 'auto' | 'tty' | 'lines' | 'json' | 'none';
type OperationEvent = MergeEvent | VerifyProgress;

/** Milliseconds between redraws of the terminal's line (and NDJSON events), and between lines of a log. */
const REDRAW_MS = 100;
const LINE_MS = 10_000;
const ERASE = '\r\u001b[K';

/** Shows events of a long operation on stderr. */
export interface Progress {
  event(event: OperationEvent): void;
  /** Prints a warning, unless the same one was printed before. */
  warn(warning: Warning): void;
  /** Takes the redrawn line away. More than one call does no harm. */
  end(): void;
}

/**
 * @param mode `auto` redraws a line on a terminal that can, and writes a line now and then elsewhere
 * @param document turns an event into what an NDJSON line holds: a plan is far too large as it is
 * @param now clock in milliseconds
 */
export function createProgress(
  mode: ProgressMode,
  terminal: Terminal,
  document: (event: OperationEvent) => object = (event) => event,
  now: () => number = () => performance.now(),
): Progress {
  const { err, env } = terminal;
  const shown = mode === 'auto' ? (err.tty && env.TERM !== 'dumb' ? 'tty' : 'lines') : mode;
  const interval = shown === 'lines' ? LINE_MS : REDRAW_MS;
  const warned = new Set<string>();
  let last = now();
  let drawn = '';
  let phase = '';

  /**
   * Whether a progress event is shown. Off a terminal the first line comes after ten seconds: a short merge
   * fills no log.
   */
  const due = (event: OperationEvent & { type: 'progress' }): boolean => {
    const news = shown !== 'lines' && event.phase !== phase;
    if (!news && now() - last < interval) return false;
    last = now();
    phase = event.phase;
    return true;
  };
  const draw = (line: string) => {
    if (shown === 'lines') err.write(`${line}\n`);
    else err.write(`\r${line}\u001b[K`);
    drawn = shown === 'tty' ? line : '';
  };
  const progress: Progress = {
    event(event) {
      // A watch that waited for hours would else say of every merge that it is nearly done, when it is.
      if (event.type === 'plan') last = now();
      if (event.type === 'progress' && (shown === 'none' || !due(event))) return;
      if (shown === 'json') err.write(`${JSON.stringify(document(event))}\n`);
      else if (event.type === 'warning') progress.warn(event.warning);
      else if (event.type === 'launcher' && shown !== 'none') err.write(`${drawn === '' ? '' : ERASE}${event.line}\n${drawn}`);
      else if (event.type === 'plan' && shown !== 'none' && event.plan.outputs.length > 0) {
        if (shown === 'lines') draw(startLine(event.plan));
        const note = containerNote(event.plan);
        if (note !== null) err.write(`${note}\n`);
      }
      // The last column stays free: writing into it makes some terminals wrap.
      else if (event.type === 'progress') draw(progressLine(event, shown === 'tty' ? err.columns() - 1 : Number.POSITIVE_INFINITY));
    },
    warn(warning) {
      const key = `${warning.code} ${warning.message}`;
      if (warned.has(key) || shown === 'json') return;
      warned.add(key);
      err.write(`${drawn === '' ? '' : ERASE}${warningText(warning, err.colors)}${drawn}`);
    },
    end() {
      if (drawn !== '') err.write(ERASE);
      drawn = '';
    },
  };
  return progress;
}
