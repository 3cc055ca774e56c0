import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pairedDifference } from '../conclusion/difference.ts';
import { evaluate } from '../evaluate/command.ts';
import type { Score } from '../evaluate/score.ts';
import { toMergeError } from '../publish/io-error.ts';
import { type MachineOptions, runRecipe } from '../recipe/run.ts';
import type { Recipe } from '../recipe/types.ts';
import type { Evaluation, RouterVariant, ScoreDifference } from './types.ts';

export interface EvaluationOptions {
  /** Shell command that scores a model, see `evaluate`. */
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
 * Scores averaged weights with averaged routers, with the newest member's and with the oldest's, and the newest checkpoint as it is. The three merges are made in
 * one read, in a folder that is removed afterwards.
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
  const { signal, onStep, goal = 'lower', timeout } = options;
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
    for (const [router, path] of models) {
      onStep?.(router === 'unmerged' ? 'evaluating the newest checkpoint' : `evaluating the ${router} router`);
      const start = performance.now();
      const found = await evaluate(options.eval, path, { signal, timeout: timeout === undefined ? undefined : timeout * 1000 });
      scored.push({ router, found, seconds: (performance.now() - start) / 1000 });
    }
    const [averaged, ...others] = scored;
    return {
      command: options.eval,
      goal,
      scores: scored.map(({ router, found: { score, stderr, items }, seconds }) => ({
        router,
        score,
        stderr,
        items: items?.length ?? null,
        seconds,
      })),
      differences: others.map(({ router, found }) => ({
        router: router as ScoreDifference['router'],
        ...scoreDifference(averaged!.found, found),
      })),
    };
  } finally {
    if (!options.keep) await rm(folder, { recursive: true, force: true });
  }
}

/** `b` less `a`, with its standard error: paired where both scored the same number of items, else as of two independent scores. */
export function scoreDifference(a: Score, b: Score): Omit<ScoreDifference, 'router'> {
  if (a.items !== null && b.items !== null && a.items.length === b.items.length && a.items.length > 1) {
    const { mean, standardError } = pairedDifference(a.items, b.items);
    return { mean, error: standardError, paired: true };
  }
  const error = a.stderr === null || b.stderr === null ? null : Math.hypot(a.stderr, b.stderr);
  return { mean: b.score - a.score, error, paired: false };
}
