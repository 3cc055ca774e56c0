import type { Warning } from '../../base/errors.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Moment } from '../../checkpoints/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import type { Baseline, Conclusion, NoiseStd, OnBound, PosteriorDrawing, Validation } from '../conclusion/types.ts';
import type { Params, Space, SpaceParameter } from '../space/types.ts';
import type { Ending, Trial, TrialWeight } from '../study/types.ts';
import type { GreedySoup } from './greedy.ts';

export interface BestTrial {
  readonly trial: number;
  readonly params: Params | null;
  readonly weights: readonly TrialWeight[];
  readonly score: number;
  readonly stderr: number | null;
  /** Of the score without noise, in its own units; null where there is no model of it. */
  readonly posterior: { readonly mean: number; readonly std: number } | null;
}

/** One adjacent pair of a chain: a search of its own over λ, the weight of the newer checkpoint. */
export interface ChainPair {
  /** Indices in `members`. */
  readonly older: number;
  readonly newer: number;
  readonly best: BestTrial | null;
  /** Score of the newer checkpoint alone. */
  readonly single: number | null;
  readonly singleStderr: number | null;
  readonly posterior: PosteriorDrawing | null;
  readonly conclusion: Conclusion;
}

/** The result of a search or a soup: the JSON document, and all that the report shows. */
export interface SearchDocument extends MemberReport {
  readonly schema: 'ckpt-merge/search';
  readonly version: 1;
  readonly kind: 'search' | 'soup';
  /** As given: a run folder, or its checkpoints. */
  readonly inputs: readonly string[];
  readonly members: readonly Moment[];
  readonly space: { readonly name: Space['name'] | 'soup'; readonly parameters: readonly SpaceParameter[] };
  readonly sampler: string;
  readonly seed: number;
  readonly evaluator: string;
  readonly metric: string | null;
  readonly goal: Goal;
  readonly noise: 'shared' | 'independent';
  /**
   * Standard deviation of a score from one evaluation of the same recipe to the next: measured on repeats, or
   * learned by the model; null where neither is.
   */
  readonly noiseStd: NoiseStd | null;
  readonly best: BestTrial | null;
  readonly baselines: readonly Baseline[];
  readonly trials: readonly Trial[];
  readonly posterior: PosteriorDrawing | null;
  /**
   * With `--pairwise-chain`: oldest pair first; best, posterior and conclusion of the document are then those
   * of the newest pair. Null otherwise.
   */
  readonly chain: readonly ChainPair[] | null;
  /** Of a soup, where an ingredient has a score: how the greedy one came about. */
  readonly greedy?: GreedySoup;
  /** Parameters whose best value lies on a bound, with what to do. */
  readonly onBounds: readonly OnBound[];
  readonly validation: Validation | null;
  readonly conclusion: Conclusion;
  readonly ended: Ending;
  /** Folder of trials, logs and reports. */
  readonly folder: string;
  /** Where the best recipe's merge goes; null where none was asked for. */
  readonly output: string | null;
  /** How many merges this run of the program made, in how many reads of the inputs. */
  readonly merges: number;
  readonly reads: number;
  readonly seconds: { readonly merging: number; readonly evaluating: number };
  readonly cost: number | null;
  readonly warnings: readonly Warning[];
}
