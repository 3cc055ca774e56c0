import { join } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { storeOf } from '../base/store/store.ts';
import { otherContentError, otherText, START_BYTES } from './containers/other-content.ts';
import { type FoundFile, type LeadsOutside, type LinkGround, linkGround, lookAt, openFound, resolveWithin } from './link-ground.ts';
import { type JsonTopic, topicOf } from './side-json.ts';
import type { Checkpoint } from './types.ts';

export interface SideFile extends FoundFile {
  /** Path inside the checkpoint's folder, with `/` between its parts. */
  readonly name: string;
}

export interface LeftFile {
  readonly name: string;
  readonly reason: string;
  /** Of what would be copied, where its link leads: outside the {@link LinkGround}. */
  readonly leadsTo?: string;
  /** It would be copied, were the weights in the form that they have here. */
  readonly outdated?: true;
}

export interface SideFiles {
  /** Belongs with the model, and so with the merged model. Sorted by name. */
  readonly copied: readonly SideFile[];
  /** Stays behind, with the reason. Sorted by name. */
  readonly left: readonly LeftFile[];
  /**
   * Belongs with the model and cannot be had: E_NOT_FOUND, E_NOT_READABLE, E_INPUT_CHANGED, E_OTHER_CONTENT.
   */
  readonly faults: readonly MergeError[];
}

/**
 * Bytes that no file beside the weights comes near: a tokenizer has some tens of millions. A longer one, be
 * it a hole of terabytes or somebody's data, would be copied into every merge.
 */
const MAX_SIDE_FILE_BYTES = 2 ** 32;

export interface SideFileOptions {
  /** Links are followed wherever they lead. */
  readonly followLinks?: boolean | undefined;
  /** The merge's weights are plain floats: what says how they are quantised stays behind. */
  readonly floats?: boolean | undefined;
}

/**
 * Files by which a library takes weights for quantised: `hf_quant_config.json` (ModelOpt; vLLM, SGLang,
 * TensorRT-LLM), `quantize_config.json` and `quant_config.json` (GPTQ, AWQ), `quant_model_description*.json`
 * (Ascend), `quanto_qmap.json`, `compression_config.json`, those that carry the name of a method; and scales
 * that were measured on such weights. What such a file is called otherwise, its keys tell (`side-json.ts`).
 */
const QUANTISATION =
  /^(?![^/]*vocab)[^/]*(quant(?!izer)|compression_config|smooth_?scales?|(^|[-_.])((kv_cache|kv|act|activation|input|weight)_scales?\b|scales?(?=\.json)|(modelopt|torchao|quark|gptq|awq|bnb|bitsandbytes|hqq|aqlm|eetq|auto_?round|marlin|nvfp4|mxfp[468]|fp[48]|int[48]|nf4|w\d+a\d+)(?=[-_.])))[^/]*\.json$/i;

/** The first row that matches decides; null copies. A name that matches none is left as unknown. */
const RULES: readonly (readonly [pattern: RegExp, reason: string | null])[] = [
  [/^\./, 'hidden'],
  [/^README(\..*)?$/i, 'a merge card takes its place'],
  [/^merge_(provenance\.json|recipe\.yaml)$/, 'tells of another merge'],
  [
    /^(trainer_state|train(ing|er)?[-_]?(args?|arguments|config|params|metrics|results|log|history|loss(es)?|info|stats|metadata)|all_results|(checkpoint|run|experiment)[-_](metadata|state|info|meta|args)|(train(ing)?|data|dataset|sampler|dl|data_?loader|iterator|rng|optimizer|scheduler|model_?training)[-_]?state([-_]?dict)?|data_?loader|state|progress|log_?history|loss(es)?|log|logs|wandb[-_](metadata|summary|config))([-_.]\d+)?\.jsonl?$/,
    'training state',
  ],
  [/^training_args\.bin$/, 'training state'],
  [/^(ds|deepspeed|fsdp|accelerate|zero)_config[^/]*\.(json|ya?ml)$/, 'training state'],
  [
    /^(manifest|(check|crc32c?|md5|sha\d*)[-_]?sums?|(file_?)?(hash(es)?|digests?)|file[-_]?(list|names|sizes)|files|signatures?|md5|sha\d+)([-_.].*)?$|\.(md5|sha\d+|sum|sig|asc|sigstore)(\.json)?$/i,
    'checksums of other files',
  ],
  [
    /^((all_?)?results?|samples|details|metrics?|scores?|benchmarks?|generated_predictions|eval(s|uation|uations)?|(best_?|final_?)?(train|eval|evaluation|val|validation|valid|test|predict|bench|benchmark)[-_](results?|metrics?|scores?|loss|summary|output|report))([-_.].*)?\.jsonl?$/i,
    'results of an evaluation',
  ],
  [
    /^(optim|scheduler|lr_scheduler|rng_state|random_states|scaler|latest|zero_|global_step|mp_rank|pytorch_model_fsdp|events\.out)/,
    'training state',
  ],
  [/^(adapter_(config|model))\b/, 'belongs to an adapter'],
  [/\.(safetensors|bin|pt|pth|ckpt|distcp|gguf|onnx|h5|msgpack|npz|npy|pkl)$/, 'weights or state'],
  [/\.index(\.[^.]+)?\.json$/, 'an index of weights'],
  // config, generation_config, tokenizer, vocab, preprocessor, chat template, recipes of quantisation
  [/\.json$/, null],
  [/^config\.ya?ml$/, null], // nanotron's
  [/\.(py|jinja|tiktoken|model(\.v\d+)?|spm|bpe)$/, null], // custom code, chat templates, tokenizer models
  [/^(vocab|merges|tokenizer|special_tokens|added_tokens|source|target)[^/]*\.(txt|vocab)$/, null],
  [/^(LICEN[CS]E|COPYING|NOTICE|USE_POLICY|COPYRIGHT)([-_. ].*)?$/i, null],
];

