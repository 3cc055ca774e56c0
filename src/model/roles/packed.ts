import { dtypeByCode } from '../../base/dtype.ts';
import type { TensorTable } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import type { ModelConfig } from './model-config.ts';
import type { Role } from './types.ts';

/** What is stored beside the weights: these are neither parameters nor codes. */
export const BESIDE_WEIGHTS: ReadonlySet<Role | null> = new Set([
  'rope_buffer',
  'buffer',
  'router_buffer',
  'quant_scale',
  'quant_meta',
  'optimizer',
]);
/** Names of the scales of codes `X.weight` or `X`, for `$1`. */
const SCALES = ['$1.scale', '$1.weight_scale', '$1.weight_scale_inv', '$1_scale', '$1_scales', '$1.scales'] as const;
/** Bytes of two 4-bit codes each that share a scale: 32 (MXFP4) or 16 values (NVFP4). */
const PACKED_GROUPS: ReadonlySet<number> = new Set([16, 8]);
/** Dtypes of scales of 4-bit codes, beside which bytes are never INT8. */
const BYTE_SCALES: ReadonlySet<string> = new Set(['U8', 'F8_E8M0', 'F8_E4M3']);

/**
 * How many weights one stored element of a tensor stands for: 2 where it is a byte of two 4-bit codes, more
 * in an I32 of GPTQ, AWQ or compressed-tensors; 1 for everything that is not packed.
 */
export function weightsPerElement(checkpoint: Checkpoint, roles: CheckpointRoles): (shard: number, row: number) => number {
  const inWord = 32 / packedBits(roles.config);
  return (shard, row) => {
    const { tensors, name: file } = checkpoint.shards[shard]!;
    const { kind, name } = dtypeByCode(tensors.dtypes[row]!);
    if (kind !== 'integer' || name === 'I64') return 1;
    const { role } = roles.of(shard, row);
    if (role === null || BESIDE_WEIGHTS.has(role)) return 1;
    if (name === 'I32') return inWord;
    if (name === 'U8') return 2;
    return name === 'I8' && hasScalesOfFp4(checkpoint, tensors, row, file) ? 2 : 1;
  };
}

/** DeepSeek's own files hold FP4 in I8, which is INT8 elsewhere: how many of them share a scale tells. */
function hasScalesOfFp4(checkpoint: Checkpoint, { names, shapes }: TensorTable, row: number, file: string): boolean {
  const base = names[row]!.replace(/\.weight(?:_packed)?$/, '');
  return SCALES.some((pattern) => {
    const place = checkpoint.locate(
      pattern.replace('$1', () => base),
      file,
    );
    if (place === undefined) return false;
    const theirs = checkpoint.shards[place.shard]!.tensors;
    if (!BYTE_SCALES.has(dtypeByCode(theirs.dtypes[place.row]!).name)) return false;
    return PACKED_GROUPS.has(shapes[row]!.at(-1)! / theirs.shapes[place.row]!.at(-1)!);
  });
}

/** Bits of a packed code, as the configuration of GPTQ, AWQ or compressed-tensors has it. */
function packedBits(config: ModelConfig | null): number {
  const text = JSON.stringify(config?.quantization_config ?? null);
  return Number(/"(?:bits|num_bits)":([2348])\b/.exec(text)?.[1] ?? 4);
}
