import { basename, dirname, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { readStart } from '../../base/store/store.ts';
import { otherContent, otherContentError, START_BYTES } from './other-content.ts';
import { MODEL_OF_TORCH } from './torch/file-names.ts';
import type { Container, Found } from './types.ts';

/** A checkpoint in a form that is not read, and what makes one of it that is. */
export interface ForeignFormat {
  /** In words: who writes it, and what it is where the name of that says too little. */
  readonly format: string;
  /** The tool to run, as its project calls it. */
  readonly converter: string;
}

/** A row of the table. */
interface Row extends ForeignFormat {
  /** Of a path: those of the folder and of its folders. */
  readonly path: RegExp;
  /** What stands beside it: a path that must be there, too. */
  readonly beside?: RegExp;
  /** What to run, for the folder that was found, with the punctuation before it. */
  readonly command?: (folder: string, file: string) => string;
  /** Many things have such files: the folder itself may be something else. */
  readonly weak?: true;
}

const TORCH_SAVE = 'torch.load and torch.save, or safetensors.torch.save_file';
const MEGATRON_BRIDGE = 'examples/conversion/convert_checkpoints.py export of Megatron Bridge';
const ZERO_TO_FP32 = "DeepSpeed's `zero_to_fp32.py` with --safe_serialization";

/** `zero_to_fp32.py` lies beside the folders of the steps, and takes the folder of those. */
function zeroToFp32(folder: string, file: string): string {
  const step = file.includes('/') ? join(folder, dirname(file)) : folder;
  const [run, tag] = [dirname(step), basename(step)].map(shellQuote);
  return `: \`python ${run}/zero_to_fp32.py ${run} OUT --safe_serialization --tag ${tag}\``;
}

/** The first row that a path fits decides. */
// biome-ignore format: a table, a row a line.
const FORMATS: readonly Row[] = [
  { path: /^mp_rank_\d+(_\d+)*\/(model_optim_rng|model_rng)\.pt$/, format: 'Megatron-LM (one .pt a rank, with parts of tensors that nothing describes)', converter: '`--ckpt-convert-format torch_dist` of Megatron-LM, or its tools/checkpoint/convert.py', command: () => ': `python pretrain_gpt.py <the options of the run> --load RUN --ckpt-convert-format torch_dist --ckpt-convert-save OUT`' },
  { path: /^([^/]+\/)?layer_\d+-model_\d+-model_states\.pt$/, format: 'GPT-NeoX (DeepSpeed)', converter: 'tools/ckpts/convert_neox_to_hf.py of GPT-NeoX' },
  { path: /^([^/]+\/)?layer_\d+-model_states\.pt$/, format: 'DeepSpeed with pipeline parallelism (a file a layer, without the names of the model)', converter: "the converter of its trainer, or DeepSpeed's `ds_to_universal.py` and the trainer" },
  { path: /^zero\/[^/]+$/, beside: /^mp_rank_\d+_model_states\.pt$/, format: 'DeepSpeed universal (a file of float32 a parameter)', converter: `${ZERO_TO_FP32}, on the checkpoint that ds_to_universal.py was given`, command: (folder) => universal(folder) },
  { path: /^([^/]+\/)?(bf16_)?zero_pp_rank_\d+_mp_rank_\d+_model_states\.pt$/, format: 'DeepSpeed ZeRO-3 (pieces of weights in the files of the optimizer)', converter: ZERO_TO_FP32, command: zeroToFp32 },
  { path: /^([^/]+\/)?(bf16_)?zero_pp_rank_/, format: 'DeepSpeed ZeRO, without the files of the model', converter: ZERO_TO_FP32, command: zeroToFp32 },
  { path: /^zero_to_fp32\.py$/, format: 'DeepSpeed (ZeRO)', converter: ZERO_TO_FP32 },
  { path: /^([^/]+\/)?(_CHECKPOINT_METADATA|orbax\.checkpoint|_METADATA|_sharding)$/, format: 'Orbax (MaxText)', converter: 'to_huggingface of MaxText (utils/ckpt_conversion)' },
  { path: /^([^/]+\/)?(manifest\.ocdbt|ocdbt\.process_\d+|\.zarray|zarr\.json)$/, format: 'TensorStore (levanter)', converter: '`python -m levanter.main.export_lm_to_hf`' },
  { path: /\.nemo$/, format: 'NeMo', converter: MEGATRON_BRIDGE },
  { path: /^consolidated\.\d+\.pth$/, format: "Meta's Llama in several parts (.pth)", converter: 'convert_llama_weights_to_hf.py of transformers' },
  { path: /\.gguf$/, format: 'GGUF', converter: 'from_pretrained(…, gguf_file=…) and save_pretrained of transformers, or merge what it was made from' },
  { path: /\.np[yz]$/, format: 'NumPy (.npy, .npz)', converter: 'safetensors.numpy.save_file' },
  { path: MODEL_OF_TORCH, format: 'PyTorch (.pt, .pth, .bin)', converter: TORCH_SAVE, weak: true },
];

/** No tool makes one file of it; its files are a tensor each. */
function universal(folder: string): string {
  const zero = shellQuote(join(folder, 'zero'));
  return `; or put its files into one: \`python -c 'import sys,os,torch; from safetensors.torch import save_file as s; z=sys.argv[1]; s({n: torch.load(f"{z}/{n}/fp32.pt")["param"].clone() for n in sorted(os.listdir(z)) if os.path.exists(f"{z}/{n}/fp32.pt")}, sys.argv[2])' ${zero} OUT.safetensors\``;
}

/** Checkpoint folders that are recognised and refused, with what makes a checkpoint of ours from them. */
export const FOREIGN: readonly Container[] = FORMATS.map((row) => ({
  kind: row.format,
  async recognise({ entries, paths }: Found) {
    return entries !== null && fileOf(row, await paths()) !== undefined;
  },
  async open({ path, paths }: Found) {
    const files = await paths();
    const file = fileOf(row, files)!;
    if (row.weak === true)
      throw await torchFiles(
        path,
        files.filter((name) => row.path.test(name)),
      );
    throw foreignError(path, 'a checkpoint', row, row.command?.(path, file));
  },
}));

function fileOf({ path, beside }: Row, files: readonly string[]): string | undefined {
  return beside === undefined || files.some((file) => beside.test(file)) ? files.find((file) => path.test(file)) : undefined;
}

/** Files of torch.save in a folder that is none of the forms that are read. */
async function torchFiles(folder: string, names: readonly string[]): Promise<MergeError> {
  const [only, second] = names;
  if (second === undefined) {
    const file = join(folder, only!);
    const content = otherContent(await readStart(file, START_BYTES).catch(() => Buffer.alloc(0)));
    if (content !== null) return otherContentError(file, content);
  }
  const format =
    second === undefined ? 'PyTorch (.pt, .pth, .bin)' : `PyTorch in ${names.length} files, of which nothing says how they are one`;
  const shown = `${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}`;
  return foreignError(folder, 'a checkpoint', { format, converter: TORCH_SAVE }, `; or name the file that holds the weights (${shown})`);
}

/**
 * @param what it is, with its article
 * @param more what to run, where that is known of this one, or what else to do; with the punctuation before it
 */
export function foreignError(path: string, what: string, { format, converter }: ForeignFormat, more = '.'): MergeError {
  return new MergeError('E_NO_CHECKPOINT', `${path}: is ${what} of ${format}, which is not read`, {
    details: { file: path, format, converter },
    help: `Convert it first, with ${converter}${more}`,
  });
}

/** What a file is whose name alone says that it is not read. */
export function foreignName(name: string): ForeignFormat | null {
  return FORMATS.find(({ path, weak, beside }) => weak !== true && beside === undefined && path.test(name)) ?? null;
}

/**
 * Whether names in a folder are those of a checkpoint of a known form, and not files that a run may have,
 * too.
 */
export function areForeign(names: readonly string[]): boolean {
  return FORMATS.some((row) => row.weak !== true && fileOf(row, names) !== undefined);
}
