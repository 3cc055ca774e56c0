import { median } from '../../base/numbers/median.ts';
import type { Gram } from '../../merge/engine/passes/gram-matrix.ts';
import { roleWords } from '../../model/roles/words.ts';
import type { Group, Groups } from './cells.ts';
import type { DiffFinding } from './types.ts';
import type { DiffUnit } from './units.ts';
import { unitWords } from './words.ts';

/**
 * So many times further apart than the median of its kind is an outlier: layers and experts of healthy runs
 * stay within a factor of about 3.
 */
const OUTLIER_FACTOR = 8;
/** Of a kind there must be so many before one of them can stand out. */
const LEAST_OF_A_KIND = 4;
/**
 * An element that moved so many times as far as its tensor's weights are large, and is most of what its
 * tensor moved, was not trained there.
 */
const SPIKE_FACTOR = 50;
const FEW_ELEMENTS = 16;
/** Where no more than this part of the tensors moved, the two checkpoints are one and an edit of it. */
const FEW = 0.1;
const NAMED = 10;

/** What the findings are made from. */
export interface Evidence {
  readonly paths: readonly string[];
  readonly units: readonly DiffUnit[];
  readonly grams: readonly Gram[];
  readonly groups: Groups;
}

/** A finding as it is made: which units it speaks for, so that they are not named a second time. */
export interface DraftFinding extends Omit<DiffFinding, 'tensors'> {
  readonly units: readonly number[];
}

type Place = Pick<DraftFinding, 'role' | 'layer' | 'expert'>;

/** Everything that stands out, worst first: not finite, zero, far apart, unchanged. */
export function findingsOf(evidence: Evidence, swapped: readonly DraftFinding[]): DiffFinding[] {
  const said = new Set<string>();
  const drafts = [...nonfinite(evidence), ...zeros(evidence), ...swapped];
  for (const { pair, units } of drafts) for (const unit of units) said.add(`${pair} ${unit}`).add(`null ${unit}`);
  const fresh = (pair: number) => (unit: number) => !said.has(`${pair} ${unit}`) && !said.has(`null ${unit}`);
  for (let pair = 0; pair < evidence.paths.length - 1; pair++) drafts.push(...outliers(evidence, pair, fresh(pair)));
  return [...atOneCheckpoint(drafts), ...unchanged(evidence)].map(({ units, ...finding }) => ({
    ...finding,
    tensors: namesOf(evidence, units).slice(0, NAMED),
  }));
}

function namesOf({ units }: Evidence, indices: readonly number[]): string[] {
  return [...new Set(indices.map((i) => units[i]!.name))];
}

function nonfinite({ paths, units, grams }: Evidence): DraftFinding[] {
  return paths.flatMap((path, checkpoint) => {
    const counts = new Map<string, { nan: number; inf: number; of: number[] }>();
    for (const [i, gram] of grams.entries()) {
      const [nan, inf] = [gram.nan(checkpoint), gram.inf(checkpoint)];
      if (nan + inf === 0) continue;
      const { name } = units[i]!;
      const entry = counts.get(name) ?? { nan: 0, inf: 0, of: [] };
      counts.set(name, { nan: entry.nan + nan, inf: entry.inf + inf, of: [...entry.of, i] });
    }
    return [...counts].map(([name, { nan, inf, of }]): DraftFinding => {
      const { role, layer, expert } = units[of[0]!]!;
      const message = `tensor ${name} of ${path} holds ${nan} NaN and ${inf} infinite values`;
      return { kind: 'nonfinite', message, checkpoint, pair: null, role, layer, expert: of.length > 1 ? null : expert, units: of };
    });
  });
}

/**
 * Experts, then single tensors, that are zero in one checkpoint and not in another; and matrices that are
 * zero in all.
 */
