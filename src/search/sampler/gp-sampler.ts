import { groupBy } from '../../base/group-by.ts';
import { randomOf } from '../../base/numbers/random.ts';
import { acquisitionOf, incumbent, XI } from '../gaussian-process/acquisition.ts';
import type { Axis, Point } from '../gaussian-process/cube.ts';
import { fitProcess } from '../gaussian-process/fit.ts';
import { maximise } from '../gaussian-process/maximise.ts';
import type { AcquisitionName, KernelName } from '../gaussian-process/names.ts';
import type { Process } from '../gaussian-process/process.ts';
import { sobolPoints } from '../gaussian-process/sobol.ts';
import { warpBetter, warpWorse } from '../gaussian-process/warp.ts';
import { cells, freshPoints } from './fresh.ts';
import type { Acquisition } from './names.ts';
import { sobolSequence } from './sequence.ts';
import type { History, Observed, Proposal, Sampler } from './types.ts';

export interface GpSamplerOptions {
  readonly axes: readonly Axis[];
  /** Tried first, in order. */
  readonly initial: readonly Point[];
  readonly seed: number;
  /** Without it `hedge` for one axis, `logei` for more. */
  readonly acquisition?: Acquisition | undefined;
  readonly kernel?: KernelName | undefined;
}

/** Streams of the seed. */
const FIT = 1;
const MAXIMISE = 2;
const DRAW = 3;
const LOOK = 4;

/**
 * Bayesian optimisation: the initial points, on a line more in the gaps between them, then where an
 * acquisition function of a Gaussian process is largest. ξ is asked of EI and PI, and not of logEI. Scores
 * that are still to come are believed to be the model's mean (Kriging believer: Ginsbourger, Le Riche and
 * Carraro 2010). Failed trials stay out of the model, and their neighbourhood is kept away from (see {@link
 * avoiding}); scores far from the others are bounded (see `warpWorse`, `warpBetter`). Where the model knows
 * no differences, trials fill the space: an acquisition function would try its ends again and again.
 */
export function gpSampler({ axes, initial, seed, acquisition = axes.length === 1 ? 'hedge' : 'logei', kernel }: GpSamplerOptions): Sampler {
  const enough = Math.max(initial.length, firstTrials(axes.length));
  const missing = (history: History): number => enough - byPoint(scored(history)).size - history.pending.length;
  return {
    async propose(history, count) {
      const found = (await freshPoints(initial, history, count)).map((point): Proposal => ({ point, by: 'initial' }));
      const modelled = scored(history).length > 0;
      const room = () => count - found.length;
      const filling = Math.min(room(), modelled ? missing(history) - found.length : count);
      for (const point of await fillGaps(axes, seed, history, filling, pointsOf(found))) found.push({ point, by: 'sobol' });
      if (room() > 0 && modelled) found.push(...(await propositions(history, room(), pointsOf(found))));
      for (const point of await freshPoints(cells(axes), history, room(), pointsOf(found))) found.push({ point, by: 'sobol' });
      return found;
    },
    ahead: (history) => Math.max(0, missing(history)),
  };

  /** What the acquisition function wants, one after the other, each believed before the next. */
  async function propositions(history: History, count: number, before: readonly Point[]): Promise<Proposal[]> {
    const seen = scored(history);
    const better = warpBetter(seen.map(({ value }) => value));
    const { values, slopes: worse } = warpWorse(better.values);
    const slopes = worse.map((slope, i) => slope * better.slopes[i]!);
    const trials = seen.map((trial, i) => ({ ...trial, value: values[i]! }));
    const observations = {
      points: trials.map(({ point }) => point),
      values,
      variances: trials.map(({ variance }, i) => (variance === null ? null : variance * slopes[i]! ** 2)),
    };
    const fitted = fitProcess(observations, axes, { seed: drawn(seed, FIT), ...(kernel === undefined ? {} : { kernel }) });
    if (byPoint(trials).size >= enoughForFlat(axes.length) && isFlat(fitted, seed)) {
      return (await fillGaps(axes, seed, history, count, before)).map((point): Proposal => ({ point, by: 'sobol' }));
    }
    const failed = history.observed.filter(({ value }) => value === null).map(({ point }) => point);
    const worst = Math.min(...observations.values);
    // The best score seen is to be improved on, and not the model's best mean: a model that takes a peak for
    // noise would go on doing so.
    const best = Math.max(
      ...[...byPoint(trials).values()].map((repeats) => repeats.reduce((sum, { value }) => sum + value / repeats.length, 0)),
    );
    const probabilities = hedgeProbabilities(fitted, history.observed);
    const found: Proposal[] = [];
    for (let i = 0; i < count; i++) {
      const busy = [...history.pending, ...before, ...pointsOf(found)];
      const process = busy.length > 0 ? fitted.condition(busy) : fitted;
      const round = history.proposed + before.length + i;
      const largest = async (name: AcquisitionName): Promise<Point | undefined> => {
        const score = acquisitionOf(avoiding(process, failed, worst), name, best, { xi: name === 'logei' ? 0 : XI });
        const ranked = maximise(score, axes, { seed: drawn(seed, MAXIMISE, round), include: [incumbent(process).point] });
        return (await freshPoints(pointsOf(ranked), history, 1, busy))[0];
      };
      const next =
        acquisition === 'hedge' ? await hedged(largest, probabilities, randomOf(seed, DRAW, round)()) : await single(largest, acquisition);
      if (next === null) break;
      found.push(next);
    }
    return found;
  }
}

