import type { Conflict, Warning } from '../../base/errors.ts';
import { median } from '../../base/numbers/median.ts';
import { worded } from '../../base/option-words.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { MergedMember } from '../../merge/plan/types.ts';
import type { LayerChoice } from '../../model/routing/types.ts';
import { plural } from '../../render/format.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { formatEstimate, formatNumber } from '../../render/numbers.ts';
import { scoreText } from '../../search/study/words.ts';
import { identityFindings, layerName, type PlacedPair, placedPairs } from './places.ts';
import type { Evaluation, LayerReport, RouterReport, ScoreDifference, Verdict } from './types.ts';

/** A difference counts where it is so many of its standard errors. */
const CLEAR = 2;
/** The averaged router concentrates load where its busiest expert has so many times what any member's has. */
const CONCENTRATED = 1.5;

export type Findings = Pick<RouterReport, 'family' | 'members' | 'routing' | 'layers' | 'sample' | 'inputs' | 'evaluation'>;

/**
 * What the numbers of a report come to, in sentences, and what they do not tell.
 * @param broken what was found of NaN and infinity in routers
 * @param swapped layers that lie in each other's places
 */
export function verdictOf(report: Findings, broken: readonly Warning[], swapped: readonly Conflict[] = []): Verdict {
  const { layers, members, inputs, evaluation } = report;
  const permuted = placedPairs(layers, members, 'permuted');
  const oneSided = placedPairs(layers, members, 'one-sided');
  const unrelated = placedPairs(layers, members, 'unrelated');
  const load = loadProblems(layers);
  const findings = [
    ...swapped.map(({ message }) => `${message[0]!.toUpperCase()}${message.slice(1)}.`),
    ...broken.map(({ message }) => `${message}.`),
    ...identityFindings(report, permuted, oneSided, unrelated),
    driftFinding(layers),
    ...(inputs === null ? [] : choiceFindings(layers, inputs.kind)),
    ...load,
    ...(evaluation === null ? [] : scoreFindings(evaluation)),
  ];
  const verdict = { findings, notTested: untested(report, permuted.length + swapped.length > 0) };
  const inLayers = (pairs: readonly PlacedPair[]) =>
    `${new Set(pairs.map((pair) => pair.layer)).size} of ${plural(layers.length, 'MoE layer')}`;
  if (permuted.length > 0)
    return { kind: 'refuse', headline: `Do not average these checkpoints: experts changed places in ${inLayers(permuted)}.`, ...verdict };
  const byWeights = oneSided.filter(({ by }) => by === 'weights');
  if (byWeights.length > 0) {
    const headline = `Do not average these checkpoints: weights of experts changed places in ${inLayers(byWeights)}, and router rows did not.`;
    return { kind: 'refuse', headline, ...verdict };
  }
  if (swapped.length > 0) return { kind: 'refuse', headline: 'Do not average these checkpoints: layers changed places.', ...verdict };
  if (broken.length > 0)
    return { kind: 'look', headline: 'Look before averaging: routers hold NaN or infinity, and so would their average.', ...verdict };
  if (oneSided.length > 0) {
    const headline = `Look before averaging: in ${inLayers(oneSided)} router rows and expert weights do not tell the same story.`;
    return { kind: 'look', headline, ...verdict };
  }
  if (unrelated.length > 0) {
    const headline = `Look before averaging: in ${inLayers(unrelated)} experts have nothing in common from checkpoint to checkpoint.`;
    return { kind: 'look', headline, ...verdict };
  }
  if (evaluation !== null) {
    const better = best(evaluation);
    if (better !== null) {
      const headline = `The ${better.router} routers score better on the averaged weights than averaged ones, by ${differenceText(better)}.`;
      return { kind: 'look', headline, ...verdict };
    }
    return { kind: 'measured', headline: scoredHeadline(evaluation), ...verdict };
  }
  if (load.length > 0)
    return { kind: 'look', headline: 'Look before averaging: the averaged routers spread tokens less evenly.', ...verdict };
  if (inputs?.kind === 'hidden-states') {
    const headline = `Experts kept their places, and on ${plural(inputs.tokens, 'hidden state')} a layer the averaged routers spread tokens as members do; no score was measured.`;
    return { kind: 'measured', headline, ...verdict };
  }
  const headline = 'Experts kept their places in every layer; what averaged routers do to the model was not measured.';
  return { kind: 'no-objection', headline, ...verdict };
}

