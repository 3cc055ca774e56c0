import { Gram } from '../../merge/engine/passes/gram-matrix.ts';
import { ROLES } from '../../model/roles/types.ts';
import type { DiffCell, DiffPair, DiffRole, Distance } from './types.ts';
import type { DiffUnit } from './units.ts';

/** Units that are looked at together, and the sum of their products. */
export interface Group {
  readonly role: DiffRole | null;
  readonly layer: number | null;
  readonly expert: number | null;
  /** Indices into the units. */
  readonly units: number[];
  readonly gram: Gram;
}

export interface Groups {
  readonly total: Group;
  readonly roles: readonly Group[];
  /** By (layer, role). */
  readonly layerRoles: readonly Group[];
  /** Of whole layers, those of multi-token prediction apart. */
  readonly layers: readonly Group[];
  readonly experts: readonly Group[];
}

const ROLE_ORDER: readonly DiffRole[] = [...ROLES, 'mtp', 'unknown'];
/** Tensors that a pair lists as furthest apart. */
const OUTLIERS = 20;

export function groupUnits(units: readonly DiffUnit[], grams: readonly Gram[], inputs: number): Groups {
  const maps = {
    total: new Map(),
    roles: new Map(),
    layerRoles: new Map(),
    layers: new Map(),
    experts: new Map(),
  } as const satisfies Record<keyof Groups, Map<string, Group>>;
  const put = (map: Map<string, Group>, index: number, of: Pick<Group, 'role' | 'layer' | 'expert'>): void => {
    const key = `${of.layer} ${of.role} ${of.expert}`;
    let group = map.get(key);
    if (group === undefined) {
      group = { ...of, units: [], gram: new Gram(inputs, true) };
      map.set(key, group);
    }
    group.units.push(index);
    group.gram.add(grams[index]!);
  };
  for (const [i, { role, layer, expert }] of units.entries()) {
    put(maps.total, i, { role: null, layer: null, expert: null });
    put(maps.roles, i, { role, layer: null, expert: null });
    put(maps.layerRoles, i, { role, layer, expert: null });
    if (layer !== null && role !== 'mtp') put(maps.layers, i, { role: null, layer, expert: null });
    if (layer !== null && expert !== null) put(maps.experts, i, { role, layer, expert });
  }
  const sorted = (map: Map<string, Group>) =>
    [...map.values()].sort(
      (a, b) =>
        (a.layer ?? -1) - (b.layer ?? -1) ||
        ROLE_ORDER.indexOf(a.role!) - ROLE_ORDER.indexOf(b.role!) ||
        (a.expert ?? -1) - (b.expert ?? -1),
    );
  return {
    total: maps.total.get('null null null') ?? { role: null, layer: null, expert: null, units: [], gram: new Gram(inputs, true) },
    roles: sorted(maps.roles),
    layerRoles: sorted(maps.layerRoles),
    layers: sorted(maps.layers),
    experts: sorted(maps.experts),
  };
}

/** How far input a is from input b. */
function distanceOf(gram: Gram, a: number, b: number): Distance {
  return {
    normA: gram.norm(a),
    normB: gram.norm(b),
    relativeL2: gram.relativeDistance(a, b),
    cosine: gram.cosine(a, b),
    max: Math.abs(a - b) === 1 ? gram.largestStep(Math.max(a, b)) : null,
  };
}

/** Neighbours with every cell; other pairs with the total and the roles. */
export function diffPairs(units: readonly DiffUnit[], grams: readonly Gram[], groups: Groups, inputs: number): DiffPair[] {
  const pairs: [number, number][] = [];
  for (let a = 0; a < inputs; a++) for (let b = a + 1; b < inputs; b++) pairs.push([a, b]);
  pairs.sort(([a, b], [c, d]) => Number(b - a !== 1) - Number(d - c !== 1) || a - c || b - d);
  return pairs.map(([a, b]) => {
    const cell = ({ units: of, gram }: Group): DiffCell => ({
      ...distanceOf(gram, a, b),
      tensors: new Set(of.map((i) => units[i]!.name)).size,
      elements: gram.elements,
    });
    const consecutive = b === a + 1;
    return {
      a,
      b,
      consecutive,
      total: cell(groups.total),
      roles: groups.roles.map((group) => ({ role: group.role!, ...cell(group) })),
      layers: consecutive ? groups.layerRoles.map((group) => ({ layer: group.layer, role: group.role!, ...cell(group) })) : [],
      experts: consecutive ? groups.experts.map((group) => ({ layer: group.layer!, expert: group.expert!, ...cell(group) })) : [],
      outliers: consecutive ? furthest(units, grams, a, b) : [],
    };
  });
}

function furthest(units: readonly DiffUnit[], grams: readonly Gram[], a: number, b: number): DiffPair['outliers'] {
  const far = (i: number) => grams[i]!.relativeDistance(a, b) ?? Number.POSITIVE_INFINITY;
  return units
    .map((_, i) => i)
    .filter((i) => far(i) > 0)
    .sort((i, j) => far(j) - far(i) || i - j)
    .slice(0, OUTLIERS)
    .map((i) => {
      const { name, role, layer, expert, elements } = units[i]!;
      return { name, role, layer, expert, elements, ...distanceOf(grams[i]!, a, b) };
    });
}
