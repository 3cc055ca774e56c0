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

/** Columns of a router's row that are compared, and elements of an expert where rows seem to have moved. */
const ROUTER_COLUMNS = 64;
const EXPERT_ELEMENTS = 192;
const EXPERT_MATRICES = 3;
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
}

/**
 * What stands in the way of averaging the experts of these checkpoints: layers whose experts changed places
 * between neighbours, whatever layouts these are in. Nothing for dense models. Reads some columns of each
 * router; experts' weights only where router rows seem to have moved. Layers of other shapes are not its business, nor are routers that
 * have nothing in common. Ends after the layer with which eight pairs have been found.
 *
 * @param checkpoints the members, oldest first
 * @returns E_PERMUTED a pair and layer; and W_EXPERT_ORDER where router rows alone have moved
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
        const sampled: Sampled = { checkpoint, units: units[m]!, layer, rows };
        if (previous !== null && previous.layer.experts === layer.experts && previous.rows.width === rows.width) {
          const pair = await comparePair(previous, sampled, reader);
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

async function comparePair(a: Sampled, b: Sampled, reader: ByteReader): Promise<Pair | null> {
  const { experts, layer, router } = b.layer;
  if (cannotHaveMoved(a.rows, b.rows)) return null;
  const byRouter: Measure = { cosines: cosines(a.rows, b.rows), width: a.rows.width };
  if (identityOf(byRouter, null, experts).status !== 'one-sided') return null;
  const [x, y] = [await expertSample(a, reader), await expertSample(b, reader)];
  const byWeights = x !== null && y !== null && x.key === y.key ? { cosines: cosines(x.rows, y.rows), width: x.rows.width } : null;
  const { status, moved } = identityOf(byRouter, byWeights, experts);
  const where = `between ${a.checkpoint.path} and ${b.checkpoint.path}`;
  if (status === 'permuted') {
    const message = `layer ${layer}: ${movesText(moved)} ${where}`;
    return { code: 'E_PERMUTED', message, file: b.checkpoint.path, tensor: router.name };
  }
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

async function expertSample({ checkpoint, units, layer }: Sampled, reader: ByteReader): Promise<{ key: string; rows: UnitRows } | null> {
  const plan = planSample(layer, units, { size: EXPERT_ELEMENTS, most: EXPERT_MATRICES, seed: SEED });
  if (plan === null) return null;
  return { key: plan.key, rows: unitRows(await readSample(checkpoint, plan, layer.experts, reader), layer.experts, false) };
}