/** Without it nanotron does not load its own layout; of other layouts it is training state. */
const NANOTRON_STATE = 'checkpoint_metadata.json';

/** Folders whose files belong with the model, by the files in them. */
const FOLDERS: readonly (readonly [folder: RegExp, files: RegExp])[] = [
  [/^additional_chat_templates$/, /\.jinja$/],
  // Modules of sentence-transformers without weights, which modules.json names.
  [/^\d+_(Pooling|Normalize)$/, /^config\.json$/],
];

/** Custom code, which whoever loads the model may run. */
export const isCode = ({ name }: Pick<SideFile, 'name'>): boolean => name.endsWith('.py');

/**
 * Which files beside the weights belong with a merge of this checkpoint (configuration, tokenizer, chat
 * templates, custom code, licence) and which stay behind (training state, other weights, the card; a link
 * that leads outside). Regular files only, each opened once. A single file has none.
 * @throws MergeError E_NOT_READABLE, E_TOO_MANY_FILES, E_IO
 */
export async function sideFiles(
  checkpoint: Pick<Checkpoint, 'path' | 'kind' | 'files' | 'heads' | 'indexName'> & { readonly namesPerFile?: boolean },
  { followLinks = false, floats = false }: SideFileOptions = {},
): Promise<SideFiles> {
  if (checkpoint.kind === 'file') return { copied: [], left: [], faults: [] };
  const folder = checkpoint.path;
  const ground = await groundOf(folder, followLinks);
  // A shard may lie in a folder, which then is the weights' own.
  const own = new Set([...[...checkpoint.files, ...checkpoint.heads].map(({ name }) => name.split('/')[0]), checkpoint.indexName]);
  const copied: SideFile[] = [];
  const left: LeftFile[] = [];
  const faults: MergeError[] = [];
  const orFault = async (name: string, look: () => Promise<void>): Promise<void> => {
    try {
      await look();
    } catch (error) {
      if (!(error instanceof MergeError) || !FAULTS.has(error.code)) throw error;
      faults.push(fault(join(folder, name), error));
    }
  };
  const add = (name: string): Promise<void> =>
    orFault(name, async () => {
      const found = await findSideFile(folder, name, ground);
      const topic = 'reason' in found ? null : await topicOf(name, found);
      if ('reason' in found) left.push(found);
      else if (topic !== null && (topic !== 'quantisation' || floats)) left.push(leftFor(name, topic));
      else copied.push(found);
    });
  const addFolder = (name: string, belongs: RegExp): Promise<void> =>
    orFault(name, async () => {
      const inner = await filesOfFolder(folder, name, belongs, ground);
      if (!Array.isArray(inner)) left.push(leftOutside(name, inner));
      else if (inner.length === 0) left.push({ name, reason: 'holds nothing that is known to belong to the model' });
      else for (const file of inner) await add(file);
    });
  for (const name of await namesIn(folder)) {
    if (own.has(name)) continue;
    const belongs = FOLDERS.find(([folder]) => folder.test(name))?.[1];
    const reason = checkpoint.namesPerFile && name === NANOTRON_STATE ? null : ruleFor(name);
    if (belongs !== undefined) await addFolder(name, belongs);
    else if (reason === null && floats && QUANTISATION.test(name)) left.push(leftFor(name, 'quantisation'));
    else if (reason === null) await add(name);
    else left.push({ name, reason: (await isFolder(join(folder, name))) ? 'a folder' : reason });
  }
  return { copied, left, faults };
}

