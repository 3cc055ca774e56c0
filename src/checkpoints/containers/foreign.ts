import { MergeError } from '../../base/errors.ts';
import type { Container, Found } from './types.ts';

/** A checkpoint that is not safetensors, and what makes one of it. */
export interface ForeignFormat {
  /** In words: who writes it. */
  readonly format: string;
  /** The tool to run, as its project calls it. */
  readonly converter: string;
}

const TORCH_SAVE = 'torch.load and safetensors.torch.save_file';
const MEGATRON_BRIDGE = 'examples/conversion/convert_checkpoints.py export of Megatron Bridge';

/** The first row of which a path matches decides. Paths are those of the folder and of its folders. */
const FORMATS: readonly (readonly [pattern: RegExp, format: string, converter: string])[] = [
  [
    /^((actor|critic)\/)?model_world_size_\d+_rank_\d+\.pt$|^actor\/fsdp_config\.json$/,
    'verl (FSDP shards)',
    '`python -m verl.model_merger merge`',
  ],
  [/^model_and_optim\/(\.metadata|.*\.distcp)$/, 'OLMo-core (DCP)', 'src/examples/huggingface/convert_checkpoint_to_hf.py of OLMo-core'],
  [/^pytorch_model_fsdp_\d+\/(\.metadata|.*\.distcp)$/, 'accelerate (sharded FSDP state)', '`accelerate merge-weights`'],
  [/^common\.pt$/, 'Megatron-LM (torch_dist)', MEGATRON_BRIDGE],
  [
    /^mp_rank_\d+(_\d+)*\/(model_optim_rng|model_rng)\.pt$/,
    'Megatron-LM (one .pt a rank)',
    `tools/checkpoint/convert.py of Megatron-LM and then ${MEGATRON_BRIDGE}`,
  ],
  [/^([^/]+\/)?layer_\d+-model_\d+-model_states\.pt$/, 'GPT-NeoX (DeepSpeed)', 'tools/ckpts/convert_neox_to_hf.py of GPT-NeoX'],
  [
    /^([^/]+\/)?((bf16_)?zero_pp_rank_|mp_rank_\d+_model_states\.pt$)|^zero_to_fp32\.py$/,
    'DeepSpeed (ZeRO)',
    "DeepSpeed's `zero_to_fp32.py` with --safe_serialization",
  ],
  [
    /^([^/]+\/)?(\.metadata|.*\.distcp)$/,
    'PyTorch distributed checkpoint (DCP)',
    'scripts/checkpoint_conversion/convert_to_hf.py of torchtitan, or what your trainer has for it',
  ],
  [
    /^([^/]+\/)?(_CHECKPOINT_METADATA|orbax\.checkpoint|_METADATA|_sharding)$/,
    'Orbax (MaxText)',
    'to_huggingface of MaxText (utils/ckpt_conversion)',
  ],
  [
    /^([^/]+\/)?(manifest\.ocdbt|ocdbt\.process_\d+|\.zarray|zarr\.json)$/,
    'TensorStore (levanter)',
    '`python -m levanter.main.export_lm_to_hf`',
  ],
  [/\.nemo$/, 'NeMo', MEGATRON_BRIDGE],
  [/^pytorch_model.*\.bin$/, 'PyTorch (.bin)', 'from_pretrained and save_pretrained of transformers, which writes safetensors'],
  [/^consolidated\.\d+\.pth$/, "Meta's Llama (.pth)", 'convert_llama_weights_to_hf.py of transformers'],
  [/\.gguf$/, 'GGUF', 'from_pretrained(…, gguf_file=…) and save_pretrained of transformers, or merge what it was made from'],
  [/\.ckpt$/, 'Lightning (.ckpt)', TORCH_SAVE],
  [/\.(bin|pt|pth)$/, 'PyTorch (.pt, .pth, .bin)', TORCH_SAVE],
];

/** Checkpoint folders that are recognised and refused, with what makes a checkpoint of ours from them. */
export const FOREIGN: readonly Container[] = FORMATS.map(([pattern, format, converter]) => ({
  kind: format,
  async recognise({ entries, paths }: Found) {
    return entries !== null && (await paths()).some((path) => pattern.test(path));
  },
  async open({ path }: Found) {
    throw new MergeError('E_NO_CHECKPOINT', `${path}: is a checkpoint of ${format}, not safetensors`, {
      details: { file: path, format, converter },
      help: `Convert it first, with ${converter}.`,
    });
  },
}));

/** What a single file is by its name; null where that is not known. */
export function foreignFile(name: string): ForeignFormat | null {
  const row = FORMATS.find(([pattern]) => pattern.test(name));
  return row === undefined ? null : { format: row[1], converter: row[2] };
}
