import { dtypeByCode } from '../../base/dtype.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type CheckpointRoles, checkpointRoles } from './checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber, type ModelConfig } from './model-config.ts';
import { tiedPairs } from './tied.ts';
import type { Role, TensorRole } from './types.ts';

/** How large a model is, as far as configuration and tensors say. */
export interface ModelSize {
  /**
   * Parameters, each once: weights, without buffers, scales and a second copy of tied embeddings. Of packed
   * codes, the weights that they stand for.
   */
  readonly total: number;
  /**
   * Parameters that act on one token. As `total` for a dense model, and where the configuration does not say
   * how many experts act.
   */
  readonly active: number;
  /**
   * Experts of a layer, and how many of them a token is sent to (null where unknown); null for a dense model.
   */
  readonly experts: { readonly count: number; readonly perToken: number | null } | null;
  /** Where configuration and tensors leave something open, a line each. */
  readonly notes: readonly string[];
}

/** What is stored beside the weights. */
const NO_PARAMETERS: ReadonlySet<Role | null> = new Set([
  'rope_buffer',
  'buffer',
  'router_buffer',
  'quant_scale',
  'quant_meta',
  'optimizer',
]);

/**
 * Total and active parameters of a checkpoint: active = total − routed · (1 − k/E), with `routed` the
 * parameters of the E routed experts, of which k act on a token. Which tensors are routed experts, the naming
 * rules say; routers and shared experts are not among them. Reads headers and config.json.
 * @throws MergeError whatever `openCheckpoint` throws
 */
export async function modelSize(path: string): Promise<ModelSize> {
  const checkpoint = await openCheckpoint(path);
  return countParameters(checkpoint, await checkpointRoles(checkpoint));
}

/** {@link modelSize} of an open checkpoint. */
export function countParameters(checkpoint: Checkpoint, roles: CheckpointRoles): ModelSize {
  const { config } = roles;
  const notes: string[] = [];
  if (config === null) notes.push('no config.json that can be read, so the size of the model is taken from its tensors alone');
  const packed = 32 / packedBits(config);
  let total = 0;
  let routed = 0;
  let highest = -1;
  for (const [s, { tensors }] of checkpoint.shards.entries()) {
    const { shapes, dtypes, count } = tensors;
    for (let row = 0; row < count; row++) {
      const tensor = roles.of(s, row);
      const size = elementCount(shapes[row]!) * weightsPerElement(tensor, dtypes[row]!, packed);
      total += size;
      if (tensor.role !== 'expert') continue;
      routed += size;
      if (typeof tensor.expert === 'number') highest = Math.max(highest, tensor.expert);
    }
  }
  total -= tiedCopies(checkpoint, roles);

  const count = configNumber(config, CONFIG_KEYS.experts) ?? (highest >= 0 ? highest + 1 : null);
  const perToken = configNumber(config, CONFIG_KEYS.perToken);
  if (count === null || count <= 1) return { total, active: total, experts: null, notes };
  if (routed === 0) {
    notes.push(`config.json speaks of ${count} experts and no tensor looks like one, so all parameters count as active`);
    return { total, active: total, experts: { count, perToken }, notes };
  }
  if (perToken === null || perToken > count) {
    notes.push(`the model has ${count} experts and config.json does not say how many act on a token, so all parameters count as active`);
    return { total, active: total, experts: { count, perToken: null }, notes };
  }
  return { total, active: Math.round(total - routed * (1 - perToken / count)), experts: { count, perToken }, notes };
}

/**
 * How many weights one stored element stands for. 4-bit codes lie two in a byte, codes of GPTQ, AWQ and
 * compressed-tensors `packed` in an I32.
 */
function weightsPerElement({ role }: TensorRole, dtypeCode: number, packed: number): number {
  if (NO_PARAMETERS.has(role)) return 0;
  const { kind, name } = dtypeByCode(dtypeCode);
  if (kind !== 'integer') return 1;
  if (role === null || name === 'I64') return 0;
  return name === 'U8' ? 2 : name === 'I32' ? packed : 1;
}

/** Bits of a packed code, as the configuration of GPTQ, AWQ or compressed-tensors has it. */
function packedBits(config: ModelConfig | null): number {
  const text = JSON.stringify(config?.quantization_config ?? null);
  return Number(/"(?:bits|num_bits)":([2348])\b/.exec(text)?.[1] ?? 4);
}

/** Elements of output heads that are stored beside the embedding they are tied to. */
function tiedCopies(checkpoint: Checkpoint, roles: CheckpointRoles): number {
  const tied = tiedPairs(checkpoint, roles).filter(({ configured }) => configured === true);
  const heads = new Map(tied.map(({ head }) => [`${head.shard}:${head.row}`, checkpoint.shards[head.shard]!.tensors.shapes[head.row]!]));
  return [...heads.values()].reduce((sum, shape) => sum + elementCount(shape), 0);
}
