import { relative } from 'node:path';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatStep, formatTable, plural, printable, withEqualDecimals } from '../../render/format.ts';
import { shorten } from '../../render/numbers.ts';
import { shownName } from '../position.ts';
import { lossCurve } from './loss-curve.ts';
import { formatQuantity } from './quantity.ts';
import type { Run, RunCheckpoint } from './types.ts';

/** Without `--all`: rows of a long table that are shown, and how many of them from its beginning. */
const ROWS = 40;
const HEAD = 5;
const MOST_EXCLUDED = 12;
/** Metrics beside the loss that a table has, and characters of their names; --json has all. */
const MOST_METRICS = 8;
const LONGEST_METRIC = 24;

interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** The cell; empty where unknown. A column that is empty throughout is left out. */
  readonly cell: (checkpoint: RunCheckpoint) => string;
}

const COLUMNS: readonly Column[] = [
  { title: 'stage', align: 'right', cell: ({ stage }) => known(stage, String) },
  { title: 'ingredient', align: 'right', cell: ({ ingredient }) => known(ingredient, String) },
  { title: 'epoch', align: 'right', cell: ({ epoch }) => known(epoch ?? null, String) },
  { title: 'step', align: 'right', cell: ({ epoch, step }) => (epoch === step ? '' : known(step, formatStep)) },
  { title: 'tokens', align: 'right', cell: ({ tokens }) => known(tokens, formatTokens) },
  { title: 'size', align: 'right', cell: ({ bytes }) => formatBytes(bytes) },
  { title: 'dtype', align: 'left', cell: ({ dtypes }) => dtypes.join('+') },
  { title: 'lr', align: 'right', cell: ({ learningRate }) => known(learningRate, (rate) => String(Number(rate.toPrecision(3)))) },
  { title: 'loss', align: 'right', cell: ({ loss }) => known(loss, formatLoss) },
  { title: 'eval loss', align: 'right', cell: ({ evalLoss }) => known(evalLoss, formatLoss) },
  { title: 'checkpoint', align: 'left', cell: (checkpoint) => printable(shownName(checkpoint)) },
];

/**
 * What `ls` prints of a run: its complete checkpoints as a table, the loss around them, and what is left out
 * with the reasons.
 */
export function runText(run: Run, colors: Colors, { columns, all }: { readonly columns: number; readonly all: boolean }): string {
  const { checkpoints, log } = run;
  const bytes = checkpoints.reduce((sum, checkpoint) => sum + checkpoint.bytes, 0);
  const lines = [`${colors.bold(printable(run.path))}: ${plural(checkpoints.length, 'checkpoint')}, ${formatBytes(bytes)}`, ''];
  lines.push(...tableLines(checkpoints, all, colors));
  const curve = curveLines(run, log, colors, columns - 2);
  if (curve.length > 0) lines.push('', 'loss', ...curve.map((line) => `  ${line}`));
  lines.push(...excludedLines(run, all, colors));
  return `${lines.join('\n')}\n`;
}

function tableLines(checkpoints: readonly RunCheckpoint[], all: boolean, colors: Colors): string[] {
  const shown = all || checkpoints.length <= ROWS ? checkpoints : [...checkpoints.slice(0, HEAD), ...checkpoints.slice(HEAD - ROWS)];
  const names = [...new Set(shown.flatMap(({ metrics = {} }) => Object.keys(metrics)))].slice(0, MOST_METRICS);
  const others = names.map(
    (name): Column => ({
      title: printable(shorten(name, LONGEST_METRIC)),
      align: 'right',
      cell: ({ metrics = {} }) => known(metrics[name] ?? null, formatLoss),
    }),
  );
  const columns = [...COLUMNS.slice(0, -1), ...others, COLUMNS.at(-1)!].filter(({ cell }) =>
    shown.some((checkpoint) => cell(checkpoint) !== ''),
  );
  const cells = columns.map(({ cell, align }) => {
    const texts = shown.map((checkpoint) => cell(checkpoint) || '-');
    return align === 'right' ? withEqualDecimals(texts) : texts;
  });
  const rows = [columns.map(({ title }) => title), ...shown.map((_, row) => cells.map((column) => column[row]!))];
  const [head, ...body] = formatTable(
    rows,
    columns.map(({ align }) => align),
  ).map((line) => `  ${line}`);
  const hidden = checkpoints.length - shown.length;
  if (hidden > 0) body.splice(HEAD, 0, colors.dim(`  … ${plural(hidden, 'more checkpoint')}, shown with --all`));
  return [colors.dim(head!), ...body];
}

/**
 * The loss from one save interval before the first checkpoint on: the fall at the beginning of a run would
 * flatten all the rest.
 */
function curveLines({ checkpoints }: Run, log: Run['log'], colors: Colors, columns: number): string[] {
  const newest = checkpoints.at(-1)!;
  const marks = checkpoints.filter((c) => c.stage === newest.stage && c.ingredient === newest.ingredient).map(({ step }) => step ?? 0);
  const [first, second] = marks;
  const from = second === undefined ? undefined : first! - (second - first!);
  return lossCurve(log, colors, { columns, from, marks });
}

function excludedLines({ path: folder, excluded }: Run, all: boolean, colors: Colors): string[] {
  if (excluded.length === 0) return [];
  const shown = all ? excluded : excluded.slice(0, MOST_EXCLUDED);
  const rows = shown.map(({ path, reason }) => [printable(relative(folder, path) || folder), printable(reason)]);
  const lines = formatTable(rows, ['left', 'left']).map((line) => `  ${line}`);
  const hidden = excluded.length - shown.length;
  if (hidden > 0) lines.push(colors.dim(`  … and ${formatCount(hidden)} more, shown with --all`));
  return ['', 'left out', ...lines];
}

function known<T>(value: T | null, format: (value: T) => string): string {
  return value === null ? '' : format(value);
}

/** Of a log NaN is read as infinity. */
function formatLoss(loss: number): string {
  return Number.isFinite(loss) ? loss.toPrecision(4) : 'NaN/inf';
}

/**
 * `12.288M`, with all of its digits: it is what people type after `--from` and `--to`. The column's title
 * says what of.
 */
function formatTokens(tokens: number): string {
  return tokens < 1e6 ? formatCount(tokens) : formatQuantity({ value: tokens, unit: 'tokens' });
}
