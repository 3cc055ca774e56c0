import { join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { storeOf } from '../../base/store/store.ts';
import { belongsToCheckpoint } from '../../checkpoints/side-files.ts';
import { isTrainingState } from '../../checkpoints/training-state.ts';
import { isOwnPage } from '../../render/own-report.ts';

/**
 * What is to appear, and so what may be in its place; `rest` is what an interrupted removal of a folder left,
 * perhaps without its weights.
 */
export type Replaced = 'folder' | 'file' | 'page' | 'rest';

/** What would be lost if something were replaced: names, sorted. */
export interface Loss {
  /** Nothing of a merge's kind explains it: it is not replaced. */
  readonly foreign: readonly string[];
  /** Has the name of something that belongs to a checkpoint, and may be somebody's work: it is said. */
  readonly noted: readonly string[];
}

/** Without one of these, here or in a folder of shards, a folder is no checkpoint. */
const WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|distcp|gguf)$|^(merge_provenance\.json|\.metadata)$/;
/** Says that shards may lie in folders: an index, nanotron's metadata, the provenance of a merge. */
const SHARD_FOLDERS = /\.index(\.[^.]+)?\.json$|^(checkpoint_metadata|merge_provenance)\.json$/;
/** The folders of shards themselves. */
const SHARDS = /\.(safetensors|distcp)$|^\.metadata$/;

/** Files that desktops, file systems, downloads, trainers and other programs leave in a checkpoint. */
const LEFT_BY_PROGRAMS = [
  /^(\.metadata|\.gitattributes|\.gitignore|\.DS_Store|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+)$/,
  /^\._/,
  /^(mergekit(_moe)?_config\.ya?ml|Modelfile|trainer_log\.jsonl|training_\w*loss\.png)$/,
];

/** Folders that programs leave, and the files that may be in them, however deep. */
const FOLDERS: readonly (readonly [folder: RegExp, files: RegExp])[] = [
  [/^(\.cache|\.huggingface)$/, /^(\.gitignore|CACHEDIR\.TAG)$|\.(metadata|lock|incomplete)$/],
  [/^__pycache__$/, /\.pyc$/],
  [/^\.ipynb_checkpoints$/, /-checkpoint\.(json|jinja|py|ya?ml)$/],
  [/^runs$/, /^events\.out\.tfevents/],
  [/^original$/, /^(consolidated.*\.pth|params\.json|tokenizer\.model|checklist\.chk|README\.md|\.gitattributes)$|\.(safetensors|json)$/],
  [/^additional_chat_templates$/, /\.jinja$/],
  [/^pytorch_model_fsdp(_\d+)?$/, /\.(distcp|bin|pt|safetensors)$|^\.metadata$/],
];
/** In folders of training state. */
const STATE_FILES = /\.(pt|pth|bin|pkl|distcp|json|safetensors)$|^(\.metadata|latest|zero_to_fp32\.py)$/;

/** As lm-eval, lighteval and transformers' examples name what they find out. */
const EVALUATION = /^(results|samples|details|(all_|test_)?eval|predict|generated_predictions)\w*.*\.(json|jsonl|parquet|csv|txt)(\.gz)?$/i;
/** Files of the names that libraries give. Any other JSON or Python may be somebody's own. */
const LIBRARY_NAMES = [
  /^(config|generation_config|tokenizer|vocab|merges|special_tokens|added_tokens|preprocessor|processor|image_processor)/,
  /^(video_preprocessor|feature_extractor|chat_template|quant|quantize|hf_quant|params|modules|sentence_|adapter_|train_results)/,
  /^(modeling|configuration|tokenization|processing|image_processing|video_processing|modular|generation_utils|zero_to_fp32|__init__)/,
  /^(checkpoint_metadata|model_config|metadata|training_args|trainer_state|merge_provenance|all_results)\b|\.index(\.[^.]+)?\.json$/,
];
/** Of what rules of side files take for weights or state: what people keep there, and libraries do not. */
const OWN_ARRAYS = /\.(npy|npz|pkl)$/;

