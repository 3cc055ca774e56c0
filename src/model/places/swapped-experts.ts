import type { Conflict, Warning } from '../../base/errors.ts';
import { dot } from '../../base/numbers/matrix.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { Units } from '../layout/units.ts';
import { checkpointRoles } from '../roles/checkpoint-roles.ts';
import { routingFunction } from '../routing/functions.ts';
import type { RouterLayer } from '../routing/types.ts';
import { identityOf, MARGIN, type Measure } from './identity.ts';
import { routersOfAll } from './router-layers.ts';
import { columnsOfRouter } from './router-rows.ts';
import { planSample, readSample, routerColumns } from './sample.ts';
import { cosines, type UnitRows, unitRows } from './similarity.ts';
import { movesText } from './words.ts';

/** Columns of a router's row that are compared, and elements of an expert. */
const ROUTER_COLUMNS = 64;
const EXPERT_ELEMENTS = 192;
/**
 * Matrices of an expert that are looked at, each a read: where rows seem to have moved, and where they
 * stayed.
 */
const EXPERT_MATRICES = { moved: 3, stayed: 1 } as const;
/**
 * In checkpoints of one layout, whose experts nobody wrote anew between them: layers whose experts are looked
 * at though rows stayed, and reads for all of them; one layer at least.
 */
const LOOKED_AT = { layers: 4, reads: 4096 } as const;
const SEED = 0;
/**
 * Pairs of checkpoints whose experts changed places, in some layer, after which no more are looked for: what
 * is wrong is wrong everywhere.
 */
const MOST_CONFLICTS = 8;

interface Sampled {
  readonly checkpoint: Checkpoint;
  readonly units: Units;
  readonly layer: RouterLayer;
  readonly rows: UnitRows;
  /** What the layer's experts lie in. */
  readonly layout: string;
}

/**
 * What stands in the way of averaging the experts of these checkpoints: layers whose experts changed places
 * between neighbours, with their router rows or without, whatever layouts these are in. Nothing for dense
 * models. Reads some columns of each router; and of experts some elements, in layers where rows seem to have
 * moved, in all where a checkpoint and the next are in different layouts (one of them was converted, and
 * converters that put experts in another order leave routers alone), and else in a few. Layers of other
 * shapes are not its business, nor are routers and experts that have nothing in common. Ends after the layer
 * with which eight pairs have been found.
 *
 * @param checkpoints the members, oldest first
 * @returns E_PERMUTED a pair and layer whose experts moved; and W_EXPERT_ORDER where router rows alone have
 * @throws MergeError E_INPUT_CHANGED; `signal.reason` on an abort
 */
export async function routerConflicts(
  checkpoints: readonly Checkpoint[],
  signal?: AbortSignal,
): Promise<{ readonly conflicts: readonly Conflict[]; readonly warnings: readonly Warning[] }> {
  const conflicts: Conflict[] = [];
  const warnings: Warning[] = [];
  const roles = await Promise.all(checkpoints.map(checkpointRoles));
  const units = checkpoints.map((checkpoint, m) => new Units(checkpoint, roles[m]!));
  const found = routersOfAll(checkpoints, roles).map(({ layers }) => new Map(layers.map((layer) => [layer.place, layer])));
  const places = [...(found.at(-1)?.keys() ?? [])];
  const looked = lookedAt(places, checkpoints.length, found.at(-1)?.get(places[0]!)?.experts ?? 0);
  const centred = routingFunction(roles.at(-1)?.config ?? null)?.score === 'softmax';
  const reader = new ByteReader();
  try {
    for (const place of places) {
      if (conflicts.length >= MOST_CONFLICTS) {
        const last = conflicts.pop()!;
        conflicts.push({ ...last, message: `${last.message}; further layers were not looked at` });
        break;
      }
      let previous: Sampled | null = null;
      for (const [m, checkpoint] of checkpoints.entries()) {
        signal?.throwIfAborted();
        const layer = found[m]!.get(place);
        if (layer === undefined) continue;
        const rows = unitRows(
          await columnsOfRouter(reader, checkpoint, layer, routerColumns(layer.width, ROUTER_COLUMNS, SEED)),
          layer.experts,
          centred,
        );
        const sampled: Sampled = { checkpoint, units: units[m]!, layer, rows, layout: layoutOf(layer) };
        if (previous !== null && previous.layer.experts === layer.experts && previous.rows.width === rows.width) {
          const look = looked.has(place) || previous.layout !== sampled.layout;
          const pair = await comparePair(previous, sampled, reader, look);
          if (pair?.code === 'E_PERMUTED') conflicts.push(pair);
          else if (pair !== null) warnings.push(pair);
        }
        previous = sampled;
      }
    }
  } finally {
    await reader.close();
  }
  return { conflicts, warnings };
}

