import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Axis, Point } from '../gaussian-process/cube.ts';
import { normalCdf } from '../gaussian-process/normal.ts';
import { medianOf } from '../gaussian-process/warp.ts';
import { armBeliefs, type NormalPart } from './arm-beliefs.ts';
import { itemNoise } from './arm-noise.ts';
import { chosenInterval } from './chosen-interval.ts';
import { pairedItems, type Scored } from './difference.ts';
import { artefactText, unjudgedText, withoutScoresText } from './grid-text.ts';
import { validationText } from './text.ts';
import type { Validation } from './types.ts';
import { validate } from './validate.ts';

/** An output of a grid, as it scored. */
export interface Arm {
  readonly name: string;
  /** What sentences call it; its name when absent. */
  readonly label?: string | undefined;
  /** Its place along the axes of the grid. */
  readonly point: Point;
  /** Of reversed or scrambled weights: shown, and never chosen. */
  readonly control: boolean;
  /** Null where it has none. */
  readonly score: Scored | null;
}

/** What the arms are measured against: the newest checkpoint, the plain mean. */
export interface ArmReference {
  readonly name: string;
  /** For people: `newest (step 6000)`. */
  readonly label: string;
  readonly score: Scored | null;
}

export interface ArtefactInput {
  readonly goal: Goal;
  readonly axes: readonly Axis[];
  readonly arms: readonly Arm[];
  readonly references: readonly ArmReference[];
  /** A second set, on which the chosen arm and the references were scored: by name. */
  readonly validation?: { readonly command: string; readonly scores: ReadonlyMap<string, Scored | null> } | undefined;
}

/** An arm beside the reference that the conclusion is measured against; gains are positive where better. */
export interface ArmRow {
  readonly name: string;
  readonly control: boolean;
  /** As the evaluator gave it; null where there is none. */
  readonly score: number | null;
  /** As observed. */
  readonly observed: number | null;
  /** Expected true gain and its standard deviation; null where it is not part of the model. */
  readonly gain: number | null;
  readonly std: number | null;
  /** So far below the others that the model leaves it out. */
  readonly farBelow: boolean;
}

/** Whether the best output of a grid is better than its references. */
export interface ArtefactConclusion {
  /** A gain over every reference, of the 95 % intervals that hold whatever was chosen, and by which rule. */
  readonly gainClaimed: boolean;
  /** In sentences. */
  readonly text: string;
  /** The arm of the highest expected true score; null where none has a score. */
  readonly chosen: string | null;
  /** Name of the better reference. */
  readonly against: string | null;
  /** The headline: of the second set where there is one, else shrunken; never the best observed. */
  readonly gain: number | null;
  readonly std: number | null;
  /** 95 % interval of the true gain, which covers that the arm was chosen by these scores. */
  readonly interval: readonly [number, number] | null;
  /** That the true gain over the better reference is positive, by the model of the arms. */
  readonly probability: number | null;
  readonly basis: 'validation' | 'shrunken' | null;
  /** As observed over the better reference: partly luck. */
  readonly observed: number | null;
  /** Arms among which it was chosen. */
  readonly candidates: number;
  /** Items by which arms are compared; null where they are unpaired. */
  readonly items: number | null;
  readonly rows: readonly ArmRow[];
  readonly validation: Validation | null;
}

/** Share of a 95 % interval. */
const LEVEL = 0.95;
/**
 * How far below the middle an arm is left out of the model, in what the better half spreads and errs: broken
 * ones would make large gains of the others look likely. Ours.
 */
const FAR = 6;

/**
 * Is this artefact better? The arm of the highest expected true score among those that are no control, and
 * what its scores by item say of its gain over the better reference: the model is at {@link armBeliefs}, the
 * interval, which holds whether or not that model does, at {@link chosenInterval}. A gain is claimed where the
 * intervals over all references lie above 0: in at most 2.5 of 100 grids without any gain.
 *
 * Where scores have standard errors and no items, they are taken for independent; without either nothing is
 * judged. Same input, same answer.
 */
