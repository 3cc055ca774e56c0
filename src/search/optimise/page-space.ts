import { groupBy } from '../../base/group-by.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Figure } from '../../render/html/figure.ts';
import { heatMap } from '../../render/html/heat-map.ts';
import { type ChartPoint, lineChart } from '../../render/html/line-chart.ts';
import { type ParallelAxis, parallelChart } from '../../render/html/parallel-chart.ts';
import { formatNumber } from '../../render/numbers.ts';
import type { PosteriorDrawing } from '../conclusion/types.ts';
import { hasEffect } from '../space/schedule-parameters.ts';
import type { SpaceParameter } from '../space/types.ts';
import type { Trial } from '../study/types.ts';
import { scoreText } from '../study/words.ts';
import { levelsOf, SERIES_COLOURS, scoredTrials, scoreFocus, scoreLabel, type TrialWithScore } from './page-figures.ts';
import type { SearchDocument } from './types.ts';
import { paramOf } from './words.ts';

/** Whole numbers up to as many as these are written at the axis one by one. */
const MOST_LEVELS = 12;

/**
 * What the search learned of its space: a curve of one parameter, a map of two, parallel coordinates where
 * there are more or no model.
 */
export function spaceFigures(document: SearchDocument): Figure[] {
  const { posterior, space } = document;
  const inside = scoredTrials(trialsOfModel(document)).filter(({ params }) => params !== null);
  if (inside.length === 0) return [];
  const figures: Figure[] = [];
  const [only] = space.parameters;
  if (posterior?.kind === 'curve') figures.push(curveChart(document, posterior.parameter, posterior.points, inside));
  else if (posterior?.kind === 'map') figures.push(...posteriorMaps(document, posterior, inside));
  else if (space.parameters.length === 1 && only!.kind !== 'choice') figures.push(curveChart(document, only!.name, [], inside));
  if (space.parameters.length > 2 || figures.length === 0) figures.push(parallelCoordinates(document, inside));
  return figures;
}

/** Of a chain those of the newest pair: λ = 1 of the pair before is another recipe. */
function trialsOfModel({ trials, chain, members }: SearchDocument): readonly Trial[] {
  const pair = chain?.at(-1);
  if (pair === undefined) return trials;
  const [older, newer] = [members[pair.older]?.path, members[pair.newer]?.path];
  return trials.filter(
    ({ weights }) => weights.every(({ path }) => path === older || path === newer) && weights.some(({ path }) => path === newer),
  );
}

type CurvePoints = (PosteriorDrawing & { kind: 'curve' })['points'];

function curveChart(document: SearchDocument, parameter: string, points: CurvePoints, inside: readonly TrialWithScore[]): Figure {
  const best = document.best?.trial;
  const bestValue = paramOf(inside.find(({ id }) => id === best)?.params, parameter);
  const curve = points.map(({ x, mean, low, high }): ChartPoint => ({ x, y: mean, band: [low, high] }));
  const [rest, chosen] = [false, true].map((wanted) =>
    meansByValue(inside, parameter, document.noise, (x) => (x === bestValue) === wanted),
  );
  const failed = trialsOfModel(document)
    .filter(({ score }) => score === null)
    .flatMap(({ params }) => numberOf(paramOf(params, parameter)) ?? []);
  const levels = levelsOf(document.baselines);
  const log = document.space.parameters.find(({ name }) => name === parameter)?.log;
  return lineChart({
    title: curve.length === 0 ? `Score by ${parameter}` : `What the model makes of ${parameter}`,
    note:
      curve.length === 0
        ? 'Repeats of a recipe as their mean.'
        : 'Mean of the Gaussian process and a 95 % band for the score without noise. Repeats of a recipe as their mean.',
    x: { label: parameter, ...(log === undefined ? {} : { log }) },
    y: {
      label: scoreLabel(document),
      focus: scoreFocus(
        [...inside.map(({ score }) => score), ...points.map(({ mean }) => mean), ...levels.map(({ y }) => y)],
        document.goal,
      ),
    },
    series: [
      ...(curve.length === 0 ? [] : [{ label: 'model', points: curve, draw: 'curve', colour: SERIES_COLOURS.model } as const]),
      ...(rest!.length === 0 ? [] : [{ label: 'trials', points: rest!, draw: 'points', colour: SERIES_COLOURS.others } as const]),
      ...(chosen!.length === 0
        ? []
        : [{ label: `best (trial ${best})`, points: chosen!, draw: 'points', colour: SERIES_COLOURS.best } as const]),
    ],
    levels,
    ...(failed.length === 0 ? {} : { absent: { label: 'failed or skipped', xs: failed } }),
  });
}

