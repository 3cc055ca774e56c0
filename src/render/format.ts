const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Bytes for people, decimal units, three digits: `313 kB`, `2.04 GB`. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // 999.5 and not 1000: what would be rounded up to 1000 belongs to the next unit.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(Math.round(value)) : threeDigits(value)} ${BYTE_UNITS[unit]}`;
}

/** Bytes a second for people; a dash where there is none yet. */
export function formatRate(bytesPerSecond: number): string {
  return bytesPerSecond > 0 && Number.isFinite(bytesPerSecond) ? `${formatBytes(bytesPerSecond)}/s` : '- B/s';
}

/** Seconds for people: `0.123 s`, `12.3 s`, `2 min 5 s`, `1 h 2 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 99.95) return `${threeDigits(seconds)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A length of time that somebody chose, in full: `90 s`, `30 min`, `6 h`. */
export function formatDuration(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

/** A clock for an ETA: `00:21`, `1:02:03`. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

/** `1 tensor`, `92,000 tensors`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * A step, wherever people read one: as it stands in names of checkpoints, in logs and in options, so that it
 * can be looked for and pasted. It is a name rather than a count.
 */
export function formatStep(step: number): string {
  return String(step);
}

/** A whole number with thousands separators. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/**
 * Characters of a word that are shown whole, and of one that may be a path; and how much of a longer one is.
 */
const WORD = 300;
const PATH = 4096;
const [FRONT, BACK] = [200, 60];
/** Characters of a line of any words. */
const LINE = 16_384;

/**
 * Names as long as a file may make them (a tensor's may have megabytes), cut to their two ends with their
 * length. For people: documents hold names whole.
 */
function shortened(text: string): string {
  if (text.length <= WORD) return text;
  const cut = (long: string) => `${long.slice(0, FRONT)}…${long.slice(-BACK)} (${formatCount(long.length)} characters)`;
  const shown = (word: string) => (word.length > (word.includes('/') ? PATH : WORD) ? cut(word) : word);
  // Without a regular expression: on a busy machine one over megabytes may run out of its stack.
  const inLine = (line: string) => line.split(' ').map(shown).join(' ');
  const words = text.split('\n').map(inLine).join('\n');
  return words.length > LINE ? cut(words) : words;
}

/**
 * Text from a file made safe to show: names of tensors and files may hold escape sequences that would move
 * the cursor or repaint the terminal, and be as long as the file. Control characters and direction overrides
 * are written as escapes; of a word beyond 300 characters (a path: 4,096) both ends are shown.
 */
export function printable(text: string): string {
  return escaped(shortened(text));
}

function escaped(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly what must not reach a terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    if (c === '\n') return '\\n';
    const code = c.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

const NUMBER = /^([-+]?\d[\d,]*)(?:\.(\d+))?([A-Z]?)$/;

/**
 * Numbers of a column with as many decimals as that of them which has most, so that their points stand under
 * each other: `0.512`, `0.160`. Each unit by itself (`4.506M`, `4.710M`, `8B`); what is no such number stays
 * as it is.
 */
export function withEqualDecimals(cells: readonly string[]): string[] {
  const parsed = cells.map((cell) => NUMBER.exec(cell));
  const most = new Map<string, number>();
  for (const match of parsed) if (match !== null) most.set(match[3]!, Math.max(most.get(match[3]!) ?? 0, match[2]?.length ?? 0));
  return cells.map((cell, i) => {
    const match = parsed[i];
    if (match === null || match === undefined) return cell;
    const [, whole, decimals = '', unit] = match;
    const wanted = most.get(unit!)!;
    return wanted === 0 ? cell : `${whole}.${decimals.padEnd(wanted, '0')}${unit}`;
  });
}

/**
 * Columns padded to the same width, two spaces between; numbers (`right`) are aligned right. No spaces at the
 * ends of lines.
 */
export function formatTable(rows: readonly (readonly string[])[], align: readonly ('left' | 'right')[]): string[] {
  const widths = align.map((_, column) => rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0));
  return rows.map((row) =>
    row
      .map((cell, column) => (align[column] === 'right' ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

function threeDigits(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  if (value >= 9.995) return value.toFixed(1);
  return value >= 0.9995 ? value.toFixed(2) : value.toFixed(3);
}