export function concludeArtefact(input: ArtefactInput): ArtefactConclusion {
  const { goal, arms } = input;
  const { sign } = directionOf(goal);
  const references = input.references.filter((reference): reference is Placed<ArmReference> => reference.score !== null);
  const scored = arms.filter((arm): arm is Placed<Arm> => arm.score !== null);
  const possible = scored.filter((arm) => !arm.control && !references.some(({ score }) => sameScores(arm.score, score)));
  const rowsOf = (against: Scored | null, more: (name: string) => Partial<ArmRow> = () => ({})): ArmRow[] =>
    arms.map(({ name, control, score }) => ({
      ...{ name, control, score: score?.score ?? null, gain: null, std: null, farBelow: false },
      observed: score === null || against === null ? null : sign * (score.score - against.score),
      ...more(name),
    }));
  const base = references[0];
  if (base === undefined || possible.length === 0) {
    const best = possible.toSorted((a, b) => sign * (b.score.score - a.score.score))[0];
    return { ...UNJUDGED, chosen: best?.name ?? null, text: withoutScoresText(possible.length, references.length), rows: rowsOf(null) };
  }
  const first = noiseOf([...possible, ...references.slice(1)], base.score, sign);
  if (first === null) {
    const best = possible.reduce((a, b) => (sign * (b.score.score - a.score.score) > 0 ? b : a));
    const against = references.reduce((a, b) => (sign * (b.score.score - a.score.score) > 0 ? b : a));
    const observed = sign * (best.score.score - against.score.score);
    const text = unjudgedText(best.label ?? best.name, against.label, observed);
    return {
      ...UNJUDGED,
      chosen: best.name,
      against: against.name,
      observed,
      candidates: possible.length,
      text,
      rows: rowsOf(against.score),
    };
  }
  const far = farBelow(first, possible.length).map((i) => possible[i]!);
  const candidates = possible.filter((arm) => !far.includes(arm));
  const { values: x, covariance, items } = far.length === 0 ? first : noiseOf([...candidates, ...references.slice(1)], base.score, sign)!;
  const size = x.length;
  const beliefs = armBeliefs(
    covariance,
    candidates.map(({ point }) => point),
    input.axes,
  );
  const expected = beliefs.along(x, new Float64Array(size))(0);
  const chosen = bestOf(expected, candidates.length);
  const level = [0, ...expected.subarray(candidates.length)];
  const against = level.indexOf(Math.max(...level));
  /** Of an arm less a reference, both as indices. */
  const targetOf = (arm: number, reference: number) =>
    Float64Array.from({ length: size }, (_, i) => Number(i === arm) - Number(reference > 0 && i === candidates.length + reference - 1));
  const mixture = beliefs.mixture(x);
  const intervals = references.map((_, r) => {
    const target = targetOf(chosen, r);
    const spread = Float64Array.from(x, (_, i) =>
      covariance.subarray(i * size, (i + 1) * size).reduce((sum, c, j) => sum + c * target[j]!, 0),
    );
    const variance = spread.reduce((sum, c, i) => sum + c * target[i]!, 0);
    const value = x.reduce((sum, v, i) => sum + v * target[i]!, 0);
    const direction = spread.map((c) => c / variance);
    const line = beliefs.along(
      x.map((v, i) => v - direction[i]! * value),
      direction,
    );
    const chosenAt = (t: number) => bestOf(line(t), candidates.length) === chosen;
    const held = chosenInterval({ value, error: Math.sqrt(variance), of: candidates.length, chosenAt }, LEVEL);
    // Of two that score nearly alike nothing is known given that the one was chosen by a hair: both ends of that
    // interval are then at its lower limit, far below the estimate. What is wider holds no less often.
    return [held[0], Math.max(held[1], summary(mixture(target)).mean)] as const;
  });
  const believed = (arm: number) => summary(mixture(targetOf(arm, against)));
  const best = believed(chosen);
  const interval = intervals[against]!;
  const found = {
    ...{ chosen: candidates[chosen]!.name, against: references[against]!.name, interval, probability: best.probability, std: best.std },
    // Where few answers differ the model pulls too far to the others.
    gain: Math.max(best.mean, interval[0]),
    observed: sign * (candidates[chosen]!.score.score - references[against]!.score.score),
    ...{ candidates: candidates.length, items, gainClaimed: intervals.every(([low]) => low > 0) },
  };
  const rows = rowsOf(references[against]!.score, (name) => {
    const index = candidates.findIndex((arm) => arm.name === name);
    if (index < 0) return { farBelow: far.some((arm) => arm.name === name) };
    const { mean, std } = believed(index);
    return { gain: index === chosen ? found.gain : mean, std };
  });
  const text = artefactText({
    ...found,
    chosen: candidates[chosen]!.label ?? candidates[chosen]!.name,
    labels: references.map(({ label }) => label),
    label: references[against]!.label,
    farBelow: far.map(({ name }) => name),
  });
  const judged: ArtefactConclusion = { ...found, text, basis: 'shrunken', rows, validation: null };
  return validated(input, judged, references);
}