/** Longest header that a safetensors file may have, bytes. */
const LONGEST_HEADER = 100_000_000;
/** How an archive of torch.save begins: with the header of its pickle. */
const TORCH_HEAD = /^PK.{28}[^/]+\/data\.pkl/s;
/** Where a page of this program says so, at the latest. */
const PAGE_HEAD = 1024;
/** Folders in folders, and files in all of them, that are looked at. */
const DEEPEST = 8;
const MOST_FILES = 100_000;

/**
 * What would be lost if what lies at a path were replaced. A folder may be if it holds weights or the
 * provenance of a merge, and beside them only what checkpoints have; a file, if it begins as a safetensors
 * file or one of torch.save does, or is a page of this program. Names decide, and no more of a file than its
 * beginning.
 * @throws MergeError E_NOT_READABLE, E_IO; the errno of readdir(2)
 */
export async function lossOf(path: string, kind: Replaced): Promise<Loss> {
  if (kind === 'file' || kind === 'page') return { foreign: (await begins(path, kind)) ? [] : [path], noted: [] };
  const entries = await SYSTEM.fs.readdir(path, { withFileTypes: true });
  const names = entries.map(({ name }) => name).sort();
  const shardFolders = kind === 'rest' || names.some((name) => SHARD_FOLDERS.test(name));
  let weights = kind === 'rest' || names.some((name) => WEIGHTS.test(name));
  const foreign: string[] = [];
  const noted: string[] = [];
  for (const entry of entries) {
    const { name } = entry;
    if (!entry.isDirectory()) {
      if (!isUsual(name)) foreign.push(name);
      else if (isNoted(name)) noted.push(name);
      continue;
    }
    const files = await filesIn(join(path, name));
    if (files?.length === 0) continue;
    const all = (pattern: RegExp): boolean => files?.every((file) => pattern.test(file)) ?? false;
    const row = FOLDERS.find(([folder]) => folder.test(name))?.[1] ?? (isTrainingState(name) ? STATE_FILES : null);
    if (row !== null && all(row)) continue;
    if (shardFolders && all(SHARDS)) weights = true;
    else if (all(EVALUATION)) noted.push(name);
    else foreign.push(name);
  }
  return weights ? { foreign: foreign.sort(), noted: noted.sort() } : { foreign: names, noted: [] };
}

function isUsual(name: string): boolean {
  if (LEFT_BY_PROGRAMS.some((pattern) => pattern.test(name)) || isTrainingState(name)) return true;
  return (belongsToCheckpoint(name) && !OWN_ARRAYS.test(name)) || EVALUATION.test(name);
}

function isNoted(name: string): boolean {
  if (name.startsWith('.')) return false;
  if (EVALUATION.test(name)) return !/^(all|train|test|eval|predict)_results\.json$/.test(name);
  return /\.(json|py)$/.test(name) && !LIBRARY_NAMES.some((pattern) => pattern.test(name));
}

/** Names of the files below a folder; null where it is deeper or holds more than what programs leave. */
async function filesIn(folder: string): Promise<string[] | null> {
  const files: string[] = [];
  let level = [folder];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) return null;
    const next: string[] = [];
    for (const path of level) {
      for (const entry of await SYSTEM.fs.readdir(path, { withFileTypes: true })) {
        if (entry.isDirectory()) next.push(join(path, entry.name));
        else files.push(entry.name);
      }
      if (files.length + next.length > MOST_FILES) return null;
    }
    level = next;
  }
  return files;
}

async function begins(path: string, kind: 'file' | 'page'): Promise<boolean> {
  const file = await storeOf(path).open(path);
  try {
    const { size } = file.stat;
    if (size === 0) return true;
    const head = Buffer.alloc(Math.min(size, PAGE_HEAD));
    await file.read(head, 0);
    if (kind === 'page') return isOwnPage(head.toString('latin1'));
    if (TORCH_HEAD.test(head.toString('latin1'))) return true;
    return size > 8 && head[8] === 0x7b && head.readBigUInt64LE(0) <= LONGEST_HEADER;
  } finally {
    await file.close();
  }
}
