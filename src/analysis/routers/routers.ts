import { MergeError, type Warning } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { optionName } from '../../base/option-words.ts';
import { omit } from '../../base/pick.ts';
import { type AverageOptions, OF_AVERAGE, recipeOf } from '../../merge/average.ts';
import { membersOfRecipe } from '../../merge/members/of-recipe.ts';
import { MARGIN } from '../../model/places/identity.ts';
import { compareLayers } from '../../model/places/router-layers.ts';
import { swappedLayers } from '../../model/places/swapped-layers.ts';
import { routingFunction } from '../../model/routing/functions.ts';
import type { RoutingFunction } from '../../model/routing/types.ts';
import { checkGiven, type Taken } from '../../recipe/given.ts';
import { plural } from '../../render/format.ts';
import { checkEvaluation } from '../../search/study/session.ts';
import { OF_EVALUATION } from '../../search/study/taken.ts';
import type { StudyEvent } from '../../search/study/types.ts';
import { type EvaluationOptions, evaluateRouters } from './evaluation.ts';
import { examineLayers } from './examine.ts';
import { type InputRequest, inputSource } from './inputs.ts';
import type { RouterReport } from './types.ts';
import { verdictOf } from './verdict.ts';

/** Whose inner products are formed at once. */
const MOST_CHECKPOINTS = 32;

/** What a report is about: the checkpoints and weights of a merge, and how routers are looked at. */
export interface RoutersOptions
  extends Omit<AverageOptions, 'output' | 'sliding' | 'router' | 'for' | 'optimizer' | 'extraState' | 'force' | 'resume' | 'keep'>,
    Partial<EvaluationOptions>,
    Omit<InputRequest, 'seed'> {
  /** Decides probes, and which parts of experts are compared; default 0. */
  readonly seed?: number | undefined;
}

/** What a report takes, in the library. */
const OF_ROUTERS = {
  ...omit(OF_AVERAGE, ['output', 'sliding', 'router', 'for', 'optimizer', 'extraState', 'force', 'resume']),
  ...OF_EVALUATION,
  eval: { kind: 'command' },
  work: { kind: 'path' },
  hidden: { kind: 'path' },
  probes: { kind: 'count' },
  seed: { kind: 'integer' },
} as const satisfies Taken<RoutersOptions>;

/** What a report does now. */
export type RoutersProgress = { readonly type: 'layer'; readonly done: number; readonly total: number } | StudyEvent;

export interface RoutersRunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RoutersProgress) => void) | undefined;
}

/**
 * Whether averaging the routers of a mixture-of-experts model is safe, by evidence: whether experts keep
 * their places from checkpoint to checkpoint, how far routers move, whether the averaged router chooses the
 * same experts, and with `eval` whether that matters for a score. Reads routers, norms and samples of
 * experts; writes nothing but, with `eval`, merges that are removed again.
 *
 * @throws MergeError E_NO_ROUTERS for a dense model; E_OPTION for fewer than two checkpoints or more than 32;
 *   E_SHAPE, E_TENSOR_MISSING, E_TENSOR_EXTRA where routers do not fit each other; E_HIDDEN_STATES,
 *   E_EVALUATOR; whatever finding, opening and merging checkpoints throws; `signal.reason` when aborted
 */
