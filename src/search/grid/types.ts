import type { Warning } from '../../base/errors.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { MergedMember } from '../../merge/plan/types.ts';
import type { ArmAxes } from '../../recipe/grid/types.ts';
import type { Difference } from '../conclusion/types.ts';
import type { Trial } from '../study/types.ts';
import type { ArtefactOfGrid, RecipesOfGrid } from './conclude.ts';

/** What a trial said of an output or of what it is compared with; all null where it was not tried. */
export interface ArmScore {
  /** Number of the trial. */
  readonly trial: number | null;
  readonly score: number | null;
  readonly stderr: number | null;
  /** Why there is no score. */
  readonly reason: string | null;
}

/** An output of a grid, with its score. */
export interface ScoredOutput extends ArmScore {
  readonly name: string;
  /** Every combination of the axes that this one merge stands for. */
  readonly names: readonly string[];
  readonly axes: ArmAxes;
  /** Its weights in another order: shown, and never chosen. */
  readonly control: boolean;
  /** Its name without the endpoint. */
  readonly recipe: string;
  readonly members: readonly Omit<MergedMember, 'tokens'>[];
  /** Better than the newest checkpoint that its window ends at, and than the plain mean of its window; positive is better. */
  readonly overNewest: Difference | null;
  readonly overMean: Difference | null;
  /** Changes of the training that its window crosses. */
  readonly flags: readonly string[];
  /** It was scored before, and is no part of the grid as it is asked now. */
  readonly earlier?: true;
}

/** What outputs are compared with: a checkpoint alone, or the plain mean of a window. */
export interface GridReference extends ArmScore {
  readonly name: string;
  readonly kind: 'newest' | 'mean';
  /** For people: `newest (step 6,000)`, `mean of 250B`. */
  readonly label: string;
  readonly endpoint: number;
  readonly tokens: number | null;
  /** Null for a checkpoint alone. */
  readonly window: string | null;
}

/** The JSON document of `grid --eval` and `grid --scores`. */
export interface GridScores {
  readonly schema: 'ckpt-merge/grid-scores';
  readonly version: 1;
  readonly run: string;
  readonly evaluator: string;
  readonly metric: string | null;
  readonly goal: Goal;
  /** By endpoint, oldest first. */
  readonly outputs: readonly ScoredOutput[];
  readonly references: readonly GridReference[];
  /** Whether the best output at the newest endpoint is better than what it is compared with. */
  readonly artefact: ArtefactOfGrid;
  /** Whether the best recipe is better wherever along the run it is used. */
  readonly recipes: RecipesOfGrid;
  /** What a reader should know of scores such as these. */
  readonly notes: readonly string[];
  readonly trials: readonly Trial[];
  /** Reads of the run in this run of the program. */
  readonly reads: number;
  readonly seconds: { readonly merging: number; readonly evaluating: number };
  readonly cost: number | null;
  readonly warnings: readonly Warning[];
}
