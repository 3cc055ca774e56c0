import { endsLine } from '../../base/disk/ends-line.ts';
import type { Channel } from './terminal.ts';

/**
 * Brings stderr to the begin of a line after another program has printed there, who knows what. A terminal is
 * given as many blanks as it is wide, which end on the next line only where something stood on this one; of a
 * file the last byte is read; elsewhere nobody can tell, and an empty line does least harm.
 */
export function freshLine(err: Channel): void {
  if (err.tty) err.write(`${' '.repeat(err.columns() - 1)}\r\x1b[K`);
  else if (!endsLine(2)) err.write('\n');
}
