import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { readStart } from '../../base/store/store.ts';
import type { Container, Found } from './types.ts';

/** A checkpoint that is not safetensors, and what makes one of it. */
export interface ForeignFormat {
  /** In words: who writes it. */
  readonly format: string;
  /** The tool to run, as its project calls it. */
  readonly converter: string;
}

/** A row of the table. */
interface Row extends ForeignFormat {
  /** Of a path: those of the folder and of its folders. */
  readonly path: RegExp;
  /** What the file of that path holds near its beginning, where its name alone says too little. */
  readonly holds?: RegExp;
  /** Many things have such files: the folder itself may be something else. */
  readonly weak?: true;
}

const TORCH_SAVE = 'torch.load and safetensors.torch.save_file';
const MEGATRON_BRIDGE = 'examples/conversion/convert_checkpoints.py export of Megatron Bridge';

/** Not what trainers keep beside the weights. */
const MODEL_OF_TORCH =
  /^(?!(.*\/)?(optim|scheduler|lr_scheduler|scaler|rng_state|random_states|sampler|custom_checkpoint|training_args|dl_state_dict)[^/]*$).*\.(bin|pt|pth)$/;

/** The first row that a path fits decides. */
// biome-ignore format: a table, a row a line.
const FORMATS: readonly Row[] = [
  { path: /^([^/]+\/)?metadata\.json$/, holds: /"sharded_backend"\s*:/, format: 'Megatron-LM (distributed checkpoint)', converter: MEGATRON_BRIDGE },
  { path: /^mp_rank_\d+(_\d+)*\/(model_optim_rng|model_rng)\.pt$/, format: 'Megatron-LM (one .pt a rank)', converter: `tools/checkpoint/convert.py of Megatron-LM and then ${MEGATRON_BRIDGE}` },
  { path: /^([^/]+\/)?layer_\d+-model_\d+-model_states\.pt$/, format: 'GPT-NeoX (DeepSpeed)', converter: 'tools/ckpts/convert_neox_to_hf.py of GPT-NeoX' },
  { path: /^([^/]+\/)?((bf16_)?zero_pp_rank_|mp_rank_\d+_model_states\.pt$)|^zero_to_fp32\.py$/, format: 'DeepSpeed (ZeRO)', converter: "DeepSpeed's `zero_to_fp32.py` with --safe_serialization" },
  { path: /^([^/]+\/)?(_CHECKPOINT_METADATA|orbax\.checkpoint|_METADATA|_sharding)$/, format: 'Orbax (MaxText)', converter: 'to_huggingface of MaxText (utils/ckpt_conversion)' },
  { path: /^([^/]+\/)?(manifest\.ocdbt|ocdbt\.process_\d+|\.zarray|zarr\.json)$/, format: 'TensorStore (levanter)', converter: '`python -m levanter.main.export_lm_to_hf`' },
  { path: /\.nemo$/, format: 'NeMo', converter: MEGATRON_BRIDGE },
  { path: /^consolidated\.\d+\.pth$/, format: "Meta's Llama (.pth)", converter: 'convert_llama_weights_to_hf.py of transformers' },
  { path: /\.gguf$/, format: 'GGUF', converter: 'from_pretrained(…, gguf_file=…) and save_pretrained of transformers, or merge what it was made from' },
  { path: /\.ckpt$/, format: 'Lightning (.ckpt)', converter: TORCH_SAVE, weak: true },
  { path: MODEL_OF_TORCH, format: 'PyTorch (.pt, .pth, .bin)', converter: TORCH_SAVE, weak: true },
];

/** Bytes of a file that are looked through for what its row asks: names of hundreds of thousands of tensors. */
const LOOKED_THROUGH = 4 * 2 ** 20;

/** Checkpoint folders that are recognised and refused, with what makes a checkpoint of ours from them. */
export const FOREIGN: readonly Container[] = FORMATS.map(({ path: pattern, holds, format, converter }) => ({
  kind: format,
  async recognise({ path, entries, paths }: Found) {
    if (entries === null) return false;
    for (const file of await paths()) {
      if (!pattern.test(file)) continue;
      if (holds === undefined || holds.test(await textOf(join(path, file)))) return true;
    }
    return false;
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
  return FORMATS.find(({ path, holds }) => holds === undefined && path.test(name)) ?? null;
}

/** Whether names in a folder are those of a checkpoint of a known form, and not files that a run may have, too. */
export function areForeign(names: readonly string[]): boolean {
  return FORMATS.some(({ path, holds, weak }) => holds === undefined && weak !== true && names.some((name) => path.test(name)));
}

/** A byte a character; empty for what cannot be read. */
async function textOf(path: string): Promise<string> {
  return readStart(path, LOOKED_THROUGH).then(
    (bytes) => bytes.toString('latin1'),
    () => '',
  );
}
