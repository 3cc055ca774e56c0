import { groupBy } from '../../base/group-by.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Colors } from '../../render/colors.ts';
import { formatTable, plural, printable } from '../../render/format.ts';
import { formatNumber, shorten } from '../../render/numbers.ts';
import { wrap } from '../../render/wrap.ts';
import { medianOf } from '../gaussian-process/warp.ts';
import { firstSentence, goalWords, spentText, trialCounts } from '../optimise/words.ts';
import { headlineOf, windowWords } from './conclude.ts';
import type { GridScores, ScoredOutput } from './types.ts';
import { armScoreText, EARLIER, overText, shapeText, type WindowRow, wasGiven, windowRows } from './words.ts';

const WIDTH = 100;
/** Lines of the table; `--json` and the page have all. */
const SHOWN = 60;
const FAILURES_SHOWN = 8;
/** Characters of a shape, however narrow the terminal. */
const LEAST_SHAPE = 16;

/**
 * What `grid --eval` and `grid --scores` print: both conclusions, a line an output, and what was spent.
 * @param columns that the table may take
 */
export function gridScoresText(document: GridScores, colors: Colors, columns = WIDTH): string {
  const width = Math.min(WIDTH, columns);
  const { artefact, recipes, notes, outputs, references, metric, goal, trials } = document;
  const [headline, rest] = firstSentence(artefact.text);
  const failed = [...outputs, ...references].filter(({ trial, score }) => trial !== null && score === null);
  const lines = [
    ...wrap(printable(headline), width).map(headlineOf(artefact).gainClaimed ? colors.bold : (line) => line),
    ...(rest === '' ? [] : wrap(`  ${printable(rest)}`, width, '  ')),
    ...wrap(printable(recipes.text), width, '  '),
    ...notes.flatMap((note) => wrap(printable(note), width, '  ')),
    '',
    `${plural(outputs.length, 'output')}, ${printable(metric ?? 'score')}, ${goalWords(goal)}; of gains + is better`,
    ...outputTable(document, colors, columns),
    '',
    ...failed.slice(0, FAILURES_SHOWN).flatMap(({ name, reason }) => wrap(`no score for ${printable(`${name}: ${reason}`)}`, width, '  ')),
    ...(failed.length > FAILURES_SHOWN ? [`and for ${failed.length - FAILURES_SHOWN} more`] : []),
    `${plural(trials.length, 'evaluation')}: ${trialCounts(trials)}${wasGiven(document) ? '' : `; ${spentText(document)}`}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** A line of the table: an output, or the plain mean of its window. */
interface ShownRow {
  readonly window: string;
  readonly shape: string;
  readonly score: string;
  readonly overNewest: Gain;
  readonly overMean: Gain;
  readonly mark: string;
}

type Gain = { readonly gain: number; readonly error: number | null } | null;

/** Each endpoint with its rows, newest first. */
function outputTable(document: GridScores, colors: Colors, width: number): string[] {
  const ends = groupBy(windowRows(document), ({ endpoint }) => endpoint);
  const blocks = [...ends.values()].map((windows) => {
    const { end, newest } = windows[0]!;
    const earlier = windows.every((window) => window.earlier) ? ' (earlier)' : '';
    const head = `up to ${end}${earlier}${newest === undefined ? '' : `: newest ${armScoreText(newest)}`}`;
    return { head, rows: windows.flatMap((window) => rowsOf(window, document)) };
  });
  const all = blocks.flatMap(({ rows }) => rows);
  const lines = tableLines(all, width);
  let at = 0;
  const shown = blocks.flatMap(({ head, rows }) => {
    const left = Math.min(rows.length, SHOWN - at);
    const own = lines.rows.slice(at, at + left);
    at += Math.max(0, left);
    return left > 0 ? [colors.bold(printable(head)), ...own] : [];
  });
  const flags = [...new Set(document.outputs.flatMap((output) => output.flags))];
  return [
    lines.head,
    ...shown,
    ...(all.length > SHOWN ? [colors.dim(`and ${all.length - SHOWN} more: the page and --json have them`)] : []),
    ...(document.outputs.some(({ control }) => control) ? [colors.dim('reverse and scramble are controls: none of them is taken')] : []),
    ...(document.outputs.some(({ earlier }) => earlier) ? [EARLIER] : []),
    ...flags.map((flag) => colors.yellow(`! ${printable(flag)}`)),
  ];
}

function rowsOf({ window, newest, mean, outputs }: WindowRow, { artefact, goal }: GridScores): ShownRow[] {
  const { sign } = directionOf(goal);
  const marked = (name: string) => (name === artefact.best ? 'chosen' : '');
  const isMean = (output: ScoredOutput) => mean !== undefined && output.trial !== null && output.trial === mean.trial;
  const rows = [...outputs.values()].map((output): ShownRow => {
    const shape = printable(shapeText(output)).replace(', decay ', ' ');
    return {
      window: '',
      shape: `${shape}${isMean(output) && output.axes.method !== 'sma' ? ', the plain mean' : ''}${output.flags.length > 0 ? ' !' : ''}`,
      score: output.score === null ? armScoreText(output) : formatNumber(output.score, 6),
      overNewest: output.overNewest,
      overMean: output.overMean,
      mark: marked(output.name),
    };
  });
  // Beside outputs that are none of them.
  if (mean?.score != null && ![...outputs.values()].some(isMean)) {
    const overNewest = newest?.score == null ? null : { gain: sign * (mean.score - newest.score), error: null };
    rows.unshift({
      window: '',
      shape: 'plain mean',
      score: formatNumber(mean.score, 6),
      overNewest,
      overMean: null,
      mark: marked(mean.name),
    });
  }
  return rows.map((row, i) => (i === 0 ? { ...row, window: windowWords(window) } : row));
}

/** Head and rows of one width: where that is too much, with fewer digits and errors, then with shorter shapes. */
function tableLines(rows: readonly ShownRow[], width: number): { readonly head: string; readonly rows: readonly string[] } {
  const head = ['window', 'shape', 'score', 'over newest', 'over mean', ''];
  const table = (errors: boolean, most: number) => {
    const digits = errors ? 2 : 1;
    const newest = gainColumn(
      rows.map(({ overNewest }) => overNewest),
      digits,
    );
    const mean = gainColumn(
      rows.map(({ overMean }) => overMean),
      digits,
    );
    const cells = rows.map(({ window, shape, score, overNewest, mark }, i) => {
      const gain = errors ? newest[i]! : newest[i]!.split(' ')[0]!;
      return [`  ${window}`, shorten(shape, most), score, overNewest === null ? '–' : gain, mean[i]!, mark];
    });
    const [first, ...lines] = formatTable(
      [[`  ${head[0]}`, ...head.slice(1)], ...cells],
      ['left', 'left', 'right', 'right', 'right', 'left'],
    );
    return { head: first!, rows: lines };
  };
  const widest = (of: ReturnType<typeof table>) => Math.max(of.head.length, ...of.rows.map((line) => line.length));
  const shapes = Math.max(5, ...rows.map(({ shape }) => shape.length));
  const whole = table(true, shapes);
  if (widest(whole) <= width) return whole;
  const plain = table(false, shapes);
  return widest(plain) <= width ? plain : table(false, Math.max(LEAST_SHAPE, shapes - (widest(plain) - width)));
}

/** Gains of a column with as many decimals each: so many digits of their middle error. */
function gainColumn(gains: readonly Gain[], digits: number): string[] {
  const errors = gains.flatMap((gain) => (gain?.error == null || !(gain.error > 0) ? [] : [gain.error]));
  const decimals = errors.length === 0 ? Number.NaN : digits - 1 - Math.floor(Math.log10(medianOf(errors)));
  return gains.map((gain) => {
    if (gain === null) return '–';
    if (!(decimals >= 0 && decimals <= 12) || Math.abs(gain.gain) >= 1e5) return overText(gain);
    const error = gain.error === null ? '' : ` ± ${gain.error.toFixed(decimals)}`;
    return `${gain.gain > 0 ? '+' : ''}${gain.gain.toFixed(decimals)}${error}`;
  });
}
