import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { toMergeError } from '../../base/disk/io-error.ts';
import { MergeError } from '../../base/errors.ts';
import { type MachineOptions, runRecipe } from '../../merge/run.ts';
import type { Recipe } from '../../recipe/file/types.ts';
import { difference } from '../../search/conclusion/difference.ts';
import { Evaluator, type Outcome } from '../../search/evaluate/evaluator.ts';
import type { Score } from '../../search/evaluate/types.ts';
import type { Evaluation, RouterVariant, ScoreDifference } from './types.ts';

export interface EvaluationOptions {
  /** Shell command that scores a model, see {@link Evaluator}. */
  readonly eval: string;
  readonly goal?: 'lower' | 'higher' | undefined;
  /** Seconds that one evaluation may take. */
  readonly timeout?: number | undefined;
  /** Folder in which the merges are made; the current one when absent. */
  readonly work?: string | undefined;
  /** Leave the merges where they were made. */
  readonly keep?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told before each thing that takes long. */
  readonly onStep?: ((what: string) => void) | undefined;
}

/** The averaged weights with averaged routers, and with those of one member. */
const MERGED = ['average', 'newest', 'oldest'] as const;

/**
 * Scores averaged weights with averaged routers, with the newest member's and with the oldest's, and the
 * newest checkpoint as it is. The three merges are made in one read, in a folder that is removed afterwards.
 *
 * @param recipe of one output, whose path does not count @param newest path of its newest member
 * @throws MergeError E_EVALUATOR, and whatever merging throws; `signal.reason` on an abort
 */
export async function evaluateRouters(
  recipe: Recipe,
  newest: string,
  options: EvaluationOptions,
  machine: Pick<MachineOptions, 'memory' | 'threads' | 'io' | 'cache'> = {},
): Promise<Evaluation> {
  const { signal = new AbortController().signal, onStep, goal = 'lower', timeout } = options;
  const evaluator = new Evaluator({ command: options.eval, timeout, reading: {} });
  const work = resolve(options.work ?? '.');
  const folder = await mkdtemp(join(work, '.merge-routers-')).catch((error: unknown) => {
    throw toMergeError(error, { action: 'create a folder in', file: work, side: 'output' });
  });
  try {
    const [output] = recipe.outputs;
    const outputs = MERGED.map((router) => ({ ...output!, path: join(folder, router), ...(router === 'average' ? {} : { router }) }));
    onStep?.('merging with averaged, newest and oldest routers');
    await runRecipe({ ...recipe, outputs }, { ...machine, signal });
    const models: readonly (readonly [RouterVariant, string])[] = [
      ...outputs.map((o, i) => [MERGED[i]!, o.path] as const),
      ['unmerged', newest],
    ];
    const scored: { router: RouterVariant; found: Score; seconds: number }[] = [];
    for (const [trial, [router, model]] of models.entries()) {
      onStep?.(router === 'unmerged' ? 'evaluating the newest checkpoint' : `evaluating the ${router} router`);
      const place = { out: join(folder, `${router}-results`), log: join(folder, `${router}.log`) };
      const outcome = await evaluator.evaluate({ model, trial, ...place }, { signal, onRetry: (_, seconds) => onStep?.(waiting(seconds)) });
      if (outcome.status !== 'complete') throw failed(options.eval, outcome);
      scored.push({ router, found: outcome.score, seconds: outcome.seconds });
    }
    const [averaged, ...others] = scored;
    return {
      command: options.eval,
      goal,
      scores: scored.map(({ router, found: { score, stderr, items }, seconds }) => ({
        router,
        score,
        stderr,
        items: items?.reduce((sum, { scores }) => sum + scores.length, 0) ?? null,
        seconds,
      })),
      differences: others.map(({ router, found }) => {
        const { gain, error, paired } = difference(found, averaged!.found, 'maximize');
        return { router: router as ScoreDifference['router'], mean: gain, error, paired };
      }),
    };
  } finally {
    if (!options.keep) await rm(folder, { recursive: true, force: true });
  }
}

function waiting(seconds: number): string {
  return `the evaluator asks to be tried again later: waiting ${seconds} s`;
}

function failed(command: string, { reason, tail }: Exclude<Outcome, { status: 'complete' }>): MergeError {
  const shown = tail.length === 0 ? 'it printed nothing' : `the end of its output:\n${tail.join('\n')}`;
  return new MergeError('E_EVALUATOR', `the evaluator failed: ${reason}\n$ ${command}\n${shown}`, { details: { command } });
}