type Pair = (Conflict & { readonly code: 'E_PERMUTED' }) | (Warning & { readonly code: 'W_EXPERT_ORDER' });

/** Places, from the first to the last, in which experts are looked at though nothing says that they moved. */
function lookedAt<Place>(places: readonly Place[], members: number, experts: number): ReadonlySet<Place> {
  const affordable = Math.floor(LOOKED_AT.reads / Math.max(1, members * experts * EXPERT_MATRICES.stayed));
  const count = Math.min(places.length, LOOKED_AT.layers, Math.max(1, affordable));
  const step = (places.length - 1) / Math.max(1, count - 1);
  return new Set(Array.from({ length: count }, (_, i) => places[Math.round(i * step)]!));
}

function layoutOf({ expertTensors }: RouterLayer): string {
  return expertTensors
    .map(({ name, shape }) => `${name} ${shape}`)
    .sort()
    .join('\n');
}

/** @param look at the experts though router rows stayed */
async function comparePair(a: Sampled, b: Sampled, reader: ByteReader, look: boolean): Promise<Pair | null> {
  const { experts, layer, router } = b.layer;
  const byRouter: Measure = { cosines: cosines(a.rows, b.rows), width: a.rows.width };
  const rowsMoved = !cannotHaveMoved(a.rows, b.rows) && identityOf(byRouter, null, experts).status === 'one-sided';
  if (!rowsMoved && !look) return null;
  const most = rowsMoved ? EXPERT_MATRICES.moved : EXPERT_MATRICES.stayed;
  const [x, y] = [await expertSample(a, most, reader), await expertSample(b, most, reader)];
  const byWeights = x !== null && y !== null && x.key === y.key ? { cosines: cosines(x.rows, y.rows), width: x.rows.width } : null;
  const { status, moved } = identityOf(byRouter, byWeights, experts);
  const where = `between ${a.checkpoint.path} and ${b.checkpoint.path}`;
  const permuted = (message: string): Pair => ({ code: 'E_PERMUTED', message, file: b.checkpoint.path, tensor: router.name });
  if (status === 'permuted') return permuted(`layer ${layer}: ${movesText(moved)} ${where}`);
  // Whatever rows did: what is averaged is the experts.
  const alone = byWeights === null ? null : identityOf(byWeights, null, experts);
  if (alone?.status === 'one-sided') {
    const but = rowsMoved ? 'did not move with them' : 'stayed';
    return permuted(`layer ${layer}: ${movesText(alone.moved)} ${where} by their weights, and rows of the router (${router.name}) ${but}`);
  }
  if (!rowsMoved) return null;
  const but = byWeights === null ? 'the experts could not be compared' : 'the experts did not';
  return {
    code: 'W_EXPERT_ORDER',
    message: `layer ${layer}: rows of the router (${router.name}) look exchanged ${where}, and ${but}: ${movesText(moved)}`,
  };
}

/** Where every row is so near to itself that no other order could be better by {@link MARGIN}. */
function cannotHaveMoved(a: UnitRows, b: UnitRows): boolean {
  const row = ({ data, width }: UnitRows, e: number) => data.subarray(e * width, (e + 1) * width);
  for (let e = 0; e < a.count; e++) if (1 - dot(row(a, e), row(b, e)) >= MARGIN.gain) return false;
  return true;
}

async function expertSample(
  { checkpoint, units, layer }: Sampled,
  most: number,
  reader: ByteReader,
): Promise<{ readonly key: string; readonly rows: UnitRows } | null> {
  const plan = planSample(layer, units, { size: EXPERT_ELEMENTS, most, seed: SEED });
  if (plan === null) return null;
  return { key: plan.key, rows: unitRows(await readSample(checkpoint, plan, layer.experts, reader), layer.experts, false) };
}
