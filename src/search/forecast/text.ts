import type { Colors } from '../../render/colors.ts';
import { formatTable, plural, printable } from '../../render/format.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { wrap } from '../../render/wrap.ts';
import { goalWords, spentText, trialCounts } from '../optimise/words.ts';
import { lossAloneText, scoreText } from '../study/words.ts';
import type { ForecastDocument } from './types.ts';
import { decayedText, estimateText, forecastHeadline, outlierText, recoveredText, windowGainText } from './words.ts';

const WIDTH = 100;

/** What `forecast` prints: the last window in a sentence, a line a window, and what was spent. */
export function forecastText(document: ForecastDocument, colors: Colors): string {
  const { points, trials, window, method, recovered, metric } = document;
  const scored = points.some(({ single, merged }) => single !== null || merged !== null);
  const failed = trials.flatMap(({ reason, weights }) => (reason === null ? [] : `${weights.at(-1)?.path ?? ''}: ${reason}`));
  const lossAlone = lossAloneText(document);
  const outlier = outlierText(document);
  const lines = [
    ...wrap(printable(forecastHeadline(document)), WIDTH).map(scored ? colors.bold : colors.red),
    ...(outlier === null ? [] : wrap(`  ${printable(outlier)}`, WIDTH, '  ')),
    ...wrap(`  ${estimateText(document.goal)}`, WIDTH, '  '),
    ...(lossAlone === null ? [] : wrap(`  ${lossAlone}`, WIDTH, '  ')),
    '',
    `${plural(points.length, 'window')} of ${plural(window, 'checkpoint')}, ${printable(method)}; ${printable(metric ?? 'score')}, ${goalWords(document.goal)}`,
    ...pointTable(document),
    '',
    ...(recovered === null
      ? []
      : wrap(`merging recovered ${recoveredText(document)}${recovered.spread === null ? ': no band from one' : ''}`, WIDTH, '  ')),
    ...failed.flatMap((text) => wrap(`no score for ${printable(text)}`, WIDTH, '  ')),
    `${plural(trials.length, 'evaluation')}: ${trialCounts(trials)}; ${spentText(document)}`,
  ];
  return `${lines.join('\n')}\n`;
}

function pointTable({ points }: ForecastDocument): string[] {
  const labels = checkpointLabels(points).map(printable);
  const decayed = points.some((point) => point.decayed !== null);
  const rows = points.map((point, i) => [
    labels[i]!,
    scoreText(point.single, point.singleStderr),
    scoreText(point.merged, point.mergedStderr),
    windowGainText(point),
    ...(decayed ? [decayedText(point)] : []),
  ]);
  const head = ['up to', 'alone', 'merged', 'gain', ...(decayed ? ['decayed, by the calibration'] : [])];
  const align = head.map((_, column) => (column === 0 ? 'left' : 'right'));
  return formatTable([head, ...rows], align);
}
