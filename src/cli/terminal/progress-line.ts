import type { VerifyProgress } from '../../analysis/verify/verify.ts';
import type { ProgressEvent } from '../../merge/engine/events.ts';
import type { Plan } from '../../merge/plan/types.ts';
import { formatBytes, formatClock, formatCount, formatRate, plural, printable } from '../../render/format.ts';

/** Under this width only the percentage is shown. */
const NARROW = 30;

/** A piece of a line; when the line is too long, pieces with the highest rank go first. */
interface Piece {
  readonly text: string;
  readonly rank: number;
}

/** Outputs that the first line of a log names one by one. */
const NAMED = 4;

/** The first line of a log. */
export function startLine(plan: Plan): string {
  const paths = plan.outputs.map((output) => printable(output.path));
  const outputs = paths.length > NAMED ? plural(paths.length, 'output') : paths.join(', ');
  const bytes = `${formatBytes(plan.bytesRead)} to read, ${formatBytes(plan.bytesWritten)} to write`;
  const [only] = plan.outputs;
  if (only?.schedule.method === 'convert') return `converting ${printable(plan.members[0]!.path)} into ${outputs}: ${bytes}`;
  return `merging ${plural(plan.members.length, 'checkpoint')} into ${outputs}: ${bytes}`;
}

/**
 * `merging   63%  412 GB / 655 GB  read 11.8 GB/s  write 2.9 GB/s  ETA 00:21`, shortened until it fits into
 * `columns`.
 */
export function progressLine(event: ProgressEvent | VerifyProgress, columns: number): string {
  switch (event.phase) {
    case 'check': {
      const bytes = `${formatBytes(event.bytesChecked)} / ${formatBytes(event.bytesCheckedTotal)}`;
      return fitted('checking what is there', event.bytesChecked, event.bytesCheckedTotal, [{ text: bytes, rank: 1 }], columns);
    }
    case 'merge':
      return mergeLine(event, columns);
    case 'sync':
      return `syncing  ${formatBytes(event.bytesWrittenTotal)} to the device`.slice(0, columns);
    case 'publish':
      return 'publishing'.slice(0, columns);
    case 'crc':
      return fitted(
        'checksums',
        event.done,
        event.total,
        [{ text: `${formatBytes(event.done)} / ${formatBytes(event.total)}`, rank: 1 }],
        columns,
      );
    case 'recompute': {
      const elements = `${formatCount(event.done)} / ${plural(event.total, 'element')}`;
      return fitted('recomputing', event.done, event.total, [{ text: elements, rank: 1 }], columns);
    }
  }
}

function mergeLine(event: ProgressEvent, columns: number): string {
  const done = event.bytesRead + event.bytesWritten;
  const total = event.bytesReadTotal + event.bytesWrittenTotal;
  // Time matters more than bytes, bytes more than rates, rates more than the file's name.
  const pieces = [
    { text: `${formatBytes(done)} / ${formatBytes(total)}`, rank: 2 },
    { text: `read ${formatRate(event.readBytesPerSecond)}`, rank: 3 },
    { text: `write ${formatRate(event.writeBytesPerSecond)}`, rank: 4 },
    { text: `ETA ${event.etaSeconds === null ? '--:--' : formatClock(event.etaSeconds)}`, rank: 1 },
    { text: printable(event.outputFile), rank: 5 },
  ];
  return fitted('merging', done, total, pieces, columns);
}

function fitted(verb: string, done: number, total: number, pieces: readonly Piece[], columns: number): string {
  // Rounded down: 100 % is for what is done.
  const percent = `${total === 0 ? 100 : Math.min(100, Math.floor((done / total) * 100))}%`;
  if (columns < NARROW) return percent.slice(0, columns);
  const head = `${verb}  ${percent.padStart(4)}`;
  for (let rank = Math.max(...pieces.map((piece) => piece.rank)); ; rank--) {
    const kept = pieces.filter((piece) => piece.rank <= rank && piece.text !== '').map((piece) => piece.text);
    const line = [head, ...kept].join('  ');
    if (line.length <= columns || rank === 0) return line.slice(0, columns);
  }
}
