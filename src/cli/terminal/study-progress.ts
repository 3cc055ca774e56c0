import { StudyNow } from '../../search/study/now.ts';
import { studyLine } from '../../search/study/text.ts';
import type { StudyEvent } from '../../search/study/types.ts';
import type { Terminal } from './terminal.ts';

/** Between two drawings of the line, by which the time left goes down. */
const REDRAW_MS = 1000;
const ERASE = '\r\u001b[K';

/** Shows on stderr what a study does. */
export interface StudyLines {
  readonly event: (event: StudyEvent) => void;
  /** Takes the line away that is drawn anew. More than one call does no harm. */
  readonly end: () => void;
}

/**
 * On a terminal a line for what has ended, and below these one that is drawn anew for what is done now; elsewhere a
 * line for each of both.
 * @param quiet warnings alone
 */
export function studyProgress({ err, env }: Terminal, quiet = false): StudyLines {
  const write = (event: StudyEvent, alone: boolean) => {
    const line = quiet && event.type !== 'warning' ? '' : studyLine(event, err.colors, alone);
    if (line !== '') err.write(line);
  };
  if (quiet || !err.tty || env.TERM === 'dumb') return { event: (event) => write(event, false), end: () => {} };
  const now = new StudyNow();
  let timer: NodeJS.Timeout | null = null;
  // The last column stays free: writing into it makes some terminals wrap.
  const draw = () => err.write(`${ERASE}${nowLine(now, err.columns() - 1)}`);
  return {
    event(event) {
      now.hear(event);
      if (event.type !== 'evaluating' && event.type !== 'merging') {
        err.write(ERASE);
        write(event, true);
      }
      draw();
      timer ??= setInterval(draw, REDRAW_MS).unref();
    },
    end() {
      if (timer === null) return;
      clearInterval(timer);
      timer = null;
      err.write(ERASE);
    },
  };
}

/** `evaluating trial 4 (5 of 12), best so far 0.612 of trial 3, about 12 min left`, as much of it as fits. */
function nowLine({ doing, best, left }: StudyNow, columns: number): string {
  for (const parts of [[doing, best, left], [doing, left], [doing]]) {
    const line = parts.filter((part) => part !== null).join(', ');
    if (line.length <= columns) return line;
  }
  return doing.slice(0, columns);
}