/**
 * Range of the model's means, in standard deviations of a score's noise, up to which nothing is known to be
 * better than anything else. Ours: of twelve scores of a flat function it is below in half of all searches,
 * of one with differences of four standard deviations in none, unless they are all in a peak that was missed.
 */
const FLAT = 2;
/** Different points of which on a model can tell noise from differences, so that it may see none. Ours. */
const enoughForFlat = (dimensions: number): number => 4 + 4 * dimensions;
/** Points beside those tried at which a model is looked at for differences. */
const LOOKS = 64;

function isFlat(process: Process, seed: number): boolean {
  const at = [...process.points, ...sobolPoints(process.axes.length, LOOKS, drawn(seed, LOOK))];
  const { mean } = process.predict(at);
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of mean) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return high - low <= FLAT * Math.sqrt(process.hyper.noise) * process.standard.scale;
}

type Largest = (name: AcquisitionName) => Promise<Point | undefined>;

async function single(largest: Largest, name: AcquisitionName): Promise<Proposal | null> {
  const point = await largest(name);
  return point === undefined ? null : { point, by: name };
}

/** Each function's point, and the point of the one that `draw`, in [0, 1), falls to. */
async function hedged(largest: Largest, probabilities: readonly number[], draw: number): Promise<Proposal | null> {
  const proposals: Record<string, Point> = {};
  for (const name of HEDGED) {
    const point = await largest(name);
    if (point === undefined) return null;
    proposals[name] = point;
  }
  const upTo = probabilities.map((_, j) => probabilities.slice(0, j + 1).reduce((sum, p) => sum + p, 0));
  // Rounding may leave the last sum below 1, and the draw above it.
  const by = HEDGED.find((_, j) => draw < upTo[j]!) ?? HEDGED[HEDGED.length - 1]!;
  return { point: proposals[by]!, by, proposals };
}

/**
 * Trials before the first model. Ours, by the regret of bench/peers: on a line, fewer left searches on the
 * nearer of two humps; in more dimensions there are too few trials to fill anything with, and the model does
 * better from the initial points on.
 */
function firstTrials(dimensions: number): number {
  return dimensions === 1 ? 7 : 1;
}

const pointsOf = (found: readonly { readonly point: Point }[]): Point[] => found.map(({ point }) => point);

function scored({ observed }: History) {
  return observed.flatMap((trial) => (trial.value === null ? [] : [{ ...trial, value: trial.value }]));
}

const byPoint = (trials: ReturnType<typeof scored>) => groupBy(trials, ({ point }) => String(point));

