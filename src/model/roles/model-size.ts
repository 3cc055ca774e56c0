import { dtypeByCode } from '../../base/dtype.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type CheckpointRoles, checkpointRoles } from './checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber } from './model-config.ts';
import { BESIDE_WEIGHTS, weightsPerElement } from './packed.ts';
import { structure } from './structure.ts';
import { storedTwice, type TiedPair } from './tied.ts';
import type { TensorRole } from './types.ts';

/** How large a model is, as far as configuration and tensors say. */
export interface ModelSize {
  /**
   * Parameters, each once: weights, without buffers, scales and a second copy of tied embeddings. Of packed
   * codes, the weights that they stand for.
   */
  readonly total: number;
  /**
   * Parameters that act on one token: as `total` for a dense model. Null where nothing says how many experts
   * act.
   */
  readonly active: number | null;
  /**
   * Experts of a layer, and how many of them a token is sent to (null where unknown); null for a dense model,
   * and where nothing tells how many there are.
   */
  readonly experts: { readonly count: number; readonly perToken: number | null } | null;
  /** Where configuration and tensors leave something open, a line each. */
  readonly notes: readonly string[];
}

/**
 * Total and active parameters of a checkpoint: active = total − routed · (1 − k/E), with `routed` the
 * parameters of the E routed experts, of which k act on a token. Which tensors are routed experts, the naming
 * rules say; routers and shared experts are not among them. Reads headers and config.json.
 * @throws MergeError whatever `openCheckpoint` throws
 */
export async function modelSize(path: string): Promise<ModelSize> {
  const checkpoint = await openCheckpoint(path);
  const roles = await checkpointRoles(checkpoint);
  return countParameters(checkpoint, roles, await storedTwice(checkpoint, roles));
}

/**
 * {@link modelSize} of an open checkpoint.
 * @param tied embeddings and heads that are one, see {@link storedTwice}
 */
export function countParameters(checkpoint: Checkpoint, roles: CheckpointRoles, tied: readonly TiedPair[]): ModelSize {
  const { config } = roles;
  const notes: string[] = [];
  if (config === null) notes.push('no config.json that can be read, so the size of the model is taken from its tensors alone');
  const perElement = weightsPerElement(checkpoint, roles);
  let total = 0;
  let routed = 0;
  let highest = -1;
  let unknown = false;
  for (const [s, { tensors }] of checkpoint.shards.entries()) {
    const { shapes, dtypes, count } = tensors;
    for (let row = 0; row < count; row++) {
      const tensor = roles.of(s, row);
      unknown ||= tensor.role === null;
      if (!isParameter(tensor, dtypes[row]!)) continue;
      const size = elementCount(shapes[row]!) * perElement(s, row);
      total += size;
      if (tensor.role !== 'expert') continue;
      routed += size;
      if (typeof tensor.expert === 'number') highest = Math.max(highest, tensor.expert);
    }
  }
  total -= tiedCopies(checkpoint, tied);

  const said = configNumber(config, CONFIG_KEYS.experts);
  const numbered = highest >= 0 ? highest + 1 : null;
  const count =
    said !== null && numbered === 2 * said ? numbered : (said ?? numbered ?? (routed > 0 ? stackedExperts(checkpoint, roles) : null));
  const perToken = configNumber(config, CONFIG_KEYS.perToken);
  if (count === null && routed > 0) {
    notes.push('nothing says how many experts the model has, so how many parameters are active is not known');
    return { total, active: null, experts: null, notes };
  }
  if (count === null || count <= 1) return { total, active: total, experts: null, notes };
  if (routed === 0) {
    // Some configurations speak of experts that their model goes without.
    if (!unknown) return { total, active: total, experts: null, notes };
    notes.push(`config.json speaks of ${count} experts and no tensor looks like one, so how many parameters are active is not known`);
    return { total, active: null, experts: { count, perToken }, notes };
  }
  if (perToken === null || perToken > count) {
    notes.push(
      `the model has ${count} experts and config.json does not say how many act on a token, so how many parameters are active is not known`,
    );
    return { total, active: null, experts: { count, perToken: null }, notes };
  }
  return { total, active: Math.round(total - routed * (1 - perToken / count)), experts: { count, perToken }, notes };
}

/**
 * Experts of a layer where a tensor holds all of them, by its shape and the router's; null where neither
 * tells.
 */
function stackedExperts(checkpoint: Checkpoint, roles: CheckpointRoles): number | null {
  const counts = structure(checkpoint, roles).expertLayers.flatMap(({ experts }) => experts ?? []);
  return counts.length === 0 ? null : Math.max(...counts);
}

/** Integers that no rule knows are no weights. */
function isParameter({ role }: TensorRole, dtypeCode: number): boolean {
  if (BESIDE_WEIGHTS.has(role)) return false;
  const { kind, name } = dtypeByCode(dtypeCode);
  return kind !== 'integer' || (role !== null && name !== 'I64');
}

/** Elements of output heads that are stored beside the embedding they are tied to. */
function tiedCopies(checkpoint: Checkpoint, tied: readonly TiedPair[]): number {
  const heads = new Map(tied.map(({ head }) => [`${head.shard}:${head.row}`, checkpoint.shards[head.shard]!.tensors.shapes[head.row]!]));
  return [...heads.values()].reduce((sum, shape) => sum + elementCount(shape), 0);
}
