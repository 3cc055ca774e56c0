import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generator } from './checkpoints.ts';

/** A tensor as its file holds it. */
export interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}
export type Tensors = Record<string, Stored>;

const [H, I, V] = [16, 32, 64];

export const CONFIG: Readonly<Record<string, unknown>> = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: H,
  intermediate_size: I,
  vocab_size: V,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000.0,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  bos_token_id: 1,
  eos_token_id: 2,
  transformers_version: '4.46.0',
};

/** Values of a BF16 tensor, 0.2 wide; those of another step lie up to `apart` away. */
function bf16Values(count: number, name: string, step: number, around: number, apart: number): Buffer {
  const hash = [...name].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7);
  const [base, moved] = [generator(hash), generator(hash ^ (step * 7919))];
  const centred = (next: () => number) => next() / 2 ** 32 - 0.5;
  const bytes = Buffer.alloc(count * 2);
  for (let i = 0; i < count; i++) bytes.writeUInt16LE(toBf16(around + centred(base) * 0.2 + centred(moved) * apart), i * 2);
  return bytes;
}

export function bf16(name: string, shape: readonly number[], step: number, around = 0, apart = 0.02): Stored {
  const count = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'BF16', shape, bytes: bf16Values(count, name, step, around, apart) };
}

export function bytesOf(count: number, seed: number, mask = 0xff): Buffer {
  const next = generator(seed);
  return Buffer.from(Uint8Array.from({ length: count }, () => next() & mask));
}

/** A Llama of two layers in the names of transformers, at a step of its training. */
export function llama(step: number, { head = true, prefix = '' } = {}): Tensors {
  const tensors: Tensors = {};
  const add = (name: string, shape: readonly number[], around = 0) => {
    tensors[`${prefix}${name}`] = bf16(name, shape, step, around);
  };
  add('model.embed_tokens.weight', [V, H]);
  for (const l of [0, 1]) {
    const layer = `model.layers.${l}.`;
    for (const n of ['q', 'k', 'v', 'o']) add(`${layer}self_attn.${n}_proj.weight`, [H, H]);
    for (const n of ['gate', 'up']) add(`${layer}mlp.${n}_proj.weight`, [I, H]);
    add(`${layer}mlp.down_proj.weight`, [H, I]);
    for (const n of ['input', 'post_attention']) add(`${layer}${n}_layernorm.weight`, [H], 1);
  }
  add('model.norm.weight', [H], 1);
  if (head) add('lm_head.weight', [V, H]);
  return tensors;
}

/** The file that safetensors' own `save_file` would write. */
function safetensorsFile(tensors: Tensors, metadata: Record<string, string> | null = { format: 'pt' }): Buffer {
  let at = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
    const data_offsets = [at, at + bytes.length];
    at += bytes.length;
    return [name, { dtype, shape, data_offsets }];
  });
  const text = JSON.stringify({ ...(metadata !== null && { __metadata__: metadata }), ...Object.fromEntries(entries) });
  const header = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...Object.values(tensors).map(({ bytes }) => bytes)]);
}

export interface SaveOptions {
  /** Null: there is none; a string is its whole content. */
  readonly config?: Readonly<Record<string, unknown>> | string | null;
  readonly shards?: number;
  /** `metadata` of the index; its total_size alone when absent. */
  readonly indexMetadata?: Readonly<Record<string, unknown>>;
  /** What stands before the file names in the index. */
  readonly filePrefix?: string;
  readonly metadata?: Record<string, string> | null;
}

/** Writes a checkpoint as transformers does. */
export function save(folder: string, tensors: Tensors, options: SaveOptions = {}): string {
  const { config = CONFIG, shards = 1, indexMetadata, filePrefix = '', metadata } = options;
  mkdirSync(folder, { recursive: true });
  if (shards === 1) writeFileSync(join(folder, 'model.safetensors'), safetensorsFile(tensors, metadata));
  else {
    const names = Object.keys(tensors);
    const weight_map: Record<string, string> = {};
    for (let s = 0; s < shards; s++) {
      const part = names.slice(Math.floor((s * names.length) / shards), Math.floor(((s + 1) * names.length) / shards));
      const file = `model-${String(s + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
      writeFileSync(join(folder, file), safetensorsFile(Object.fromEntries(part.map((n) => [n, tensors[n]!])), metadata));
      for (const name of part) weight_map[name] = `${filePrefix}${file}`;
    }
    const total_size = Object.values(tensors).reduce((sum, { bytes }) => sum + bytes.length, 0);
    const index = { metadata: indexMetadata ?? { total_size }, weight_map };
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index, null, 2));
  }
  if (config !== null) writeFileSync(join(folder, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config, null, 2));
  return folder;
}

/** All tensors of the safetensors files of a folder. */
export function load(folder: string): Tensors {
  const tensors: Tensors = {};
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('.safetensors')) continue;
    const all = readFileSync(join(folder, file));
    const start = 8 + Number(all.readBigUInt64LE(0));
    const header = JSON.parse(all.toString('utf8', 8, start)) as Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>;
    for (const [name, entry] of Object.entries(header)) {
      if (name === '__metadata__') continue;
      const [from, to] = entry.data_offsets;
      tensors[name] = { dtype: entry.dtype, shape: entry.shape, bytes: all.subarray(start + from!, start + to!) };
    }
  }
  return tensors;
}

/** The mean of BF16 tensors as docs/arithmetic.md has it: float64 sums, float32, BF16; ties to even. */
function meanOf(tensors: readonly Stored[], weights = tensors.map(() => 1 / tensors.length)): Buffer {
  const out = Buffer.alloc(tensors[0]!.bytes.length);
  for (let i = 0; i < out.length; i += 2) {
    let sum = 0;
    for (const [k, { bytes }] of tensors.entries()) sum += weights[k]! * fromBf16(bytes.readUInt16LE(i));
    out.writeUInt16LE(toBf16(Math.fround(sum)), i);
  }
  return out;
}

/** Names of the tensors of a merge that are not the mean (with the weights) of its members. */
export function notTheMean(out: string, members: readonly string[], weights?: readonly number[]): string[] {
  const loaded = members.map(load);
  return Object.entries(load(out))
    .filter(
      ([name, { bytes }]) =>
        !bytes.equals(
          meanOf(
            loaded.map((tensors) => tensors[name]!),
            weights?.slice(),
          ),
        ),
    )
    .map(([name]) => name);
}

function fromBf16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

function toBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return Math.floor((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x10000) & 0xffff;
}
