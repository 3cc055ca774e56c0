import type { Goal } from '../../checkpoints/results/types.ts';
import { parseDistance } from '../../checkpoints/run/quantity.ts';
import { type Arm, type ArtefactConclusion, concludeArtefact } from '../conclusion/artefact.ts';
import type { Scored } from '../conclusion/difference.ts';
import { noShapeText, SAME_ITEMS } from '../conclusion/grid-text.ts';
import {
  concludeRecipes,
  type EndpointScores,
  judgedWindows,
  type RecipeDifference,
  type RecipeRow,
  type RecipesConclusion,
} from '../conclusion/replicates.ts';
import type { Axis } from '../gaussian-process/cube.ts';
import type { StudiedArm, StudiedCombination } from '../study/trials-file.ts';
import type { TrialWeight } from '../study/types.ts';

/** What is scored, with its score where there is one. */
export interface PlacedArm extends StudiedArm {
  readonly score: Scored | null;
  readonly weights: readonly TrialWeight[];
}

/** Scores of a second set, by name. */
export interface SecondSet {
  readonly command: string;
  readonly scores: ReadonlyMap<string, Scored | null>;
}

/** What is said of the outputs at the newest endpoint. */
export interface ArtefactOfGrid extends ArtefactConclusion {
  /** The best of outputs and plain means against the newest alone; null where that is the same. */
  readonly overNewest: ArtefactConclusion | null;
  /** What to take: an output or plain mean; null where nothing is estimated better than what it is compared with. */
  readonly best: string | null;
}

/**
 * Whether the best output at the newest endpoint is better than the newest checkpoint and the plain means there. Where
 * that is not claimed, the best of outputs and means against the newest alone comes first: whether to merge at all.
 */
export function artefactOf(arms: readonly PlacedArm[], goal: Goal, validation: SecondSet | undefined): ArtefactOfGrid {
  const end = newestEnd(arms);
  const there = arms.filter(({ endpoint }) => endpoint === end);
  const references = there.filter(({ kind }) => kind === 'newest' || (kind === 'mean' && meansAreReferences(arms)));
  const recipes = new Set(references.map(({ recipe }) => recipe));
  const outputs = there.filter(({ kind, recipe }) => kind === 'output' && !recipes.has(recipe));
  const conclude = (of: readonly PlacedArm[], against: readonly PlacedArm[]) => {
    const { axes, pointOf } = axesOf(of.map(({ is }) => is[0]!));
    return concludeArtefact({
      goal,
      axes,
      arms: of.map((arm): Arm => {
        const [first] = arm.is;
        const name = nameOf(arm, there);
        const label = arm.kind === 'mean' ? `the ${labelOf(arm)} (${name})` : undefined;
        return { name, label, point: pointOf(first!), control: first!.control, score: arm.score };
      }),
      references: against.map((arm) => ({ name: arm.is[0]!.name, label: labelOf(arm), score: arm.score })),
      ...(validation !== undefined && { validation }),
    });
  };
  const own = conclude(outputs, references);
  const newest = references.filter(({ kind, score }) => kind === 'newest' && score !== null);
  const means = references.filter(({ kind, score }) => kind === 'mean' && score !== null);
  const overNewest = newest.length === 0 || means.length === 0 ? null : conclude([...outputs, ...means], newest);
  const { chosen, gain, observed } = headlineOf({ ...own, overNewest });
  const best = (gain ?? observed ?? 0) > 0 ? chosen : null;
  return { ...own, text: artefactWithMeans(own, overNewest, references), overNewest, best };
}

/** What the first line is about: a gain over everything, else whether to merge at all. */
export function headlineOf<T extends { readonly gainClaimed: boolean }>(of: T & { readonly overNewest: T | null }): T {
  return of.gainClaimed || of.overNewest === null ? of : of.overNewest;
}

function artefactWithMeans(own: ArtefactConclusion, overNewest: ArtefactConclusion | null, references: readonly PlacedArm[]): string {
  if (own.gainClaimed || overNewest === null) return own.text;
  const { chosen, against, gain, interval, observed, candidates, basis } = own;
  const reference = references.find(({ is }) => is[0]!.name === against);
  // Below the newest as well: nothing more is to be told of the means.
  if (chosen === null || reference === undefined || reference.kind === 'newest') return overNewest.text;
  const words = { candidates, label: labelOf(reference), gain, interval, observed: observed!, onSecondSet: basis === 'validation' };
  return `${overNewest.text} ${noShapeText({ ...words, chosen, isBest: chosen === overNewest.chosen })}`;
}