type Placed<T extends { readonly score: Scored | null }> = T & { readonly score: Scored };

const UNJUDGED: ArtefactConclusion = {
  ...{ gainClaimed: false, text: '', chosen: null, against: null, gain: null, std: null, interval: null, probability: null },
  ...{ basis: null, observed: null, candidates: 0, items: null, rows: [], validation: null },
};

/** The headline of the second set, where the chosen arm and a reference were scored on it. */
function validated(input: ArtefactInput, judged: ArtefactConclusion, references: readonly Placed<ArmReference>[]): ArtefactConclusion {
  const { validation, goal } = input;
  if (validation === undefined) return judged;
  const arm = input.arms.find(({ name }) => name === judged.chosen)!;
  const all = [{ name: arm.name, score: arm.score! }, ...references];
  const rows = all.map(({ name }, trial) => ({ trial, score: validation.scores.get(name) ?? null }));
  const [best, ...others] = all.map(({ score }, id) => ({ ...score, ids: [id] }));
  const result = validate({ command: validation.command, rows }, best!, others, goal, { measured: null, learned: null });
  if (result === null)
    return { ...judged, text: `${judged.text} The second set says nothing of it: ${arm.name} or every reference has no score there.` };
  const { interval, probability } = result;
  const claimed = interval !== null && interval[0] > 0;
  const search = { gain: judged.gain!, claimed: judged.gainClaimed };
  return {
    ...judged,
    ...{ gainClaimed: claimed, interval, probability, basis: 'validation', against: references[result.against]!.name },
    text: validationText(arm.label ?? arm.name, claimed, result, `the ${references[result.against]!.label}`, search),
    gain: result.validation.onValidation.gain,
    std: result.validation.onValidation.error,
    validation: result.validation,
  };
}

/** Index of the highest of the first few. */
function bestOf(expected: Float64Array, arms: number): number {
  let best = 0;
  for (let i = 1; i < arms; i++) if (expected[i]! > expected[best]!) best = i;
  return best;
}

interface ArmNoise {
  /** Observed differences from the first reference, larger is better. */
  readonly values: Float64Array;
  readonly covariance: Float64Array;
  readonly items: number | null;
}

/**
 * Differences and how they err together, by item where all have the same items; null where nothing tells it, or some are
 * as far apart as no number can say.
 */
function noiseOf(scored: readonly Placed<Arm | ArmReference>[], base: Scored, sign: number): ArmNoise | null {
  const values = Float64Array.from(scored, ({ score }) => sign * (score.score - base.score));
  if (!values.every(Number.isFinite)) return null;
  const scores = scored.map(({ score }) => score);
  const paired = itemNoise(base, scores);
  if (paired !== null) return { values, ...paired };
  const errors = [base, ...scores].map(({ stderr }) => stderr);
  const most = Math.max(...errors.map((error) => error ?? 0));
  if (errors.includes(null) || most === 0) return null;
  const [own, ...others] = errors.map((error) => (error || most) ** 2);
  const covariance = new Float64Array(others.length ** 2).fill(own!);
  others.forEach((variance, i) => {
    covariance[i * (others.length + 1)] = own! + variance;
  });
  return covariance.every(Number.isFinite) ? { values, covariance, items: null } : null;
}

function farBelow({ values, covariance }: ArmNoise, arms: number): number[] {
  const own = [...values.subarray(0, arms)];
  const middle = medianOf(own);
  const better = own.filter((value) => value >= middle);
  const spread = better.reduce((sum, value) => sum + (value - middle) ** 2 / better.length, 0);
  const error = medianOf(own.map((_, i) => covariance[i * (values.length + 1)]!));
  return own.flatMap((value, i) => (value < middle - FAR * Math.sqrt(spread + error) ? [i] : []));
}

/** Whether two models answer every item alike: they are one, or as good as one. */
function sameScores(a: Scored, b: Scored): boolean {
  const lists = pairedItems(a, b);
  return lists?.every((list) => list.every((value) => value === 0)) ?? false;
}

function summary(parts: readonly NormalPart[]): { mean: number; std: number; probability: number } {
  const mean = parts.reduce((sum, part) => sum + part.weight * part.mean, 0);
  const variance = parts.reduce((sum, part) => sum + part.weight * (part.std ** 2 + (part.mean - mean) ** 2), 0);
  const above = ({ mean: at, std }: (typeof parts)[number]) => (std > 0 ? normalCdf(at / std) : Number(at > 0));
  return { mean, std: Math.sqrt(variance), probability: parts.reduce((sum, part) => sum + part.weight * above(part), 0) };
}
