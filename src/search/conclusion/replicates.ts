import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { judgedWindowsText, recipesText } from './grid-text.ts';
import { studentQuantile } from './student.ts';

/** A recipe at one endpoint of a run. */
export interface EndpointScore {
  /** Its place along the run: a step, or tokens. */
  readonly endpoint: number;
  readonly score: number;
  /** Of the members that take part, by name; by these the overlap of windows is told. */
  readonly weights: ReadonlyMap<string, number>;
}

/** A recipe of a grid, or what it is measured against, at the endpoints at which it was scored. */
export interface EndpointScores {
  readonly name: string;
  readonly endpoints: readonly EndpointScore[];
}

export interface RecipesInput {
  readonly goal: Goal;
  readonly recipes: readonly (EndpointScores & {
    /** Shown, and never chosen. */
    readonly control: boolean;
    /** What sentences call it; its name when absent. */
    readonly label?: string | undefined;
  })[];
  /** The newest, the plain mean. */
  readonly references: readonly (EndpointScores & { readonly label: string })[];
}

/** A recipe against one reference, over endpoints. */
export interface RecipeDifference {
  /** Endpoints at which both have a score, and at how many the recipe is better. */
  readonly endpoints: number;
  readonly better: number;
  /** How many independent ones they are worth. */
  readonly effective: number;
  /** Mean difference, positive where the recipe is better; null without any endpoint. */
  readonly gain: number | null;
  /** Standard error and 95 % interval of one comparison; null where it is not judged. */
  readonly error: number | null;
  readonly interval: readonly [number, number] | null;
}

export interface RecipeRow {
  readonly name: string;
  readonly control: boolean;
  /** In the order of the references. */
  readonly differences: readonly RecipeDifference[];
}

/** Whether the best recipe of a grid is better than its references, wherever along the run it is used. */
export interface RecipesConclusion {
  readonly gainClaimed: boolean;
  readonly text: string;
  /** Null where no recipe can be judged. */
  readonly chosen: string | null;
  /** Name of the reference that it gains least over. */
  readonly against: string | null;
  readonly gain: number | null;
  /** 95 % interval that holds for all judged recipes at once. */
  readonly interval: readonly [number, number] | null;
  readonly effective: number | null;
  readonly rows: readonly RecipeRow[];
}

/** Effective endpoints below which nothing is judged. */
const FEWEST_ENDPOINTS = 4;

/**
 * Is this recipe better? Endpoints of the run are the replicates: of neighbouring ones whose windows overlap
 * the differences err together, so that n endpoints are worth n / (1 + 2 Σ_h (1 − h/n) ρ_h) independent ones
 * (Bayley and Hammersley, Supplement to the Journal of the Royal Statistical Society 8, 1946), below
 * {@link FEWEST_ENDPOINTS} of which nothing is judged. The interval of each recipe is Student's with that
 * number less one degree of freedom. The best is chosen by these scores: its interval is as wide as one that
 * holds for all judged recipes and references at once (Bonferroni's inequality), and a gain is claimed where
 * it lies above 0 for every reference. All endpoints are scored on the same items, so that it is about these.
 */
export function concludeRecipes({ goal, recipes, references }: RecipesInput): RecipesConclusion {
  const { sign } = directionOf(goal);
  const rows = recipes.map(
    ({ name, control, endpoints }): RecipeRow => ({
      ...{ name, control },
      differences: references.map((reference) => endpointDifference(endpoints, reference.endpoints, sign)),
    }),
  );
  const judged = rows.filter(
    ({ control, differences }) => !control && differences.length > 0 && differences.every(({ error }) => error !== null),
  );
  const least = ({ differences }: RecipeRow) => Math.min(...differences.map(({ gain }) => gain!));
  const chosen = judged.reduce<RecipeRow | null>((best, row) => (best === null || least(row) > least(best) ? row : best), null);
  if (chosen === null) {
    const own = rows.filter(({ control }) => !control);
    const missing = references.flatMap(({ label }, r) => (own.every(({ differences }) => differences[r]!.endpoints === 0) ? [label] : []));
    const worth = own.map(({ differences }) => differences.reduce((a, b) => (b.effective < a.effective ? b : a), differences[0]!));
    const text = recipesText({
      kind: 'unjudged',
      fewest: FEWEST_ENDPOINTS,
      most: worth.reduce((a, b) => (b.effective > a.effective ? b : a), worth[0]!),
      missing: missing.length === references.length ? null : missing,
    });
    return { gainClaimed: false, text, chosen: null, against: null, gain: null, interval: null, effective: null, rows };
  }
  const tail = 0.025 / (judged.length * references.length);
  const intervals = chosen.differences.map(({ gain, error, effective }): readonly [number, number] => {
    const half = studentQuantile(1 - tail, effective - 1) * error!;
    return [gain! - half, gain! + half];
  });
  const r = chosen.differences.findIndex(({ gain }) => gain === least(chosen));
  const { gain, effective, endpoints, better } = chosen.differences[r]!;
  const gainClaimed = intervals.every(([low]) => low > 0);
  const found = { gainClaimed, chosen: chosen.name, gain: gain!, interval: intervals[r]!, effective };
  const labels = references.map(({ label }) => label);
  const called = recipes.find(({ name }) => name === chosen.name)!.label ?? chosen.name;
  const text = recipesText({
    kind: 'judged',
    ...found,
    chosen: called,
    label: labels[r]!,
    labels,
    endpoints,
    better,
    candidates: judged.length,
  });
  return { ...found, text, against: references[r]!.name, rows };
}

