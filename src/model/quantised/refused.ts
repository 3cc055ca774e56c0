import { type DtypeName, dtypeByCode } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { holdsCodes } from '../roles/unknown.ts';
import type { QuantisationConfig } from './config.ts';

/**
 * A quantised form that is not merged: the layout of its codes belongs to a library, or its scales have
 * scales of their own.
 */
interface Family {
  readonly family: string;
  /** Values of `quant_method` that tell it from a family whose tensors have the same names. */
  readonly methods?: readonly string[];
  /** What the configuration says of the form, where that tells it. */
  readonly says?: RegExp;
  /** What a tensor's name ends in. */
  readonly name: RegExp;
  readonly dtypes?: readonly DtypeName[];
  /** A tensor that must lie beside it, with `$1` of `name`. */
  readonly beside?: string;
  /** Scales that may lie beside it: float ones, several for each of its rows. */
  readonly grouped?: readonly string[];
  /** How to get floats out of it. */
  readonly undo: string;
}

const FLOAT_SCALES: ReadonlySet<DtypeName> = new Set<DtypeName>(['F32', 'BF16', 'F16']);
const LOAD = 'load it with transformers and `model.dequantize().save_pretrained(DIR)`';

/** Tried in this order: the first that fits a tensor names its family. */
// biome-ignore format: a table, a row a line.
const FAMILIES: readonly Family[] = [
  { family: 'FP6', name: /./, dtypes: ['F6_E2M3', 'F6_E3M2'], undo: 'use the checkpoint that was quantised' },
  { family: 'MXFP6 (6-bit codes, a power of two for 32 of them)', says: /fp6|mx6/, name: /(?:\.weight|\.weight_packed|_blocks)$/, dtypes: ['U8', 'I8'], undo: 'use the checkpoint that was quantised' },
  { family: 'W4AFP8 (4-bit integers packed into bytes, for FP8 activations)', says: /w4afp8|w4a_?fp8/, name: /\.(?:weight|weight_packed)$/, dtypes: ['I8', 'U8', 'I32'], undo: 'use the checkpoint that was quantised' },
  { family: 'W4A8 (4-bit integers with scales for groups)', says: /w4a(?:8|16)(?:_awq)?(?![_\w])/, name: /\.(?:weight|weight_packed|weight_scale_2)$/, undo: 'use the checkpoint that was quantised' },
  { family: 'NVFP4 (4-bit codes with FP8 scales and a global scale)', name: /\.(?:weight_scale_2|weight_global_scale|input_global_scale)$/, undo: 'export the model without quantisation' },
  { family: 'bitsandbytes 4-bit (absmax, quant_map)', name: /\.weight\.(?:nested_)?(?:absmax|quant_map|quant_state\..+)$/, undo: LOAD },
  { family: 'bitsandbytes INT8 (SCB)', name: /\.SCB$/, undo: LOAD },
  { family: 'compressed-tensors pack-quantized (integers packed into I32)', name: /\.weight_packed$/, dtypes: ['I32'], undo: 'decompress it with compressed-tensors (`run_compressed=False` when it is loaded)' },
  { family: 'AWQ (qweight, qzeros)', methods: ['awq'], name: /\.qweight$/, undo: 'use the checkpoint that was quantised' },
  { family: 'auto-round (qweight, qzeros)', methods: ['auto-round', 'intel/auto-round'], name: /\.qweight$/, undo: 'use the checkpoint that was quantised' },
  { family: 'FP-Quant (qweight)', methods: ['fp_quant'], name: /\.d?qweight$/, undo: 'use the checkpoint that was quantised' },
  { family: 'GPTQ (qweight, qzeros, g_idx)', methods: ['gptq'], name: /\.qweight$/, undo: LOAD },
  { family: 'GPTQ (qweight, qzeros, g_idx)', name: /^(.+)\.qweight$/, beside: '$1.g_idx', undo: LOAD },
  { family: 'AWQ (qweight, qzeros)', name: /\.qweight$/, undo: 'use the checkpoint that was quantised' },
  { family: 'MLX (codes packed into U32, with scales)', name: /^(.+)\.weight$/, dtypes: ['U32'], beside: '$1.scales', undo: 'undo it with `mlx_lm.convert --dequantize`, or use the checkpoint that was quantised' },
  { family: 'HQQ (W_q)', name: /[.:]W_q$/, undo: LOAD },
  { family: 'quanto (weight._data, weight._scale)', name: /\.weight\._(?:data|scale|shift)$/, undo: LOAD },
  { family: 'torchao (weight parts of a tensor subclass)', name: /[._:](?:weight_qdata|weight:_data|weight:qdata|weight_qdata_.*|tensor_impl)$/, undo: LOAD },
  { family: 'EETQ (I8 weights with weight_scales)', name: /^(.+)\.weight$/, dtypes: ['I8'], beside: '$1.weight_scales', undo: LOAD },
  { family: 'AQLM (codebooks)', name: /\.codebooks$/, undo: 'use the checkpoint that was quantised' },
  { family: 'VPTQ (centroids, indices)', name: /\.(?:res_)?centroids(?:\.weight)?$/, undo: 'use the checkpoint that was quantised' },
  { family: 'QuIP# (Qidxs)', name: /\.Qidxs(?:_\d+)?$/, undo: 'use the checkpoint that was quantised' },
  { family: 'ExLlamaV2 (q_weight, q_groups)', name: /\.q_(?:weight|groups|scale_max)$/, undo: 'use the checkpoint that was quantised' },
  { family: 'ExLlamaV3 (trellis)', name: /\.trellis$/, undo: 'use the checkpoint that was quantised' },
  { family: 'BitNet (weights packed into U8)', methods: ['bitnet'], name: /\.weight$/, dtypes: ['U8'], undo: 'use the bf16 master weights that are published beside it' },
  { family: 'integers with scales for groups of them (W4AFP8 and W4A8: two 4-bit integers a byte; or INT8)', name: /^(.+)\.weight(?:_packed)?$/, dtypes: ['I8', 'U8'], grouped: ['$1.weight_scale', '$1.weight_scale_inv'], undo: 'use the checkpoint that was quantised' },
  { family: 'INT8 with scales (compressed-tensors int-quantized, SmoothQuant)', name: /^(.+)\.weight$/, dtypes: ['I8'], beside: '$1.weight_scale', undo: 'use the checkpoint that was quantised' },
  { family: 'GGUF block codes', methods: ['gguf'], name: /\.weight$/, dtypes: ['U8', 'I8'], undo: LOAD },
];

