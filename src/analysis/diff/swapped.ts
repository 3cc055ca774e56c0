import { median } from '../../base/numbers/median.ts';
import { type GramOptions, type GramRange, gramOf } from '../../merge/engine/passes/gram.ts';
import { Gram } from '../../merge/engine/passes/gram-matrix.ts';
import type { Group } from './cells.ts';
import { type DraftFinding, type Evidence, short } from './findings.ts';
import type { DiffUnit } from './units.ts';

/**
 * A unit that changed places is as far from itself as from any other, which is about √2 of its norm; training
 * moves far less between two checkpoints.
 */
const SUSPICIOUS = 0.3;
/** Another place explains it where it is so many times nearer. */
const MENDED = 4;
/** Candidates of one kind that are compared with each other. */
const MOST_CANDIDATES = 64;
/** Elements of a tensor that are looked at for that. */
const SAMPLE = 1 << 16;

/** A layer or expert, by its matrices. */
interface Place {
  readonly group: Group;
  /**
   * Norms and biases are much the same in all layers, and where the weights are small most of a layer's norm:
   * with them no place would look left.
   */
  readonly matrices: readonly number[];
  readonly gram: Gram;
}

/**
 * Layers, and experts of a layer, that seem to have changed places between neighbours: far from themselves,
 * and near to where another one was. Reads samples of the candidates only.
 */
export async function swappedPlaces(evidence: Evidence, options: GramOptions): Promise<DraftFinding[]> {
  const { groups, paths } = evidence;
  const drafts: DraftFinding[] = [];
  const layerPlaces = groups.layers.map((group) => placeOf(group, evidence));
  const byLayer = new Map<number, Place[]>();
  for (const group of groups.experts) byLayer.set(group.layer!, [...(byLayer.get(group.layer!) ?? []), placeOf(group, evidence)]);
  for (let pair = 0; pair < paths.length - 1; pair++) {
    const layers = await permuted(layerPlaces, evidence, pair, options);
    drafts.push(...layers.map((cycle) => draft(cycle, 'layers', ({ layer }) => layer!, evidence, pair)));
    const moved = new Set(layers.flat().map(({ group }) => group.layer));
    for (const [layer, experts] of byLayer) {
      if (moved.has(layer)) continue;
      const cycles = await permuted(experts, evidence, pair, options);
      drafts.push(...cycles.map((cycle) => draft(cycle, `in layer ${layer} experts`, ({ expert }) => expert!, evidence, pair)));
    }
  }
  return drafts;
}

function placeOf(group: Group, { units, grams, paths }: Evidence): Place {
  const matrices = group.units.filter((i) => units[i]!.matrix);
  const gram = new Gram(paths.length, true);
  for (const i of matrices) gram.add(grams[i]!);
  return { group, matrices, gram };
}

function draft(cycle: readonly Place[], what: string, number: (group: Group) => number, { paths }: Evidence, pair: number): DraftFinding {
  const numbers = cycle.map(({ group }) => number(group));
  const changed =
    cycle.length === 2
      ? `${numbers[0]} and ${numbers[1]} have changed places`
      : `${[...numbers, numbers[0]].join(' → ')} have changed places`;
  const distances = cycle.map(({ gram }) => short(gram.relativeDistance(pair, pair + 1) ?? Number.POSITIVE_INFINITY)).join(', ');
  const message = `${what} ${changed} between ${paths[pair]} and ${paths[pair + 1]} (relative L2 in place: ${distances}): their average would be neither`;
  const { layer, expert } = cycle[0]!.group;
  return { kind: 'swapped', message, checkpoint: null, pair, role: null, layer, expert, units: cycle.flatMap(({ group }) => group.units) };
}

/** Cycles of places each of which lies, in the later checkpoint, where the next one was. */
async function permuted(places: readonly Place[], { units }: Evidence, pair: number, options: GramOptions): Promise<Place[][]> {
  const far = ({ gram }: Place) => gram.relativeDistance(pair, pair + 1) ?? 0;
  const usual = median(places.map(far));
  // Where all are far apart, these are not two checkpoints of one run, unless all have changed places: then
  // each still has a near one.
  const candidates = places
    .filter((place) => far(place) > SUSPICIOUS && (far(place) > MENDED * usual || usual > SUSPICIOUS))
    .slice(0, MOST_CANDIDATES);
  if (candidates.length < 2) return [];
  const nearest = await nearestPlaces(candidates, units, pair, options);
  const cycles: Place[][] = [];
  const seen = new Set<number>();
  for (let start = 0; start < candidates.length; start++) {
    const cycle: number[] = [];
    for (let at: number | null = start; at !== null && !seen.has(at); at = nearest[at]!) {
      seen.add(at);
      cycle.push(at);
    }
    if (cycle.length > 1 && nearest[cycle.at(-1)!] === start) cycles.push(cycle.map((i) => candidates[i]!));
  }
  return cycles;
}

/**
 * For each candidate of the earlier checkpoint the candidate in whose place it is in the later one; null
 * where it is nearer to its own.
 */
async function nearestPlaces(
  candidates: readonly Place[],
  units: readonly DiffUnit[],
  pair: number,
  options: GramOptions,
): Promise<(number | null)[]> {
  const ranges: GramRange[] = [];
  const places: [number, number][] = [];
  for (const [i, from] of candidates.entries()) {
    const ours = new Map(from.matrices.map((u) => [keyOf(units[u]!, from.group), units[u]!]));
    for (const [j, to] of candidates.entries()) {
      for (const u of to.matrices) {
        const [own, other] = [ours.get(keyOf(units[u]!, to.group)), units[u]!];
        if (own === undefined || own.elements !== other.elements) continue;
        const [a, b] = [own.ranges[0]!, other.ranges[0]!];
        ranges.push({ elements: Math.min(a.elements, b.elements, SAMPLE), sources: [a.sources[pair]!, b.sources[pair + 1]!] });
        places.push([i, j]);
      }
    }
  }
  const sums = candidates.map(() => candidates.map(() => new Gram(2, true)));
  for (const [r, gram] of (await gramOf(ranges, { ...options, steps: true })).entries()) {
    const [i, j] = places[r]!;
    sums[i]![j]!.add(gram);
  }
  return sums.map((row, i) => {
    const distances = row.map((gram) =>
      gram.elements === 0 ? Number.POSITIVE_INFINITY : (gram.relativeDistance(0, 1) ?? Number.POSITIVE_INFINITY),
    );
    const best = distances.indexOf(Math.min(...distances));
    return best !== i && distances[best]! * MENDED < distances[i]! ? best : null;
  });
}

/** What a tensor is called in whichever layer, or expert of its layer, it lies. */
function keyOf({ name, expert, kind }: DiffUnit, group: Group): string {
  if (group.expert !== null) return kind;
  return `${kind} ${expert} ${name.match(/\d+/g)?.slice(1).join(' ') ?? ''}`;
}