/**
 * Which windows were judged, where others of the same grid were not: a recipe of a window is judged where each of its
 * differences is.
 *
 * @param windowOf of a recipe, by its name
 * @returns null where all were judged, or none
 */
export function judgedWindows(rows: readonly RecipeRow[], windowOf: (name: string) => string): string | null {
  const own = rows.filter(({ control, differences }) => !control && differences.length > 0);
  const isJudged = ({ differences }: RecipeRow) => differences.every(({ error }) => error !== null);
  const judged = new Set(own.filter(isJudged).map(({ name }) => windowOf(name)));
  const dropped = new Map<string, RecipeDifference>();
  for (const row of own) {
    const window = windowOf(row.name);
    // Where some of a window was judged, what was not is named by itself.
    const key = judged.has(window) ? row.name : window;
    const fewest = row.differences.reduce((a, b) => (b.effective < a.effective ? b : a));
    const known = dropped.get(key);
    if (!isJudged(row) && (known === undefined || fewest.effective > known.effective)) dropped.set(key, fewest);
  }
  if (judged.size === 0 || dropped.size === 0) return null;
  return judgedWindowsText(
    [...judged],
    [...dropped].map(([name, { endpoints, effective }]) => ({ name, endpoints, effective })),
    FEWEST_ENDPOINTS,
  );
}

/** @param sign 1 where larger scores are better, else -1 */
function endpointDifference(recipe: readonly EndpointScore[], reference: readonly EndpointScore[], sign: number): RecipeDifference {
  const pairs = recipe
    .toSorted((a, b) => a.endpoint - b.endpoint)
    .flatMap((own) => {
      const other = reference.find(({ endpoint }) => endpoint === own.endpoint);
      return other === undefined ? [] : [{ own, other, difference: sign * (own.score - other.score) }];
    });
  const count = pairs.length;
  if (count === 0) return { endpoints: 0, better: 0, effective: 0, gain: null, error: null, interval: null };
  const values = pairs.map(({ difference }) => difference);
  const effective = effectiveNumber(pairs.map(({ own, other }) => weightsLess(own.weights, other.weights)));
  const gain = values.reduce((sum, value) => sum + value, 0) / count;
  const shown = { endpoints: count, better: values.filter((value) => value > 0).length, effective, gain };
  if (effective < FEWEST_ENDPOINTS) return { ...shown, error: null, interval: null };
  const squares = values.reduce((sum, value) => sum + (value - gain) ** 2, 0);
  // What neighbours share is missing from the spread around their mean: E[squares] = n σ² (1 − 1/n_eff).
  const error = Math.sqrt(squares / count / (effective - 1));
  const half = studentQuantile(0.975, effective - 1) * error;
  return { ...shown, error, interval: [gain - half, gain + half] };
}

/**
 * How many independent differences these are worth, where each is a sum of the members' own noise with the
 * weights given: two err together as much as their weights do, none without a common member. Never more than
 * there are.
 */
export function effectiveNumber(weights: readonly ReadonlyMap<string, number>[]): number {
  const count = weights.length;
  let together = 0;
  weights.forEach((a, i) => {
    for (const b of weights.slice(0, i)) together += Math.max(0, product(a, b) / Math.sqrt(product(a, a) * product(b, b)) || 0);
  });
  return count / (1 + (2 * together) / count);
}

function weightsLess(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): Map<string, number> {
  const members = new Set([...a.keys(), ...b.keys()]);
  return new Map([...members].map((member) => [member, (a.get(member) ?? 0) - (b.get(member) ?? 0)]));
}

function product(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  return [...a].reduce((sum, [member, weight]) => sum + weight * (b.get(member) ?? 0), 0);
}