/** Names and dtypes that any family looks for, so that a checkpoint of floats is passed over quickly. */
const SUSPICIOUS =
  /(?:weight_scale_2|global_scale|absmax|quant_map|quant_state\..+|SCB|weight_packed|qweight|qzeros|W_q|\._(?:data|scale|shift)|qdata\w*|:_data|tensor_impl|codebooks|centroids(?:\.weight)?|Qidxs\w*|q_(?:weight|groups|scale_max)|trellis)$/;

/**
 * One conflict for each family that a checkpoint holds, naming its first tensor. Names alone say nothing:
 * codebooks and centroids are learned in models of sound, and `W_q` is anybody's query matrix.
 */
export function refusedFamilies(checkpoint: Checkpoint, config: QuantisationConfig | null): Conflict[] {
  if (config?.stored !== true && !holdsCodes(checkpoint)) return [];
  const found = new Map<Family, { tensor: string; file: string; count: number }>();
  for (const { tensors, path, name: file } of checkpoint.shards) {
    const { count, names, dtypes } = tensors;
    for (let row = 0; row < count; row++) {
      const name = names[row]!;
      const dtype = dtypeByCode(dtypes[row]!);
      if (dtype.kind !== 'integer' && !dtype.name.startsWith('F6_') && !SUSPICIOUS.test(name)) continue;
      const family = FAMILIES.find((f) => fits(f, name, dtype.name, config, (other) => tensorAt(checkpoint, other, file)));
      if (family === undefined) continue;
      const before = found.get(family);
      if (before === undefined) found.set(family, { tensor: name, file: path, count: 1 });
      else before.count++;
    }
  }
  return [...found].map(([{ family, undo }, { tensor, file, count }]) => ({
    code: 'E_QUANTISED_UNSUPPORTED',
    message: `${checkpoint.path} is quantised as ${family}, which cannot be averaged (${tensor}${count > 1 ? ` and ${count - 1} more tensors` : ''}): ${undo}, and merge that`,
    file,
    tensor,
  }));
}

interface Beside {
  readonly dtype: DtypeName;
  readonly shape: readonly number[];
}

function tensorAt(checkpoint: Checkpoint, name: string, file: string): Beside | undefined {
  const place = checkpoint.locate(name, file);
  if (place === undefined) return undefined;
  const { dtypes, shapes } = checkpoint.shards[place.shard]!.tensors;
  return { dtype: dtypeByCode(dtypes[place.row]!).name, shape: shapes[place.row]! };
}

function fits(
  { methods, says, name: pattern, dtypes, beside, grouped }: Family,
  name: string,
  dtype: DtypeName,
  config: QuantisationConfig | null,
  find: (name: string) => Beside | undefined,
): boolean {
  if (methods !== undefined && !methods.includes(config?.method ?? '')) return false;
  if (says !== undefined && !says.test(config?.words ?? '')) return false;
  if (dtypes !== undefined && !dtypes.includes(dtype)) return false;
  if (!pattern.test(name)) return false;
  if (beside !== undefined && find(name.replace(pattern, beside)) === undefined) return false;
  if (grouped === undefined) return true;
  const scales = grouped.map((other) => find(name.replace(pattern, other))).find((found) => found !== undefined);
  return scales !== undefined && FLOAT_SCALES.has(scales.dtype) && scales.shape.length >= 2 && scales.shape.at(-1)! > 1;
}