function meansByValue(
  inside: readonly TrialWithScore[],
  parameter: string,
  noise: SearchDocument['noise'],
  take: (x: number) => boolean,
): ChartPoint[] {
  const groups = groupBy(inside, ({ params }) => numberOf(paramOf(params, parameter)));
  return [...groups].flatMap(([x, trials]): ChartPoint[] => {
    if (x === null || !take(x)) return [];
    const [first] = trials;
    const error = noise === 'independent' && trials.length === 1 ? first!.stderr : null;
    return [{ x, y: trials.reduce((sum, { score }) => sum + score, 0) / trials.length, ...(error === null ? {} : { error }) }];
  });
}

function numberOf(value: number | string | undefined): number | null {
  return typeof value === 'number' ? value : null;
}

/** Mean and uncertainty of the model over two parameters, y upwards, with the trials on them. */
function posteriorMaps(document: SearchDocument, map: PosteriorDrawing & { kind: 'map' }, inside: readonly TrialWithScore[]): Figure[] {
  const parameter = (wanted: string): SpaceParameter | undefined => document.space.parameters.find(({ name }) => name === wanted);
  const points = inside.flatMap(({ id, params, score, stderr }) => {
    const column = placeOn(map.xValues, paramOf(params, map.x), parameter(map.x)?.log);
    const up = placeOn(map.yValues, paramOf(params, map.y), parameter(map.y)?.log);
    if (column === null || up === null) return [];
    const marked = id === document.best?.trial;
    return [
      { row: map.yValues.length - 1 - up, column, note: `trial ${id}${marked ? ' (best)' : ''}: ${scoreText(score, stderr)}`, marked },
    ];
  });
  const axis = (value: number | string): string => (typeof value === 'number' ? formatNumber(value, 3) : value);
  const shared = {
    rows: map.yValues.map(axis).reverse(),
    columns: map.xValues.map(axis),
    axes: { row: map.y, column: map.x },
    points,
  };
  const others = document.space.parameters.length > 2 ? ' Other parameters stand at the best trial.' : '';
  return [
    heatMap({
      ...shared,
      title: `What the model makes of ${map.x} and ${map.y}`,
      note: `Mean of the Gaussian process for ${scoreLabel(document)}; the better, the stronger the shade. Points are trials, the ring is the best.${others}`,
      strongest: strongestOf(document),
      values: [...map.mean].reverse(),
    }),
    heatMap({
      ...shared,
      title: 'How unsure the model is',
      note: 'Standard deviation of the score without noise: strong where little was tried.',
      values: [...map.std].reverse(),
    }),
  ];
}

/** Of losses the best are the lowest. */
function strongestOf({ goal }: SearchDocument): 'high' | 'low' {
  return directionOf(goal).sign > 0 ? 'high' : 'low';
}

/** Where a value lies among the values of an axis, in steps from the first; null outside. */
function placeOn(values: readonly (number | string)[], value: number | string | undefined, log = false): number | null {
  const exact = value === undefined ? -1 : values.indexOf(value);
  if (exact >= 0) return exact;
  if (typeof value !== 'number') return null;
  const scaled = (x: number): number => (log ? Math.log(x) : x);
  for (let i = 1; i < values.length; i++) {
    const [a, b] = [values[i - 1]!, values[i]!];
    if (typeof a !== 'number' || typeof b !== 'number' || value < a || value > b) continue;
    return i - 1 + (scaled(value) - scaled(a)) / (scaled(b) - scaled(a));
  }
  return null;
}

function parallelCoordinates(document: SearchDocument, inside: readonly TrialWithScore[]): Figure {
  return parallelChart({
    title: 'Every trial across all parameters',
    note: `A line a trial; the better its score, the stronger its shade. The best stands out.${document.space.parameters.some(({ log }) => log) ? ' Axes of wide ranges are logarithmic.' : ''}`,
    axes: document.space.parameters.map(parallelAxis),
    score: { label: document.metric ?? 'score', strongest: strongestOf(document) },
    of: 'trial',
    lines: inside.map(({ id, params, score }) => ({
      label: `trial ${id}`,
      values: document.space.parameters.map(({ name }) => (hasEffect(name, params!) ? (paramOf(params, name) ?? null) : null)),
      score,
      marked: id === document.best?.trial,
    })),
  });
}

function parallelAxis({ name, kind, low, high, log, values }: SpaceParameter): ParallelAxis {
  if (values !== undefined) return { label: name, levels: values };
  if (low === undefined || high === undefined) return { label: name };
  if (kind === 'integer' && !log && high - low < MOST_LEVELS)
    return { label: name, levels: Array.from({ length: high - low + 1 }, (_, i) => low + i) };
  return { label: name, low, high, ...(log === undefined ? {} : { log }) };
}
