import { directionOf } from '../../checkpoints/results/goal.ts';
import { formatStep } from '../../render/format.ts';
import { type BarColumn, barMatrix } from '../../render/html/bar-matrix.ts';
import type { Figure } from '../../render/html/figure.ts';
import { type ChartPoint, type Level, lineChart } from '../../render/html/line-chart.ts';
import { checkpointLabels } from '../../render/labels.ts';
import type { Baseline } from '../conclusion/types.ts';
import type { Params } from '../space/types.ts';
import type { Trial, TrialKind } from '../study/types.ts';
import { KIND_WORDS, paramsText } from '../study/words.ts';
import type { SearchDocument } from './types.ts';
import { BASELINE_WORDS, goalWords } from './words.ts';

/** A trial that has a score. */
export type TrialWithScore = Trial & { readonly score: number };

/**
 * Each baseline has a colour of its own, whichever of them there are; single checkpoints have that of the
 * best among them.
 */
const BASELINE_COLOURS: Record<Baseline['name'], number> = { newest: 2, uniform: 3, sma: 4, 'best single': 5 };
/** Of the palette: what a search tried or its model says, its best, and what it is compared with. */
export const SERIES_COLOURS = { model: 0, best: 1, others: 5 } as const;

const BASELINE_KINDS: readonly TrialKind[] = ['newest', 'uniform', 'sma', 'single'];

export function scoredTrials(trials: readonly Trial[]): TrialWithScore[] {
  return trials.filter((trial): trial is TrialWithScore => trial.score !== null && Number.isFinite(trial.score));
}

/** What an axis of scores is called. */
export function scoreLabel({ metric, goal }: Pick<SearchDocument, 'metric' | 'goal'>): string {
  return `${metric ?? 'score'}, ${goalWords(goal)}`;
}

/**
 * The scores within five times the median distance from the best, and the best: an axis of these shows how
 * the good ones differ.
 */
export function scoreFocus(scores: readonly number[], goal: SearchDocument['goal']): number[] {
  const best = directionOf(goal).best(scores);
  const distances = scores.map((score) => Math.abs(score - best)).sort((a, b) => a - b);
  const cut = 5 * (distances[Math.floor(distances.length / 2)] ?? 0);
  return cut === 0 ? [...scores] : scores.filter((score) => Math.abs(score - best) <= cut);
}

/**
 * Score by trial. Errors are drawn only where they are each trial's own.
 * @param isChain whether the trials are of several searches, of which each has a best
 */
export function progressChart(
  document: Pick<SearchDocument, 'trials' | 'noise' | 'goal' | 'metric' | 'kind' | 'baselines'> & { readonly isChain: boolean },
): Figure {
  const { trials, noise, goal, isChain: chained } = document;
  const scored = scoredTrials(trials);
  const point = ({ id, score, stderr }: TrialWithScore): ChartPoint => ({
    x: id,
    y: score,
    ...(noise === 'independent' && stderr !== null ? { error: stderr } : {}),
  });
  const [tried, baselines] = [false, true].map((wanted) => scored.filter(({ kind }) => BASELINE_KINDS.includes(kind) === wanted));
  const direction = directionOf(goal);
  let best = scored[0]?.score ?? 0;
  const soFar = scored.map(({ id, score }) => {
    best = direction.best([best, score]);
    return { x: id, y: best };
  });
  const failed = trials.filter(({ score }) => score === null).map(({ id }) => id);
  const levels = chained ? [] : levelsOf(document.baselines);
  return lineChart({
    title: 'Score against trial',
    note: chained
      ? 'Of all pairs, which are searched one after the other.'
      : 'The line of the best so far is of observed scores, which noise flatters; the conclusion does not rest on it.',
    x: { label: 'trial' },
    y: { label: scoreLabel(document), focus: scoreFocus([...scored.map(({ score }) => score), ...levels.map(({ y }) => y)], goal) },
    series: [
      ...(tried!.length === 0
        ? []
        : [
            {
              label: document.kind === 'soup' ? 'soups' : 'trials',
              points: tried!.map(point),
              draw: 'points',
              colour: SERIES_COLOURS.model,
            } as const,
          ]),
      ...(chained ? [] : [{ label: 'best so far', points: soFar, draw: 'steps', colour: SERIES_COLOURS.best } as const]),
      ...(baselines!.length === 0
        ? []
        : [
            {
              label: 'baselines and single checkpoints',
              points: baselines!.map(point),
              draw: 'points',
              colour: SERIES_COLOURS.others,
            } as const,
          ]),
    ],
    levels,
    ...(failed.length === 0 ? {} : { absent: { label: 'failed or skipped', xs: failed } }),
  });
}

/** A line a baseline; of two names for one recipe the first. */
export function levelsOf(baselines: readonly Baseline[]): Level[] {
  const known = baselines.filter((baseline, i) => baselines.findIndex(({ trial }) => trial === baseline.trial) === i);
  return known.flatMap(({ name, label, score }) => (score === null ? [] : [{ label, y: score, colour: BASELINE_COLOURS[name] }]));
}