/** Of a plain mean that an output is as well, the name of that output: it lies there. */
function nameOf({ kind, recipe, is }: PlacedArm, there: readonly PlacedArm[]): string {
  const same = kind === 'mean' ? there.find((arm) => arm.kind === 'output' && arm.recipe === recipe) : undefined;
  return (same ?? { is }).is[0]!.name;
}

/** What is said of recipes, and what they are compared with, in the order of the differences. */
export interface RecipesOfGrid extends RecipesConclusion {
  readonly references: readonly string[];
  /** The best of recipes and plain means against the newest alone; null where that is the same. */
  readonly overNewest: RecipesConclusion | null;
}

/** Whether the best recipe is better than the same at the endpoints of the run; the rows have the plain means, too. */
export function recipesOfGrid(arms: readonly PlacedArm[], goal: Goal): RecipesOfGrid {
  const isReference = (arm: PlacedArm) => arm.kind === 'newest' || (arm.kind === 'mean' && meansAreReferences(arms));
  const compared = byRecipe(arms.filter(isReference)).map((one) => ({
    ...one,
    label: one.window === null ? 'newest' : `mean of ${windowWords(one.window)}`,
  }));
  const recipes = new Set(arms.filter(isReference).map(({ recipe }) => recipe));
  const shapes = byRecipe(arms.filter(({ kind, recipe }) => kind === 'output' && !recipes.has(recipe)));
  const own = concludeRecipes({ goal, recipes: shapes, references: compared });
  const references = compared.map(({ label }) => label);
  const means = compared.flatMap((one) => (one.window === null ? [] : [{ ...one, label: `the ${one.label} (${one.name})` }]));
  const newest = compared.filter(({ window }) => window === null);
  const windows = new Map([...shapes, ...means].map(({ name, window }) => [name, window === null ? name : windowWords(window)]));
  const withWindows = (text: string, of: RecipesConclusion) =>
    [text, judgedWindows(of.rows, (name) => windows.get(name)!) ?? []].flat().join(' ');
  if (newest.length === 0 || means.length === 0) return { ...own, text: withWindows(own.text, own), references, overNewest: null };
  const overNewest = concludeRecipes({ goal, recipes: [...shapes, ...means], references: newest });
  const ofMeans = concludeRecipes({ goal, recipes: means, references: compared }).rows.map(
    (row): RecipeRow => ({ ...row, differences: row.differences.map((one, r) => (compared[r]!.name === row.name ? NOT_COMPARED : one)) }),
  );
  const text = withWindows(recipesWithMeans(own, overNewest, means), own.gainClaimed ? own : overNewest);
  return { ...own, text, rows: [...own.rows, ...ofMeans], references, overNewest };
}

/** Of a plain mean beside itself. */
const NOT_COMPARED: RecipeDifference = { endpoints: 0, better: 0, effective: 0, gain: null, error: null, interval: null };

function recipesWithMeans(own: RecipesConclusion, overNewest: RecipesConclusion, means: readonly EndpointScores[]): string {
  if (own.gainClaimed) return own.text;
  const help = means.some(({ endpoints }) => endpoints.length === 0)
    ? ` Plain means are outputs of the method sma: with it among those of the grid they are scored with the others.`
    : '';
  if (overNewest.chosen === null) return overNewest.text;
  return `${overNewest.text.replace(` ${SAME_ITEMS}`, '')} ${own.text.replace('Recipes are not', 'Against plain means recipes are not')}${help}`;
}

/** The place at which the newest outputs end. */
export function newestEnd(arms: readonly StudiedArm[]): number {
  return Math.max(...arms.flatMap(({ kind, endpoint }) => (kind === 'output' ? [endpoint] : [])));
}

export function labelOf({ kind, is, endpoint }: StudiedArm): string {
  return kind === 'newest' ? `newest (step ${endpoint})` : `mean of ${windowWords(windowText(is[0]!)!)}`;
}

export function windowText({ axes }: StudiedCombination): string | null {
  return axes.window === undefined ? null : String(axes.window);
}

