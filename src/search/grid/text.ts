import type { Colors } from '../../render/colors.ts';
import { formatTable, plural, printable } from '../../render/format.ts';
import { wrap } from '../../render/wrap.ts';
import { firstSentence, goalWords, spentText, trialCounts } from '../optimise/words.ts';
import { headlineOf } from './conclude.ts';
import type { GridScores } from './types.ts';
import { armScoreText, EARLIER, overText, shapeText, wasGiven, windowRows } from './words.ts';

const WIDTH = 100;
/** Lines of the table; `--json` and the page have all. */
const SHOWN = 60;
const FAILURES_SHOWN = 8;

/** What `grid --eval` and `grid --scores` print: both conclusions, a line an output, and what was spent. */
export function gridScoresText(document: GridScores, colors: Colors): string {
  const { artefact, recipes, notes, outputs, references, metric, goal, trials } = document;
  const [headline, rest] = firstSentence(artefact.text);
  const failed = [...outputs, ...references].filter(({ trial, score }) => trial !== null && score === null);
  const lines = [
    ...wrap(printable(headline), WIDTH).map(headlineOf(artefact).gainClaimed ? colors.bold : (line) => line),
    ...(rest === '' ? [] : wrap(`  ${printable(rest)}`, WIDTH, '  ')),
    ...wrap(printable(recipes.text), WIDTH, '  '),
    ...notes.flatMap((note) => wrap(printable(note), WIDTH, '  ')),
    '',
    `${plural(outputs.length, 'output')}, ${printable(metric ?? 'score')}, ${goalWords(goal)}; of gains + is better`,
    ...outputTable(document, colors),
    '',
    ...failed.slice(0, FAILURES_SHOWN).flatMap(({ name, reason }) => wrap(`no score for ${printable(`${name}: ${reason}`)}`, WIDTH, '  ')),
    ...(failed.length > FAILURES_SHOWN ? [`and for ${failed.length - FAILURES_SHOWN} more`] : []),
    `${plural(trials.length, 'evaluation')}: ${trialCounts(trials)}${wasGiven(document) ? '' : `; ${spentText(document)}`}`,
  ];
  return `${lines.join('\n')}\n`;
}

function outputTable(document: GridScores, colors: Colors): string[] {
  const rows = windowRows(document).flatMap(({ end, earlier, window, newest, mean, outputs }) =>
    [...outputs.values()].map((output, i) => [
      ...(i === 0 ? [`${end}${earlier ? ' (earlier)' : ''}`, window] : ['', '']),
      `${printable(shapeText(output))}${output.control ? ' (control)' : ''}${output.flags.length > 0 ? ' !' : ''}`,
      armScoreText(output),
      overText(output.overNewest),
      overText(output.overMean),
      i === 0 && newest !== undefined ? armScoreText(newest) : '',
      i === 0 && mean !== undefined ? armScoreText(mean) : '',
      output.name === document.artefact.best ? 'chosen' : '',
    ]),
  );
  const head = ['up to', 'window', 'shape', 'score', 'gain over newest', 'gain over mean', 'newest', 'plain mean', ''];
  const align = head.map((_, column) => (column >= 3 && column <= 7 ? 'right' : 'left'));
  const flags = [...new Set(document.outputs.flatMap((output) => output.flags))];
  return [
    ...formatTable([head, ...rows.slice(0, SHOWN)], align).map((line) => line.trimEnd()),
    ...(rows.length > SHOWN ? [colors.dim(`and ${rows.length - SHOWN} more: the page and --json have them`)] : []),
    ...(document.outputs.some(({ earlier }) => earlier) ? [EARLIER] : []),
    ...flags.map((flag) => colors.yellow(`! ${printable(flag)}`)),
  ];
}
