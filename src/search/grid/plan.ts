import { join } from 'node:path';
import { worded } from '../../base/option-words.ts';
import { formatCount, plural } from '../../render/format.ts';
import { readTrials, TRIALS_FILE } from '../study/trials-file.ts';
import { lookAtGrid, studyRequest } from './known.ts';
import { type GridScoreOptions, resolveScores } from './options.ts';

/** The evaluations that scoring a grid takes, equal merges counted once. */
export interface GridScoring {
  /** Those that are left: the sum of the four kinds after it. */
  readonly evaluations: number;
  /** The newest checkpoint alone: 0 or 1. */
  readonly newest: number;
  /** Other checkpoints alone that windows end at. */
  readonly checkpoints: number;
  readonly means: number;
  /** Those that are no plain means. */
  readonly outputs: number;
  /** Of what the grid comes to now, what has a score in the folder of trials. */
  readonly scored: number;
  /** What was tried there and has none: it is not tried again. */
  readonly failed: number;
  /** The folder of trials. */
  readonly dir: string;
  /** There are scores, and nothing was said of what is to become of them: `resume` goes on after them. */
  readonly needsResume: boolean;
}

/**
 * What {@link scoreGrid} would evaluate, and what of it has a score. Merges and writes nothing, and starts no evaluator.
 * @throws MergeError E_OPTION, E_GRID_SIZE, E_NO_MEMBERS for the grid; E_TRIALS for the folder of trials
 */
export async function planGridScores(options: GridScoreOptions, { signal }: { readonly signal?: AbortSignal } = {}): Promise<GridScoring> {
  const resolved = resolveScores(options);
  const { dir, resume, force } = resolved.options;
  const stored = force && !resume ? null : await readTrials(join(dir, TRIALS_FILE));
  const trials = stored?.trials.some(({ status }) => status === 'complete') ? stored.trials : [];
  const { known } = await lookAtGrid(resolved, studyRequest(resolved.options), stored?.identity.members ?? [], signal);
  const tried = new Set(trials.map(({ recipe }) => recipe));
  const scored = new Set(trials.flatMap(({ recipe, score }) => (score === null ? [] : [recipe])));
  const asked = new Set(known.scored.map(({ recipe }) => recipe));
  const left = [...known.candidates].filter(([recipe]) => !tried.has(recipe)).map(([, { arm }]) => arm);
  const newest = Math.max(...known.scored.map(({ endpoint }) => endpoint));
  const count = (of: (arm: (typeof left)[number]) => boolean) => left.filter(of).length;
  return {
    evaluations: left.length,
    newest: count(({ kind, endpoint }) => kind === 'newest' && endpoint === newest),
    checkpoints: count(({ kind, endpoint }) => kind === 'newest' && endpoint !== newest),
    means: count(({ kind }) => kind === 'mean'),
    outputs: count(({ kind }) => kind === 'output'),
    scored: [...asked].filter((recipe) => scored.has(recipe)).length,
    failed: [...asked].filter((recipe) => tried.has(recipe) && !scored.has(recipe)).length,
    dir,
    needsResume: trials.length > 0 && resume !== true,
  };
}

/** A plan of evaluations in a sentence or two. */
export function scoringText(plan: GridScoring): string {
  const { evaluations, newest, checkpoints, means, outputs, scored, failed, dir, needsResume } = plan;
  const kinds = [
    ...(newest > 0 ? ['the newest checkpoint'] : []),
    ...(checkpoints > 0 ? [plural(checkpoints, `${newest > 0 ? 'other ' : ''}checkpoint`)] : []),
    ...(means > 0 ? [plural(means, 'plain mean')] : []),
    ...(outputs > 0 ? [plural(outputs, means > 0 ? 'other output' : 'output')] : []),
  ];
  const before = [
    ...(scored > 0 ? [`${formatCount(scored)} ${scored === 1 ? 'is' : 'are'} scored already in ${dir}`] : []),
    ...(failed > 0 ? [`${formatCount(failed)} failed there and ${failed === 1 ? 'is' : 'are'} not tried again`] : []),
  ];
  const head = evaluations === 0 ? 'would score nothing' : `would make ${plural(evaluations, 'evaluation')}: ${kinds.join(', ')}`;
  return [head, ...before, ...(needsResume ? [worded`--resume goes on there, which is refused without it`] : [])].join('; ');
}