/** Why a file is left whose name or keys say what it speaks of. */
function leftFor(name: string, topic: JsonTopic): LeftFile {
  const reason = TOPICS[topic];
  return topic === 'quantisation' ? { name, outdated: true, reason } : { name, reason };
}

const TOPICS: Readonly<Record<JsonTopic, string>> = {
  quantisation: 'says how weights are quantised, and those of the merge are plain floats',
  training: 'says how far training was',
  checksums: 'checksums of other files',
  container: 'says how the checkpoint was stored',
};

/** Where files of a folder may lie. */
export async function groundOf(folder: string, followLinks: boolean): Promise<LinkGround> {
  return followLinks ? null : linkGround(folder);
}

/** A file or folder that is left because its name leads outside. */
export function leftOutside(name: string, { leadsTo }: LeadsOutside): LeftFile {
  return { name, leadsTo, reason: 'leads outside the checkpoint and its run' };
}

/** What belongs with the model of a folder whose files do; a folder elsewhere is not even listed. */
async function filesOfFolder(folder: string, name: string, belongs: RegExp, ground: LinkGround): Promise<string[] | LeadsOutside> {
  const path = join(folder, name);
  const within = await resolveWithin(path, ground);
  if ('leadsTo' in within) return within;
  return (await namesIn(path)).filter((file) => belongs.test(file)).map((file) => `${name}/${file}`);
}

/**
 * Whether a file of this name is usual in a checkpoint, be it copied into merges or left behind. Hidden ones
 * are not: they are what a program that uses the folder keeps there.
 */
export function belongsToCheckpoint(name: string): boolean {
  return !name.startsWith('.') && RULES.some(([pattern]) => pattern.test(name));
}

/** Why a file is left; null copies. */
function ruleFor(name: string): string | null {
  if (name.includes('\uFFFD')) return 'its name is no UTF-8';
  const rule = RULES.find(([pattern]) => pattern.test(name));
  return rule === undefined ? 'not known to belong to the model' : rule[1];
}

/** A file of a folder as it is to be copied, or why it is left. @throws MergeError where it cannot be had */
export async function findSideFile(folder: string, name: string, ground: LinkGround): Promise<SideFile | LeftFile> {
  const path = join(folder, name);
  const within = await resolveWithin(path, ground);
  if ('leadsTo' in within) return leftOutside(name, within);
  // Folders have such names now and then; of the configuration there is no doubt.
  if (name !== 'config.json' && (await isFolder(path))) return { name, reason: 'a folder' };
  const found = await lookAt(path, within.real);
  if (found.size > MAX_SIDE_FILE_BYTES)
    throw new MergeError(
      'E_NOT_READABLE',
      `${path}: it has ${found.size} bytes, more than any file beside the weights has (${MAX_SIDE_FILE_BYTES})`,
      {
        details: { file: path },
      },
    );
  const other = found.size === 0 ? null : otherText(await startOf(found));
  if (other !== null) throw otherContentError(path, other);
  return { name, ...found };
}

/** The first bytes of the very file that was looked at. */
async function startOf(found: FoundFile): Promise<Buffer> {
  const file = await openFound(found);
  try {
    const start = Buffer.alloc(Math.min(START_BYTES, found.size));
    return start.subarray(0, await file.read(start, 0));
  } finally {
    await file.close();
  }
}

const FAULTS: ReadonlySet<string> = new Set(['E_NOT_FOUND', 'E_NOT_READABLE', 'E_INPUT_CHANGED', 'E_OTHER_CONTENT']);

/** What its folder names and cannot be found is the end of a link. */
function fault(path: string, cause: MergeError): MergeError {
  const code = cause.code === 'E_NOT_FOUND' ? 'E_NOT_READABLE' : cause.code;
  return new MergeError(code, `${cause.message}; it belongs to the model, and the merge would have to do without it`, {
    details: { ...cause.details, file: path },
    cause,
  });
}

async function isFolder(path: string): Promise<boolean> {
  const stat = await storeOf(path)
    .stat(path)
    .catch(() => null);
  return stat?.kind === 'folder';
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await storeOf(folder).list(folder);
  return (entries ?? []).map(({ name }) => name).sort();
}
