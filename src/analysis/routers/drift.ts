import type { Checkpoint } from '../../checkpoints/types.ts';
import { type GramOptions, gramOf } from '../../merge/engine/passes/gram.ts';
import { Gram } from '../../merge/engine/passes/gram-matrix.ts';
import { sourceFrom, sourceOf } from '../../merge/engine/passes/gram-source.ts';
import type { MemberLayers } from '../../model/places/router-layers.ts';
import type { LayerReport, RouterDrift } from './types.ts';

/** What the inner products of a layer's routers tell. */
export interface LayerDrift extends Pick<LayerReport, 'midpoint'> {
  /** [N-1] */
  readonly drift: readonly Omit<RouterDrift, 'correctionBias'>[];
  readonly overall: Omit<RouterDrift, 'correctionBias'> | null;
  /**
   * [N] how many numbers are NaN or infinite. They, and what stands in their places in other members, are
   * left out of everything else.
   */
  readonly broken: readonly number[];
}

/**
 * How far the router of one layer moves between members, and what averaging does to the length of its rows;
 * from the inner products of all members' rows: ‖Σ w_i x_i‖² = Σ w_i w_j x_i·x_j.
 *
 * @param checkpoints the members, oldest first, 32 at most @param weights one a member
 * @throws MergeError as `gramOf` does; `signal.reason` on an abort
 */
export async function layerDrift(
  layer: MemberLayers,
  checkpoints: readonly Checkpoint[],
  weights: readonly number[],
  options: Pick<GramOptions, 'threads' | 'memory' | 'signal'> = {},
): Promise<LayerDrift> {
  const { experts, width } = layer.newest;
  // Where experts are the columns, or are not in all members, their rows do not lie together: then there is
  // only the router as a whole.
  const byRow = layer.members.every(({ transposed }) => !transposed);
  const elements = byRow ? width : experts * width;
  const sources = checkpoints.map((checkpoint, m) => {
    const { router } = layer.members[m]!;
    return sourceFrom(sourceOf(checkpoint, router), router.from);
  });
  const rows = await gramOf(
    Array.from({ length: byRow ? experts : 1 }, (_, row) => ({
      elements,
      sources: sources.map((source) => sourceFrom(source, row * elements)),
    })),
    { ...options, steps: true },
  );
  const whole = new Gram(checkpoints.length, true);
  for (const row of rows) whole.add(row);
  const between = (a: number, b: number): Omit<RouterDrift, 'correctionBias'> => ({
    relative: whole.relativeDistance(a, b),
    cosine: whole.cosine(a, b),
    worst: byRow ? worstRow(rows, a, b) : null,
  });
  const newest = checkpoints.length - 1;
  return {
    drift: checkpoints.slice(1).map((_, m) => between(m, m + 1)),
    overall: newest > 1 ? between(0, newest) : null,
    midpoint: midpointOf(byRow ? rows : [whole], weights, byRow),
    broken: checkpoints.map((_, m) => whole.nan(m) + whole.inf(m)),
  };
}

/**
 * ‖b − a‖ / ‖a‖ of two correction biases, the mean of each removed: one number added to all of them changes
 * no choice. Null where a has no spread.
 */
export function biasDrift(a: Float64Array, b: Float64Array): number | null {
  const centred = (values: Float64Array) => {
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    return values.map((v) => v - mean);
  };
  const [x, y] = [centred(a), centred(b)];
  const distance = Math.hypot(...x.map((v, i) => y[i]! - v));
  const relative = distance === 0 ? 0 : distance / Math.hypot(...x);
  return Number.isFinite(relative) ? relative : null;
}

/** The row that moved furthest for its length; what moved away from nothing moved furthest of all. */
function worstRow(rows: readonly Gram[], a: number, b: number): NonNullable<RouterDrift['worst']> {
  const moved = rows.map((row) => row.relativeDistance(a, b));
  const furthest = moved.map((relative) => relative ?? Number.POSITIVE_INFINITY).reduce((x, y) => Math.max(x, y));
  const expert = moved.findIndex((relative) => (relative ?? Number.POSITIVE_INFINITY) === furthest);
  return { expert, relative: moved[expert]! };
}

/** ‖Σ w·row‖ / Σ |w|·‖row‖ of each row; 1 for rows without length. */
function midpointOf(rows: readonly Gram[], weights: readonly number[], byRow: boolean): LayerReport['midpoint'] {
  const ratios = rows.map((row) => {
    let square = 0;
    let lengths = 0;
    for (const [i, v] of weights.entries()) {
      lengths += Math.abs(v) * row.norm(i);
      for (const [j, w] of weights.entries()) square += v * w * row.dot(i, j);
    }
    return lengths === 0 ? 1 : Math.sqrt(Math.max(0, square)) / lengths;
  });
  const least = ratios.reduce((a, b) => Math.min(a, b));
  return { least, expert: byRow ? ratios.indexOf(least) : null, mean: ratios.reduce((sum, r) => sum + r, 0) / ratios.length };
}