/**
 * Who weighs how much in the best recipe and in those it is compared with. Null where nothing has weights.
 */
export function weightsFigure({ best, baselines, trials, members }: SearchDocument): Figure | null {
  const recipes: { trial: Trial | undefined; label: string; marked: boolean }[] = [];
  const add = (id: number, label: string): void => {
    const known = recipes.find(({ trial }) => trial?.id === id);
    if (known !== undefined) known.label += `, ${label}`;
    else recipes.push({ trial: trials.find((trial) => trial.id === id), label, marked: id === best?.trial });
  };
  if (best !== null) add(best.trial, 'best');
  for (const { trial, name } of baselines) add(trial, BASELINE_WORDS[name]);
  const columns = recipes.flatMap(({ trial, label, marked }) => (trial === undefined ? [] : weightColumns(trial, label, marked)));
  if (columns.length === 0) return null;
  const rows = new Map(
    [...members, ...recipes.flatMap(({ trial }) => trial?.weights ?? [])].map(({ path, step }) => [path, { path, step }]),
  );
  const ordered = [...rows.values()];
  if (!ordered.some(({ step }) => step === null) && areRising(members)) ordered.sort((a, b) => a.step! - b.step!);
  return barMatrix({
    title: 'Weights',
    note: 'Of each checkpoint in each recipe, all bars to one scale. An empty place takes no part.',
    of: 'checkpoint',
    rows: checkpointLabels(ordered),
    columns: columns.map(
      ({ weights, ...column }): BarColumn => ({ ...column, values: ordered.map(({ path }) => weights.get(path) ?? null) }),
    ),
  });
}

/** A column of the recipe, and one for each role that has weights of its own. */
function weightColumns({ weights, parts }: Trial, label: string, marked: boolean) {
  const byPath = (of: readonly number[]) => new Map(weights.map(({ path }, i) => [path, of[i] ?? 0]));
  return [
    { label, marked, weights: byPath(weights.map(({ weight }) => weight)) },
    ...parts.map((part) => ({ label: `${label}, ${part.role}`, marked, weights: byPath(part.weights) })),
  ];
}

/** Whether all steps are known and rise: where stages or epochs count anew they do not. */
function areRising(members: readonly { readonly step: number | null }[]): boolean {
  return members.every(({ step }, i) => step !== null && step > (members[i - 1]?.step ?? -1));
}

/** A chain's λ and its scores along the run. */
export function chainCharts(document: SearchDocument): Figure[] {
  const { chain, members } = document;
  if (chain === null || chain.length === 0) return [];
  const steps = chain.map(({ newer }) => members[newer]?.step ?? null);
  const known = areRising(chain.map(({ newer }) => members[newer] ?? { step: null }));
  const x = known ? { label: 'step of the newer checkpoint', format: formatStep } : { label: 'pair, oldest first' };
  const at = (pair: number): number => (known ? steps[pair]! : pair + 1);
  const lambda = chain.flatMap(({ best }, i): ChartPoint[] => {
    const y = firstNumber(best?.params ?? null);
    return y === null ? [] : [{ x: at(i), y }];
  });
  const merged = chain.flatMap(({ best }, i): ChartPoint[] => (best === null ? [] : [{ x: at(i), ...estimateOf(best) }]));
  const single = chain.flatMap(({ single: y }, i): ChartPoint[] => (y === null ? [] : [{ x: at(i), y }]));
  if (merged.length === 0) return [];
  return [
    lineChart({
      title: 'λ along the run',
      note: 'Weight of the newer checkpoint of each adjacent pair in its best merge; at 1 the newer one alone is best.',
      x,
      y: { label: 'λ' },
      series: [{ label: 'λ of the best merge', points: lambda }],
    }),
    lineChart({
      title: 'Scores along the run',
      note: "Of the best merge of each pair by the model, with the model's standard deviation, beside the newer checkpoint alone.",
      x,
      y: { label: scoreLabel(document) },
      series: [
        { label: 'best merge of the pair', points: merged, colour: SERIES_COLOURS.best },
        { label: 'newer checkpoint alone', points: single, colour: SERIES_COLOURS.others },
      ],
    }),
  ];
}

function estimateOf({ score, posterior }: NonNullable<SearchDocument['best']>): { y: number; error?: number } {
  return posterior === null ? { y: score } : { y: posterior.mean, error: posterior.std };
}

/** A pair has one parameter. */
function firstNumber(params: Params | null): number | null {
  return Object.values(params ?? {}).find((value) => typeof value === 'number') ?? null;
}

/** `trial 7 (window 6, method ema)`, or what a baseline is. */
export function trialName({ id, kind, params }: Trial): string {
  const text = params === null ? KIND_WORDS[kind] : paramsText(params);
  return `trial ${id} (${text})`;
}