/** A seed of its own for a purpose. */
function drawn(seed: number, ...stream: readonly number[]): number {
  return Math.floor(randomOf(seed, ...stream)() * 2 ** 32);
}

/**
 * How far the neighbourhood of a failed trial reaches on each axis, in standard deviations of a bell: a tenth
 * of the cube. Ours.
 */
const NEIGHBOURHOOD = 0.1;

/**
 * A process whose prediction goes over to the worst score seen, without doubt, towards points that failed:
 * there is nothing to be gained there. What caused a failure need not be a matter of the score, so the model
 * itself hears nothing of it.
 */
export function avoiding(process: Process, failed: readonly Point[], worst: number): Process {
  if (failed.length === 0) return process;
  const width = NEIGHBOURHOOD * Math.sqrt(process.axes.length);
  const nearness = (point: Point): number =>
    Math.max(...failed.map((other) => Math.exp(-0.5 * point.reduce((sum, x, d) => sum + ((x - other[d]!) / width) ** 2, 0))));
  return {
    ...process,
    predict: (points) => {
      const { mean, std } = process.predict(points);
      const near = points.map(nearness);
      return { mean: mean.map((m, i) => m + near[i]! * (worst - m)), std: std.map((s, i) => s * (1 - near[i]!)) };
    },
  };
}

/** Acquisition functions that GP-Hedge chooses among. */
export const HEDGED = ['ei', 'pi', 'ucb'] as const satisfies readonly AcquisitionName[];

/** Learning rate, for gains in standardised units. Ours, as in scikit-optimize. */
const ETA = 1;

/**
 * Probabilities of GP-Hedge (Hoffman, Brochu and de Freitas, UAI 2011, algorithm 1): p_j ∝ exp(η (g_j − max
 * g)). The gain g_j of an acquisition function is the sum of the model's means at all that it proposed. It is
 * summed anew each time, under the present model in its standardised units: a sum of means of ever other
 * models has no unit.
 *
 * @returns one an acquisition function, in the order of {@link HEDGED}; all alike where nothing was proposed
 *   so
 */
export function hedgeProbabilities(process: Process, observed: readonly Observed[]): number[] {
  const rounds = observed.flatMap(({ proposals }) => (proposals !== null && HEDGED.every((name) => proposals[name]) ? [proposals] : []));
  const { mean, scale } = process.standard;
  const gains = HEDGED.map((name) => {
    const points = rounds.map((proposals) => proposals[name]!);
    return process.predict(points).mean.reduce((sum, value) => sum + (value - mean) / scale, 0);
  });
  const most = Math.max(...gains);
  const shares = gains.map((gain) => Math.exp(ETA * (gain - most)));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}

/**
 * Sobol points of which one is chosen each time: enough to find every wide gap, too few to always find its
 * very middle or a corner. Ours.
 */
const CHOICE = 16;

/**
 * Points that fill what other points leave: of 16 elements of a scrambled Sobol sequence always the one
 * farthest from all tried, pending and found before. Beside points that were chosen by hand the sequence
 * alone leaves gaps wide enough for a narrow peak.
 */
async function fillGaps(axes: readonly Axis[], seed: number, history: History, count: number, before: readonly Point[]): Promise<Point[]> {
  const found: Point[] = [];
  while (found.length < count) {
    const known = [...history.observed.map(({ point }) => point), ...history.pending, ...before, ...found];
    const first = CHOICE * (history.proposed + before.length + found.length);
    const choice = sobolSequence(axes, seed, first, CHOICE).map((point) => ({ point, apart: nearest(point, known) }));
    const farthest = choice.sort((a, b) => b.apart - a.apart).map(({ point }) => point);
    const fresh = await freshPoints(farthest, history, 1, [...before, ...found]);
    if (fresh.length === 0) break;
    found.push(...fresh);
  }
  return found;
}

/** Squared distance to the nearest of them. */
function nearest(point: Point, others: readonly Point[]): number {
  return Math.min(...others.map((other) => point.reduce((sum, x, d) => sum + (x - other[d]!) ** 2, 0)));
}
