import type { Goal } from '../../checkpoints/results/types.ts';
import { parseDistance } from '../../checkpoints/run/quantity.ts';
import { type Arm, type ArtefactConclusion, concludeArtefact } from '../conclusion/artefact.ts';
import type { Scored } from '../conclusion/difference.ts';
import { concludeRecipes, type EndpointScores, type RecipesConclusion } from '../conclusion/replicates.ts';
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

/** Whether the best output at the newest endpoint is better than the newest checkpoint and the plain means there. */
export function artefactOf(arms: readonly PlacedArm[], goal: Goal, validation: SecondSet | undefined): ArtefactConclusion {
  const end = newestEnd(arms);
  const there = arms.filter(({ endpoint }) => endpoint === end);
  const references = there.filter(({ kind }) => kind === 'newest' || (kind === 'mean' && meansAreReferences(arms)));
  const means = new Set(references.map(({ recipe }) => recipe));
  const outputs = there.filter(({ kind, recipe }) => kind === 'output' && !means.has(recipe));
  const { axes, pointOf } = axesOf(outputs.map(({ is }) => is[0]!));
  return concludeArtefact({
    goal,
    axes,
    arms: outputs.map(({ is, score }): Arm => ({ name: is[0]!.name, point: pointOf(is[0]!), control: is[0]!.control, score })),
    references: references.map((arm) => ({ name: arm.is[0]!.name, label: labelOf(arm), score: arm.score })),
    ...(validation !== undefined && { validation }),
  });
}

/** What is said of recipes, and what they are compared with, in the order of the differences. */
export interface RecipesOfGrid extends RecipesConclusion {
  readonly references: readonly string[];
}

/** Whether the best recipe is better than the same at the endpoints of the run. */
export function recipesOfGrid(arms: readonly PlacedArm[], goal: Goal): RecipesOfGrid {
  const isReference = (arm: PlacedArm) => arm.kind === 'newest' || (arm.kind === 'mean' && meansAreReferences(arms));
  const references = byRecipe(arms.filter(isReference));
  const means = new Set(arms.filter(isReference).map(({ recipe }) => recipe));
  const recipes = byRecipe(arms.filter(({ kind, recipe }) => kind === 'output' && !means.has(recipe)));
  const compared = references.map(({ name, endpoints, window }) => ({
    name,
    endpoints,
    label: window === null ? 'newest' : `mean of ${window}`,
  }));
  return { ...concludeRecipes({ goal, recipes, references: compared }), references: compared.map(({ label }) => label) };
}

/** The place at which the newest outputs end. */
export function newestEnd(arms: readonly StudiedArm[]): number {
  return Math.max(...arms.flatMap(({ kind, endpoint }) => (kind === 'output' ? [endpoint] : [])));
}

export function labelOf({ kind, is, endpoint }: StudiedArm): string {
  return kind === 'newest' ? `newest (step ${endpoint})` : `mean of ${windowText(is[0]!)}`;
}

export function windowText({ axes }: StudiedCombination): string | null {
  return axes.window === undefined ? null : String(axes.window);
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