function driftFinding(layers: readonly LayerReport[]): string {
  const neighbours = median(layers.flatMap(({ drift }) => drift.flatMap(({ relative }) => relative ?? [])));
  const overall = median(layers.flatMap(({ overall }) => overall?.relative ?? []));
  if (Number.isNaN(neighbours))
    return 'Routers moved from nothing: in the older of every two neighbours they are zero, so there is no length to measure it by.';
  const least = layers.reduce((a, b) => (b.midpoint.least < a.midpoint.least ? b : a));
  const ends = Number.isNaN(overall) ? '' : `, ${percent(overall)} from the oldest to the newest`;
  return (
    `Routers moved by ${percent(neighbours)} of their length between neighbours${ends} (medians over layers); averaging shortens the ` +
    `${least.midpoint.expert === null ? 'router' : `row of expert ${least.midpoint.expert}`} in ${layerName(least)} most, to ${percent(least.midpoint.least)}.`
  );
}

function choiceFindings(layers: readonly LayerReport[], kind: 'hidden-states' | 'synthetic'): string[] {
  const tested = layers.filter((layer): layer is LayerReport & { choice: LayerChoice } => layer.choice !== null);
  if (tested.length === 0) return [];
  const overlaps = tested.map(({ choice }) => mean(choice.members.map(({ overlap }) => overlap.mean)));
  const range = tested.length === 1 ? '' : `, ${percent(Math.min(...overlaps))} to ${percent(Math.max(...overlaps))} by layer`;
  const inputs = kind === 'synthetic' ? 'synthetic inputs' : 'hidden states of the model';
  const found = `On ${inputs} the averaged routers choose ${percent(mean(overlaps))} of the experts that the members choose${range}`;
  if (kind === 'synthetic') return [`${found}: that says how alike the routers are, and nothing of the model.`];
  const loads = tested.map(({ choice: { load, members } }) => [load!.maxOverMean, mean(members.map((m) => m.load!.maxOverMean))] as const);
  return [
    `${found}. By itself that is neither good nor bad: 80 to 90 % has gone with a lower loss.`,
    `The busiest expert of a layer gets ${mean(loads.map(([own]) => own)).toFixed(2)} times the mean load with averaged routers, ${mean(loads.map(([, members]) => members)).toFixed(2)} times with the members' (means over layers).`,
  ];
}

/** Layers in which averaged routers crowd tokens as no member's does. */
function loadProblems(layers: readonly LayerReport[]): string[] {
  return layers.flatMap((layer) => {
    const { load, members } = layer.choice ?? { load: null, members: [] };
    if (load === null) return [];
    const highest = Math.max(...members.map((m) => m.load!.maxOverMean));
    const dead = Math.max(...members.map((m) => m.load!.dead));
    const crowded = load.maxOverMean > CONCENTRATED * highest;
    if (!crowded && load.dead <= dead) return [];
    const what = crowded
      ? `the busiest expert gets ${load.maxOverMean.toFixed(2)} times the mean load, with members' routers at most ${highest.toFixed(2)} times`
      : `${plural(load.dead, 'expert')} without a token, with members' routers ${dead === 0 ? 'none' : `at most ${dead}`}`;
    return [`In ${layerName(layer)}: ${what}.`];
  });
}

function scoreFindings({ scores, differences, goal }: Evaluation): string[] {
  const named = { average: 'averaged routers', newest: "the newest's", oldest: "the oldest's", unmerged: 'the newest checkpoint unmerged' };
  const listed = scores
    .map(({ router, score }) => `${scoreText(score, null)} with ${named[router]}`)
    .join(', ')
    .replace(/ with the newest checkpoint/, ' for the newest checkpoint');
  const against = differences.map((d) => `${d.router} ${d.mean > 0 ? '+' : ''}${estimateText(d.mean, d.error)}`).join(', ');
  const paired = differences.every((d) => d.paired) ? ', standard errors of paired items' : '';
  return [`Scores (${directionOf(goal).which} is better): ${listed}.`, `Against averaged routers: ${against}${paired}.`];
}