/** A window for people: `0.8M` where names have `800000tokens`. */
export function windowWords(window: string): string {
  const { value, unit } = parseDistance(window, 'window');
  return unit === 'tokens' && value >= 1e5 && value < 1e6 && (value / 1e6).toString().length <= 5 ? `${value / 1e6}M` : window;
}

/** Of a grid that makes nothing else, plain means are what is compared with the newest. */
function meansAreReferences(arms: readonly StudiedArm[]): boolean {
  const means = new Set(arms.flatMap(({ kind, recipe }) => (kind === 'mean' ? [recipe] : [])));
  return arms.some(({ kind, recipe, is }) => kind === 'output' && !is[0]!.control && !means.has(recipe));
}

interface RecipeScores extends EndpointScores {
  readonly control: boolean;
  readonly window: string | null;
}

/** A recipe for each combination of the axes but for the endpoint; those that are one everywhere are one. */
function byRecipe(arms: readonly PlacedArm[]): RecipeScores[] {
  const found = new Map<string, { readonly combination: StudiedCombination; readonly at: PlacedArm[] }>();
  for (const arm of arms) {
    for (const combination of arm.is) {
      const known = found.get(combination.recipe) ?? { combination, at: [] };
      known.at.push(arm);
      found.set(combination.recipe, known);
    }
  }
  const distinct = new Map<string, typeof found extends Map<string, infer T> ? T : never>();
  for (const one of found.values()) {
    const key = JSON.stringify(one.at.map(({ recipe }) => recipe));
    // Of equal ones the first is that which is no control.
    if (!distinct.has(key) || distinct.get(key)!.combination.control) distinct.set(key, one);
  }
  return [...distinct.values()].map(({ combination, at }) => ({
    name: combination.recipe,
    control: combination.control,
    window: windowText(combination),
    endpoints: at.flatMap(({ endpoint, score, weights }) =>
      score === null ? [] : [{ endpoint, score: score.score, weights: new Map(weights.map(({ path, weight }) => [path, weight])) }],
    ),
  }));
}

/** Windows by their size, strides in order, and everything else as shapes without an order. */
function axesOf(combinations: readonly StudiedCombination[]): {
  readonly axes: readonly Axis[];
  pointOf(one: StudiedCombination): readonly number[];
} {
  const valuesOf = (of: (one: StudiedCombination) => string) => [...new Set(combinations.map(of))];
  const window = (one: StudiedCombination) => windowText(one) ?? '';
  const stride = ({ axes }: StudiedCombination) => String(axes.stride ?? 1);
  const sizes = new Map(valuesOf(window).map((text) => [text, parseDistance(text, 'window')]));
  const units = new Set([...sizes.values()].map(({ unit }) => unit));
  const logs = [...sizes].map(([, { value }]) => Math.log(value));
  const [least, most] = [Math.min(...logs), Math.max(...logs)];
  const strides = valuesOf(stride).sort((a, b) => Number(a) - Number(b));
  const shapes = valuesOf(shapeOf);
  const parts: { readonly axis: Axis; at(one: StudiedCombination): number }[] = [];
  if (sizes.size > 1) {
    const order = [...sizes.keys()];
    parts.push(
      units.size === 1
        ? { axis: { kind: 'real' }, at: (one) => (Math.log(sizes.get(window(one))!.value) - least) / (most - least) }
        : { axis: { kind: 'choice', count: order.length }, at: (one) => order.indexOf(window(one)) / (order.length - 1) },
    );
  }
  if (strides.length > 1)
    parts.push({ axis: { kind: 'levels', count: strides.length }, at: (one) => strides.indexOf(stride(one)) / (strides.length - 1) });
  if (shapes.length > 1)
    parts.push({ axis: { kind: 'choice', count: shapes.length }, at: (one) => shapes.indexOf(shapeOf(one)) / (shapes.length - 1) });
  return { axes: parts.map(({ axis }) => axis), pointOf: (one) => parts.map(({ at }) => at(one)) };
}

/** What of a combination is neither place, window, stride nor control: its schedule, and how it is stored. */
export function shapeOf({ axes }: StudiedCombination): string {
  const own = Object.entries(axes).filter(([name]) => !['endpoint', 'tokens', 'window', 'stride', 'reverse', 'scramble'].includes(name));
  const { method, ...others } = Object.fromEntries(own);
  return [String(method), ...Object.entries(others).map(([name, value]) => `${name} ${value}`)].join(', ');
}