function zeros({ paths, units, grams, groups }: Evidence): DraftFinding[] {
  const drafts: DraftFinding[] = [];
  const taken = new Set<number>();
  const look = (
    what: string,
    gram: Gram,
    of: readonly number[],
    place: Place,
    { matrix, isBias }: { matrix: boolean; isBias: boolean },
  ): void => {
    if (gram.elements === 0 || !gram.complete || of.every((i) => taken.has(i))) return;
    const norms = paths.map((_, n) => gram.norm(n));
    const zero = norms.flatMap((norm, n) => (norm === 0 ? [n] : []));
    const all = zero.length === paths.length;
    if (zero.length === 0 || (all && !matrix)) return;
    // Biases begin at zero, a router's correction bias always: only one that went back to zero is broken.
    if (isBias && norms.lastIndexOf(0) === zero.length - 1) return;
    for (const i of of) taken.add(i);
    const other = norms.findIndex((norm) => norm > 0);
    const where = all
      ? 'every checkpoint'
      : `${zero.map((n) => paths[n]).join(', ')} (its norm is ${short(norms[other]!)} in ${paths[other]})`;
    const checkpoint = zero.length === 1 ? zero[0]! : null;
    drafts.push({ kind: 'zero', message: `${what} is zero in ${where}`, checkpoint, pair: null, ...placeOf(place), units: of });
  };
  for (const group of groups.experts) look(groupWords(group), group.gram, group.units, group, { matrix: true, isBias: false });
  for (const [i, gram] of grams.entries()) {
    const unit = units[i]!;
    look(`tensor ${unitWords(unit)}`, gram, [i], unit, { matrix: unit.matrix, isBias: !unit.matrix && /bias$/.test(unit.name) });
  }
  return drafts;
}

/**
 * The units that moved, where that is only a few: then there is no kind to compare them with, and nothing
 * remarkable in the others.
 */
function fewThatMoved({ grams }: Evidence, pair: number): number[] | null {
  const moved = grams.flatMap((gram, i) => (gram.distance(pair, pair + 1) === 0 ? [] : [i]));
  return moved.length <= FEW * grams.length ? moved : null;
}

/**
 * Layers, then experts, most of whose tensors are much further apart than others of their kind; then single
 * tensors, and single elements.
 */
function outliers(evidence: Evidence, pair: number, fresh: (unit: number) => boolean): DraftFinding[] {
  const { paths, units, grams, groups } = evidence;
  const drafts: DraftFinding[] = [];
  const few = fewThatMoved(evidence, pair);
  if (few !== null) {
    const left = few.filter(fresh);
    if (left.length === 0) return [];
    const all = new Set(units.map(({ name }) => name)).size;
    const what =
      left.length === 1
        ? `only tensor ${unitWords(units[left[0]!]!)} differs`
        : `only ${namesOf(evidence, left).length} of ${all} tensors differ`;
    const message = `${what} between ${paths[pair]} and ${paths[pair + 1]}, and all others are the same to the bit`;
    const place = left.length === 1 ? placeOf(units[left[0]!]!) : { role: null, layer: null, expert: null };
    return [{ kind: 'outlier', message, checkpoint: null, pair, ...place, units: left }];
  }
  const taken = new Set<number>();
  const far = (gram: Gram) => gram.relativeDistance(pair, pair + 1) ?? Number.POSITIVE_INFINITY;
  const usual = grams.map(() => 0);
  for (const members of kindsOf(units).values()) {
    if (members.length < LEAST_OF_A_KIND) continue;
    const middle = median(members.map((i) => far(grams[i]!)));
    for (const i of members) usual[i] = middle;
  }
  const isOutlier = grams.map((gram, i) => usual[i]! > 0 && far(gram) > OUTLIER_FACTOR * usual[i]!);
  const say = (message: string, of: readonly number[], place: Place): void => {
    for (const i of of) taken.add(i);
    drafts.push({ kind: 'outlier', message: `${message}?`, checkpoint: null, pair, ...placeOf(place), units: of });
  };
  const further = (what: string, others: string, gram: Gram, middle: number) => {
    const norms = `its norm goes from ${short(gram.norm(pair))} to ${short(gram.norm(pair + 1))}`;
    return `${what} is ${times(far(gram) / middle)} further apart than ${others} (relative L2 ${short(far(gram))} against ${short(middle)}; ${norms}): broken`;
  };
  for (const [all, others] of [
    [groups.layers, 'layers usually are'],
    [groups.experts, 'experts usually are'],
  ] as const) {
    const middle = median(all.map(({ gram }) => far(gram)));
    for (const group of all) {
      const { units: of, gram } = group;
      if (of.filter((i) => isOutlier[i]).length <= of.length / 2 || of.some((i) => taken.has(i) || !fresh(i))) continue;
      say(further(groupWords(group), others, gram, middle), of, group);
    }
  }
  for (const [i, gram] of grams.entries()) {
    if (taken.has(i) || !fresh(i)) continue;
    const [largest, moved] = [gram.largestStep(pair + 1), gram.distance(pair, pair + 1)];
    const size = Math.min(gram.norm(pair), gram.norm(pair + 1)) / Math.sqrt(gram.elements);
    const what = `tensor ${unitWords(units[i]!)}`;
    if (gram.elements >= FEW_ELEMENTS && size > 0 && largest > SPIKE_FACTOR * size && largest > moved / 2) {
      say(`one element of ${what} moves by ${short(largest)}, where its weights are about ${short(size)}: a flipped bit`, [i], units[i]!);
    } else if (isOutlier[i]) {
      say(further(what, 'others of its kind', gram, usual[i]!), [i], units[i]!);
    }
  }
  return drafts;
}