/** The choice of router that scores clearly better than averaging, if any. */
function best({ differences, goal }: Evaluation): ScoreDifference | null {
  const gain = (d: ScoreDifference) => directionOf(goal).sign * d.mean;
  const clear = differences.filter((d) => d.router !== 'unmerged' && d.error !== null && gain(d) > CLEAR * d.error);
  return clear.sort((a, b) => gain(b) - gain(a))[0] ?? null;
}

function scoredHeadline({ differences, goal }: Evaluation): string {
  const routers = differences.filter((d) => d.router !== 'unmerged');
  if (routers.some((d) => d.error === null))
    return 'Scores of averaged, newest and oldest routers are below; without standard errors nobody can say which differences are chance.';
  const widest = routers.reduce((a, b) => (Math.abs(b.mean) > Math.abs(a.mean) ? b : a));
  const unmerged = differences.find((d) => d.router === 'unmerged');
  const gain = unmerged === undefined ? 0 : -directionOf(goal).sign * unmerged.mean;
  const share = gain > 0 ? `, ${percent(Math.abs(widest.mean) / gain)} of what merging gained` : '';
  const clear = routers.filter((d) => Math.abs(d.mean) > CLEAR * d.error!);
  if (clear.length === 0)
    return `Averaging the routers does no harm that can be measured here: the choice of router changes the score by ${differenceText(widest)}${share}.`;
  return `Averaged routers score at least as well as those of the ${routers.map((d) => d.router).join(' and the ')}, which ${routers.length === 1 ? 'is' : 'are'} worse by up to ${differenceText(widest)}${share}.`;
}

function untested({ routing, layers, members, sample, inputs, evaluation, family }: Findings, permuted: boolean): string[] {
  const without = layers.filter(({ choice }) => choice === null);
  return [
    ...(routing === null
      ? [
          `The choice of experts: how ${family ?? 'this model'} chooses is not known here, or its configuration does not say, or does not fit these routers.`,
        ]
      : without.length > 0
        ? [`The choice of experts in ${without.map(layerName).join(', ')}: no inputs for it, or a table of tokens decides.`]
        : []),
    ...(inputs?.kind === 'synthetic' ? [worded`Real inputs: load balance, and how often real tokens change experts (--hidden FILE).`] : []),
    ...(inputs?.kind === 'hidden-states'
      ? ["The averaged model's own hidden states: those of the file are of another model, and differences add up over depth."]
      : []),
    ...(evaluation === null
      ? [
          permuted
            ? 'Scores: a merge of permuted experts or layers is refused.'
            : worded`Whether any of this matters for the model: the score with averaged and with a member's routers (--eval 'CMD {model}').`,
        ]
      : ['Other evaluations, and other runs: a score on one text says little about them.']),
    ...(sample.expertElements === null
      ? ["Whether experts' weights kept their places: none are stored as plain floats."]
      : unlikeFinding(layers, members)),
  ];
}

/**
 * Between which members experts' weights could not be compared, though all have some: known by the margin
 * that is missing.
 */
function unlikeFinding(layers: readonly LayerReport[], members: readonly MergedMember[]): string[] {
  const labels = checkpointLabels(members);
  const pairs = members
    .slice(1)
    .flatMap((_, i) =>
      layers.some(({ identity }) => identity[i]!.margin.weights === null && identity[i]!.margin.router !== null)
        ? [`${labels[i]} and ${labels[i + 1]}`]
        : [],
    );
  if (pairs.length === 0) return [];
  const more = pairs.length > 3 ? ` and ${pairs.length - 3} more pairs` : '';
  return [
    `Whether experts' weights kept their places between ${pairs.slice(0, 3).join(', ')}${more}: they are stored in different ways there (one tensor an expert, fused, or quantised).`,
  ];
}

function differenceText({ mean: value, error }: ScoreDifference): string {
  return estimateText(Math.abs(value), error);
}

/** To the error's second digit; without one to as many digits as tell it from 0. */
const estimateText = (value: number, error: number | null) => (error === null ? formatNumber(value, 2) : formatEstimate(value, error));
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
