import { worded } from '../../base/option-words.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import type { ReadOptions } from '../../checkpoints/results/metric.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { Evaluator } from '../evaluate/evaluator.ts';
import type { MetricTerm } from '../evaluate/results/read.ts';
import type { ScoreModel } from './trials.ts';

/** How models are scored. Same names in the library and (with dashes) on the command line. */
export interface EvaluationSettings {
  /** Shell command, or words without a shell; see docs/evaluators.md. In the library also a function. */
  readonly eval: string | readonly string[] | ScoreFunction;
  readonly metrics?: readonly MetricTerm[] | undefined;
  readonly metricFile?: string | undefined;
  readonly metricRegex?: string | undefined;
  readonly goal?: Goal | undefined;
  /** Seconds that one evaluation may take. */
  readonly timeout?: number | undefined;
  readonly evalSetup?: string | undefined;
  readonly evalCancel?: string | undefined;
  /** `sglang=URL`. */
  readonly evalServer?: string | undefined;
  /** Devices, one for each evaluation at a time. */
  readonly gpus?: readonly string[] | undefined;
  /** Evaluations at a time; default 1. */
  readonly parallel?: number | undefined;
}

/**
 * Scores a model in this process.
 * @param model path of the checkpoint, which is there until the promise settles
 * @returns a number, or what an evaluator may print as JSON. What it throws makes the trial a failed one
 */
export type ScoreFunction = (
  model: string,
  context: { readonly trial: number; readonly signal: AbortSignal },
) => Promise<number | ScoreGiven>;

/** What a function says of a model. */
export interface ScoreGiven {
  readonly score: number;
  readonly stderr?: number | null;
  /** Scores of single items, in an order that is the same for every model. */
  readonly items?: readonly number[] | null;
  readonly higherIsBetter?: boolean;
  readonly cost?: number;
}

export function metricTexts(metrics: EvaluationSettings['metrics']): readonly string[] {
  return (metrics ?? []).map(({ name, weight }) => (weight === 1 ? name : `${name}=${weight}`));
}

/** A command as a shell would take it; a function by its name. */
export function commandText(command: EvaluationSettings['eval']): string {
  if (typeof command === 'function') return command.name === '' ? 'a function' : `the function ${command.name}`;
  return typeof command === 'string' ? command : command.map((word) => (/^[\w./{}=-]+$/.test(word) ? word : shellQuote(word))).join(' ');
}

export function readOptions({ metrics, metricFile, metricRegex }: EvaluationSettings): ReadOptions {
  return {
    ...(metrics === undefined ? {} : { metrics }),
    ...(metricFile === undefined ? {} : { metricFile }),
    ...(metricRegex === undefined ? {} : { metricRegex }),
  };
}

/**
 * What scores the models of a study. @param option that names it in messages @throws MergeError of the
 * evaluator's options
 */
export function scorerOf(
  request: EvaluationSettings,
  option = worded`--eval`,
): { readonly score: ScoreModel; setup(signal: AbortSignal): Promise<void> } {
  const { eval: command, evalSetup: setup, evalCancel: cancel, evalServer: server, timeout, gpus } = request;
  if (typeof command === 'function') return { score: scoreBy(command), setup: async () => {} };
  const reading = readOptions(request);
  const evaluator = new Evaluator({
    command,
    option,
    setup,
    cancel,
    server,
    timeout,
    gpus: gpus ?? visibleDevices(request.parallel),
    reading,
  });
  return { score: (model, options) => evaluator.evaluate(model, options), setup: (signal) => evaluator.setup(signal) };
}

/**
 * Of several evaluations at a time each gets one of the devices that this process was given; a single one may
 * use them all.
 */
function visibleDevices(parallel = 1): readonly string[] | undefined {
  const devices = (process.env.CUDA_VISIBLE_DEVICES ?? '').split(',').filter((device) => device !== '');
  return parallel > 1 && devices.length >= parallel ? devices : undefined;
}

function scoreBy(of: ScoreFunction): ScoreModel {
  return async ({ model, trial }, { signal }) => {
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1000;
    const failed = (reason: string) =>
      ({ status: 'failed', reason, lastWords: null, tail: [], cost: null, seconds: seconds(), attempts: 1 }) as const;
    try {
      const given = await of(model, { trial, signal });
      const {
        score,
        stderr = null,
        items = null,
        higherIsBetter = null,
        cost = null,
      } = typeof given === 'number' ? { score: given } : given;
      if (!Number.isFinite(score)) return failed(`the function gave ${score} as the score`);
      const lists = items === null ? null : [{ name: '', weight: 1, digest: `n=${items.length}`, scores: items }];
      const found = { score, stderr, items: lists, metrics: {}, higherIsBetter, source: 'a function', cost };
      return { status: 'complete', score: found, seconds: seconds(), attempts: 1 };
    } catch (error) {
      signal.throwIfAborted();
      return failed(error instanceof Error ? error.message : String(error));
    }
  };
}