/** What stands out both on the way to a checkpoint and on the way from it is that checkpoint's. */
function atOneCheckpoint(drafts: readonly DraftFinding[]): DraftFinding[] {
  const key = ({ kind, layer, expert, units }: DraftFinding) => `${kind} ${layer} ${expert} ${units.join()}`;
  const merged: DraftFinding[] = [];
  for (const draft of drafts) {
    const before =
      draft.pair === null ? -1 : merged.findIndex((d) => d.pair === draft.pair! - 1 && d.kind === 'outlier' && key(d) === key(draft));
    if (before < 0) merged.push(draft);
    else merged[before] = { ...merged[before]!, checkpoint: draft.pair };
  }
  return merged;
}

/** Roles, layers, experts and matrices that are bit-equal where most of their kind moved. */
function unchanged(evidence: Evidence): DraftFinding[] {
  const { paths, units, grams, groups } = evidence;
  const pairs = paths.slice(1).map((_, pair) => pair);
  const still = (gram: Gram, pair: number) => gram.distance(pair, pair + 1) === 0 && gram.complete;
  const drafts: DraftFinding[] = [];
  for (const pair of pairs) {
    if (fewThatMoved(evidence, pair) !== null) continue;
    const taken = new Set<number>();
    const look = (what: string, gram: Gram, of: readonly number[], place: Place): void => {
      if (!still(gram, pair) || gram.norm(pair) === 0 || of.every((i) => taken.has(i))) return;
      for (const i of of) taken.add(i);
      const message = `${what} is the same to the bit in ${paths[pair]} and ${paths[pair + 1]}: frozen?`;
      drafts.push({ kind: 'unchanged', message, checkpoint: null, pair, ...placeOf(place), units: of });
    };
    const most = (members: readonly Gram[]) =>
      members.length >= LEAST_OF_A_KIND && members.filter((gram) => still(gram, pair)).length <= members.length / 2;
    // Norms in 16 bits and scales of quantised weights often stay as they are while the weights move.
    const moves = (i: number) => units[i]!.matrix && units[i]!.role !== 'quant_scale';
    for (const group of groups.roles)
      if (group.units.some(moves)) look(`everything of the role ${roleWords(group.role!)}`, group.gram, group.units, group);
    if (most(groups.layers.map(({ gram }) => gram)))
      for (const group of groups.layers) look(groupWords(group), group.gram, group.units, group);
    if (most(groups.experts.map(({ gram }) => gram)))
      for (const group of groups.experts) look(groupWords(group), group.gram, group.units, group);
    for (const members of kindsOf(units).values()) {
      if (!most(members.map((i) => grams[i]!))) continue;
      for (const i of members) if (moves(i)) look(`tensor ${unitWords(units[i]!)}`, grams[i]!, [i], units[i]!);
    }
  }
  return drafts;
}

function placeOf({ role, layer, expert }: Place): Place {
  return { role, layer, expert };
}

function kindsOf(units: readonly DiffUnit[]): Map<string, number[]> {
  const kinds = new Map<string, number[]>();
  for (const [i, { kind }] of units.entries()) {
    const members = kinds.get(kind);
    if (members === undefined) kinds.set(kind, [i]);
    else members.push(i);
  }
  return kinds;
}

function groupWords({ layer, expert }: Pick<Group, 'layer' | 'expert'>): string {
  return expert === null ? `layer ${layer}` : `layer ${layer}, expert ${expert}`;
}

/** Three digits, plain or with an exponent. */
export function short(value: number): string {
  return value === Number.POSITIVE_INFINITY ? 'infinite' : String(Number(value.toPrecision(3)));
}

function times(factor: number): string {
  return factor === Number.POSITIVE_INFINITY
    ? 'infinitely many times'
    : `${factor < 100 ? Number(factor.toPrecision(2)) : Math.round(factor)} times`;
}