export async function routers(options: RoutersOptions, { signal, onProgress }: RoutersRunOptions = {}): Promise<RouterReport> {
  const start = performance.now();
  checkGiven('routers', options, OF_ROUTERS);
  const { hidden, probes, seed = 0 } = options;
  if (probes !== undefined && !(Number.isSafeInteger(probes) && probes >= 1 && probes <= MOST.probes)) {
    throw new MergeError('E_OPTION', `${optionName('probes')} must be a whole number from 1 to ${MOST.probes}, not ${probes}`);
  }
  const { eval: command } = options;
  if (command !== undefined) checkEvaluation({ ...options, eval: command });
  const recipe = recipeOf({ ...options, output: 'merged' });
  const found = await membersOfRecipe(recipe, { strict: options.strict, signal });
  const { checkpoints, members } = found;
  if (checkpoints.length < 2) {
    throw new MergeError('E_OPTION', `routers are compared between checkpoints, and there is one: ${checkpoints[0]!.path}`, {
      help: 'Name two or more, or a run folder.',
    });
  }
  if (checkpoints.length > MOST_CHECKPOINTS) {
    throw new MergeError('E_OPTION', `a report is of at most ${MOST_CHECKPOINTS} checkpoints, and there are ${checkpoints.length}`, {
      help: 'Select fewer, as with --last or --every.',
    });
  }
  const compared = await compareLayers(checkpoints);
  const swapped = await swappedLayers(checkpoints.at(-1)!, compared.roles, checkpoints, signal);
  const told = routingFunction(compared.roles.config);
  const fewest = Math.min(...compared.layers.map(({ newest }) => newest.experts));
  // A configuration that wants more experts than there are is of another model: nothing of it is believed.
  const routing = told !== null && told.topK <= fewest ? told : null;
  const inputs = routing === null ? null : await inputSource(compared, checkpoints, { hidden, probes, seed });
  const examined = await examineLayers(compared.layers, {
    checkpoints,
    units: compared.units,
    weights: members.map(({ weight }) => weight),
    routing,
    inputs: async (layer, reader) => (await inputs?.of(layer, reader)) ?? null,
    ...{ seed, signal, threads: options.threads, memory: options.memory },
    onProgress: (done, total) => onProgress?.({ type: 'layer', done, total }),
  });
  // A merge of permuted experts or layers is refused, and its scores would say nothing of routers.
  const permuted =
    swapped.length > 0 ||
    examined.layers.some(({ identity }) => identity.some(({ status, by }) => status === 'permuted' || by === 'weights'));
  const scored =
    command === undefined || (permuted && !options.allowPermuted)
      ? null
      : await evaluateRouters(
          { ...options, eval: command, inputs: recipe.inputs },
          found,
          (event) => onProgress?.(event),
          signal ?? new AbortController().signal,
        );
  const { layers, bytesRead } = examined;
  const warnings = [
    ...checkpoints.flatMap((checkpoint) => checkpoint.warnings),
    ...found.warnings,
    ...compared.warnings,
    ...(told !== routing ? [excessWarning(told!, fewest, checkpoints.at(-1)!.path)] : []),
    ...examined.warnings,
  ];
  const findings = {
    family: compared.roles.context.family,
    members,
    ...{ asked: found.report.asked, found: found.report.found, leftOut: found.report.leftOut },
    method: found.method,
    routing: routing === null ? null : { text: routingText(routing), topK: routing.topK },
    layers,
    sample: { seed, ...examined.sample, ...MARGIN },
    inputs: layers.some(({ choice }) => choice !== null) ? inputs!.described : null,
    evaluation: scored?.evaluation ?? null,
  };
  return {
    schema: 'ckpt-merge/routers',
    version: 1,
    ...findings,
    verdict: verdictOf(findings, examined.warnings, swapped),
    bytesRead,
    seconds: (performance.now() - start) / 1000,
    // The merges meet some of these again.
    warnings: [...warnings, ...(scored?.warnings ?? []).filter(({ message }) => !warnings.some((other) => other.message === message))],
  };
}

function excessWarning({ topK }: RoutingFunction, experts: number, path: string): Warning {
  return { code: 'W_ROUTER', message: `the configuration of ${path} wants the best ${topK} of ${plural(experts, 'expert')}` };
}

/**
 * A routing function in words: `sigmoid, the best 8, of the best 4 of 8 groups, bias for the choice alone`.
 */
function routingText({ score, topK, groups, selectionBias, renormalise }: RoutingFunction): string {
  return [
    `${score} scores, the best ${topK}`,
    ...(groups === null ? [] : [`within ${groups.kept} of ${groups.count} groups`]),
    ...(selectionBias ? ['a correction bias for the choice alone'] : []),
    ...(renormalise ? ['weights made to sum to 1'] : []),
  ].join(', ');
}
