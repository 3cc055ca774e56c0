import { join } from 'node:path';
import { storeOf } from '../base/store/store.ts';
import type { Checkpoint } from './types.ts';

export interface SideFile {
  /** Path inside the checkpoint's folder, with `/` between its parts. */
  readonly name: string;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

export interface LeftFile {
  readonly name: string;
  readonly reason: string;
}

export interface SideFiles {
  /** Belongs with the model, and so with the merged model. Sorted by name. */
  readonly copied: readonly SideFile[];
  /** Stays behind, with the reason. Sorted by name. */
  readonly left: readonly LeftFile[];
}

/** The first row that matches decides; null copies. A name that matches none is left as unknown. */
const RULES: readonly (readonly [pattern: RegExp, reason: string | null])[] = [
  [/^\./, 'hidden'],
  [/^README(\..*)?$/i, 'a merge card takes its place'],
  [/^merge_(provenance\.json|recipe\.yaml)$/, 'tells of another merge'],
  [/^(trainer_state\.json|training_args\.(bin|json)|all_results\.json|(train|eval|test)_results\.json)$/, 'training state'],
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
  [/\.(py|jinja|tiktoken|model|spm|bpe)$/, null], // custom code, chat templates, tokenizer models
  [/^(vocab|merges|tokenizer|special_tokens|added_tokens|source|target)[^/]*\.(txt|vocab)$/, null],
  [/^(LICEN[CS]E|COPYING|NOTICE|USE_POLICY|COPYRIGHT)([-_. ].*)?$/i, null],
];

/** Folders whose files belong with the model, by the files in them. */
const FOLDERS: ReadonlyMap<string, RegExp> = new Map([['additional_chat_templates', /\.jinja$/]]);

/**
 * Which files beside the weights belong with a merge of this checkpoint (configuration, tokenizer, chat
 * templates, custom code, licence) and which stay behind (training state, other weights, the card). Regular
 * files only, through symbolic links. A single file has none.
 * @throws MergeError E_NOT_READABLE, E_IO
 */
export async function sideFiles(checkpoint: Pick<Checkpoint, 'path' | 'kind' | 'shards' | 'indexName'>): Promise<SideFiles> {
  if (checkpoint.kind === 'file') return { copied: [], left: [] };
  const folder = checkpoint.path;
  // A shard may lie in a folder, which then is the weights' own.
  const own = new Set([...checkpoint.shards.map(({ name }) => name.split('/')[0]), checkpoint.indexName]);
  const copied: SideFile[] = [];
  const left: LeftFile[] = [];
  for (const name of await names(folder)) {
    if (own.has(name)) continue;
    const templates = FOLDERS.get(name);
    const inner = templates === undefined ? [] : (await names(join(folder, name))).filter((file) => templates.test(file));
    for (const candidate of inner.length > 0 ? inner.map((file) => `${name}/${file}`) : [name]) {
      const reason = inner.length > 0 ? null : ruleFor(name);
      const found = await classify(join(folder, candidate), reason);
      if (typeof found === 'string') left.push({ name: candidate, reason: found });
      else copied.push({ name: candidate, ...found });
    }
  }
  return { copied, left };
}

function ruleFor(name: string): string | null {
  const rule = RULES.find(([pattern]) => pattern.test(name));
  return rule === undefined ? 'not known to belong to the model' : rule[1];
}

/** The file, or why it is left. */
async function classify(path: string, reason: string | null): Promise<{ path: string; size: number } | string> {
  const stat = await storeOf(path)
    .stat(path)
    .catch(() => null);
  if (stat === null) return 'a broken link, or not readable';
  if (stat.kind === 'folder') return 'a folder';
  if (stat.kind !== 'file') return 'not a regular file';
  return reason ?? { path, size: stat.size };
}

async function names(folder: string): Promise<string[]> {
  const entries = await storeOf(folder).list(folder);
  return (entries ?? []).map(({ name }) => name).sort();
}
