import type { MergeEvent, ProgressEvent } from '../engine/events.ts';
import type { Warning } from '../errors.ts';
import type { Plan } from '../plan/types.ts';
import { warningText } from './error-text.ts';
import { formatBytes, formatClock, formatRate, plural, printable } from './format.ts';
import type { Terminal } from './terminal.ts';

export type ProgressMode = 'auto' | 'tty' | 'lines' | 'json' | 'none';

/** Redraws of the terminal line and lines of a log, at most this often. */
const REDRAW_MS = 100;
const LINE_MS = 10_000;
/** Under this width only the percentage is shown. */
const NARROW = 30;

/** Shows events of a long operation on stderr. */
export interface Progress {
  event(event: MergeEvent | ProgressEvent): void;
  /** Prints a warning, unless the same one was printed before. */
  warn(warning: Warning): void;
  /** Leaves the line as it is and starts a new one. To be called once, whatever happened. */
  end(): void;
}

/**
 * @param mode `auto` redraws a line on a terminal that can, and writes a line now and then elsewhere
 * @param json turns an event into what an NDJSON line holds (a plan is far too large as it is)
 * @param now clock in milliseconds
 */
export function createProgress(
  mode: ProgressMode,
  terminal: Terminal,
  json: (event: MergeEvent | ProgressEvent) => object = (event) => event,
  now: () => number = () => performance.now(),
): Progress {
  const { err, env } = terminal;
  const shown = mode === 'auto' ? (err.tty && env.TERM !== 'dumb' ? 'tty' : 'lines') : mode;
  const warned = new Set<string>();
  let last = now();
  let drawn = '';
  let phase = '';

  const erase = () => {
    if (drawn !== '') err.write('\r\u001b[K');
  };
  const show = (event: ProgressEvent) => {
    // On a terminal a new phase is shown at once: its first event may be its only one.
    const news = shown === 'tty' && event.phase !== phase;
    if (!news && now() - last < (shown === 'tty' ? REDRAW_MS : LINE_MS)) return;
    last = now();
    phase = event.phase;
    if (shown === 'lines') {
      err.write(`${progressLine(event, Number.POSITIVE_INFINITY)}\n`);
      return;
    }
    // The last column stays free: writing into it makes some terminals wrap.
    drawn = progressLine(event, err.columns() - 1);
    err.write(`\r${drawn}\u001b[K`);
  };
  return {
    event(event) {
      if (shown === 'json') err.write(`${JSON.stringify(json(event))}\n`);
      else if (event.type === 'warning') this.warn(event.warning);
      else if (event.type === 'plan' && shown === 'lines') err.write(`${startLine(event.plan)}\n`);
      else if (event.type === 'progress' && shown !== 'none') show(event);
    },
    warn(warning) {
      const key = `${warning.code} ${warning.message}`;
      if (warned.has(key) || shown === 'json') return;
      warned.add(key);
      erase();
      err.write(warningText(warning, err.colors));
      err.write(drawn);
    },
    end() {
      if (shown === 'tty') erase();
      drawn = '';
    },
  };
}

/** The first line of a log. */
function startLine(plan: Plan): string {
  const outputs = plan.outputs.map((output) => printable(output.path)).join(', ');
  const bytes = `${formatBytes(plan.bytesRead)} to read, ${formatBytes(plan.bytesWritten)} to write`;
  return `merging ${plural(plan.members.length, 'checkpoint')} into ${outputs}: ${bytes}`;
}

/** `merging  63%  412/655 GB  read 11.8 GB/s  write 2.9 GB/s  ETA 00:21`, shortened from the right until it fits. */
export function progressLine(event: ProgressEvent, columns: number): string {
  if (event.phase !== 'merge') {
    const text = event.phase === 'sync' ? `syncing  ${formatBytes(event.bytesWrittenTotal)} to the device` : 'publishing';
    return text.slice(0, columns);
  }
  const done = event.bytesRead + event.bytesWritten;
  const total = event.bytesReadTotal + event.bytesWrittenTotal;
  // Rounded down: 100 % is for what is done.
  const percent = `${total === 0 ? 100 : Math.min(100, Math.floor((done / total) * 100))}%`;
  if (columns < NARROW) return percent.slice(0, columns);
  // What is left when the line is too long: time matters more than rates, rates more than the file's name.
  const parts = [
    { text: `merging  ${percent.padStart(4)}`, rank: 0 },
    { text: `${formatBytes(done)} / ${formatBytes(total)}`, rank: 2 },
    { text: `read ${formatRate(event.readBytesPerSecond)}`, rank: 3 },
    { text: `write ${formatRate(event.writeBytesPerSecond)}`, rank: 4 },
    { text: `ETA ${event.etaSeconds === null ? '--:--' : formatClock(event.etaSeconds)}`, rank: 1 },
    { text: printable(event.outputFile), rank: 5 },
  ].filter((part) => part.text !== '');
  for (let rank = 5; ; rank--) {
    const line = parts
      .filter((part) => part.rank <= rank)
      .map((part) => part.text)
      .join('  ');
    if (line.length <= columns || rank === 0) return line.slice(0, columns);
  }
}
