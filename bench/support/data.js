/**
 * Synthetic checkpoints: safetensors folders with the tensors of a Llama (so that other tools accept them) or
 * of a large mixture of experts, filled with weights that look like weights: one shared base ~ N(0, 0.02)
 * plus a drift ~ N(0, 0.002) of each checkpoint. Seeded: the same bytes every time.
 */
import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { encodeFloat, FLOAT_BYTES } from '../../dist/base/numbers/float.js';

/** @typedef {'BF16' | 'F16' | 'F32'} BenchDtype */
/** @typedef {{ name: string, shape: number[] }} Tensor */
/** @typedef {{ tensors: Tensor[], config: Record<string, unknown> }} Model */

const elementsOf = (/** @type {Tensor} */ tensor) => tensor.shape.reduce((a, b) => a * b, 1);

/**
 * A Llama of about `bytes` in a 16-bit dtype; at 1.05e9 it is the 525 million parameters of the peers' table.
 * @param {number} bytes
 * @returns {Model}
 */
export function llama(bytes) {
  const hidden = 2048;
  const kv = 512;
  const inter = 2304;
  const perLayer = 2 * hidden * hidden + 2 * kv * hidden + 3 * inter * hidden + 2 * hidden;
  const layers = Math.max(1, Math.round(((bytes / 2) * 0.75) / perLayer));
  const vocab = Math.max(64, Math.round((bytes / 2 - layers * perLayer) / (2 * hidden) / 64) * 64);
  const tensors = [{ name: 'model.embed_tokens.weight', shape: [vocab, hidden] }];
  for (let layer = 0; layer < layers; layer++) {
    const add = (/** @type {string} */ name, /** @type {number[]} */ ...shape) =>
      tensors.push({ name: `model.layers.${layer}.${name}.weight`, shape });
    add('input_layernorm', hidden);
    add('mlp.down_proj', hidden, inter);
    add('mlp.gate_proj', inter, hidden);
    add('mlp.up_proj', inter, hidden);
    add('post_attention_layernorm', hidden);
    add('self_attn.k_proj', kv, hidden);
    add('self_attn.o_proj', hidden, hidden);
    add('self_attn.q_proj', hidden, hidden);
    add('self_attn.v_proj', kv, hidden);
  }
  tensors.push({ name: 'model.norm.weight', shape: [hidden] }, { name: 'lm_head.weight', shape: [vocab, hidden] });
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: inter,
    num_hidden_layers: layers,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    head_dim: 128,
    vocab_size: vocab,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
  };
  return { tensors, config };
}

/**
 * `count` expert matrices of 64 KB in a 16-bit dtype, named like those of a large mixture of experts.
 * @param {number} count
 * @returns {Tensor[]}
 */
export function expertTensors(count) {
  const parts = ['down_proj', 'gate_proj', 'up_proj'];
  const whole = count - (count % 3);
  return Array.from({ length: count }, (_, i) => {
    // An expert without all three of its matrices would be refused.
    const place = i < whole ? `mlp.experts.${Math.floor(i / 3) % 512}.${parts[i % 3]}` : `self_attn.${i === whole ? 'q' : 'k'}_proj`;
    return { name: `model.layers.${Math.floor(i / 1536)}.${place}.weight`, shape: [128, 256] };
  });
}

/** Normal deviates by Box-Muller from a seeded 32-bit generator (mulberry32). */
function normals(/** @type {number} */ count, /** @type {number} */ sigma, /** @type {number} */ seed) {
  let state = seed | 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => sigma * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

// Prime lengths: base and drift repeat at different periods, so that their sums do not.
const BASE = 1_048_583;
const DRIFT = 262_147;
/** @type {Float32Array | undefined} */
let base;

/**
 * The element bytes of checkpoint `seed`, in consecutive pieces.
 * @param {BenchDtype} dtype
 * @param {number} seed
 * @returns {(elements: number) => Uint8Array}
 */
function weightStream(dtype, seed) {
  base ??= normals(BASE, 0.02, 1);
  const shared = base;
  const drift = normals(DRIFT, 0.002, 1000 + seed);
  const halves = dtype === 'F16' ? halfTable(shared) : undefined;
  let b = dtype === 'F16' ? (seed * 7919) % BASE : 0;
  let d = 0;
  return (elements) => {
    const sums = new Float32Array(halves ? 0 : elements);
    const codes = new Uint16Array(dtype === 'F32' ? 0 : elements);
    const bits = new Uint32Array(sums.buffer);
    for (let i = 0; i < elements; i++) {
      if (halves) codes[i] = halves[b];
      else sums[i] = shared[b] + drift[d];
      if (++b === BASE) b = 0;
      if (++d === DRIFT) d = 0;
    }
    if (dtype === 'BF16') {
      for (let i = 0; i < elements; i++) {
        const u = bits[i];
        codes[i] = (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
      }
    }
    const out = dtype === 'F32' ? sums : codes;
    return new Uint8Array(out.buffer);
  };
}

/** float16 codes of the base. Only F16 checkpoints need them, so the slow exact conversion will do. */
function halfTable(/** @type {Float32Array} */ values) {
  const view = new DataView(new ArrayBuffer(values.length * 2));
  for (let i = 0; i < values.length; i++) encodeFloat('F16', values[i], view, i);
  return new Uint16Array(view.buffer);
}

/**
 * The first bytes of a safetensors file: length, JSON, spaces up to a multiple of 8 or up to `padTo` bytes.
 * @param {readonly Tensor[]} tensors
 * @param {BenchDtype} dtype
 * @param {number} [padTo]
 */
export function headerBytes(tensors, dtype, padTo = 0) {
  let at = 0;
  /** @type {Record<string, unknown>} */
  const entries = { __metadata__: { format: 'pt' } };
  for (const tensor of tensors) {
    const end = at + elementsOf(tensor) * FLOAT_BYTES[dtype];
    entries[tensor.name] = { dtype, shape: tensor.shape, data_offsets: [at, end] };
    at = end;
  }
  const json = Buffer.from(JSON.stringify(entries));
  const length = Math.max(padTo - 8, Math.ceil(json.length / 8) * 8);
  const bytes = Buffer.alloc(8 + length, ' ');
  bytes.writeBigUInt64LE(BigInt(length), 0);
  json.copy(bytes, 8);
  return { bytes, dataBytes: at };
}

/** The tensors in `count` consecutive shards of about equal bytes. */
function split(/** @type {readonly Tensor[]} */ tensors, /** @type {number} */ count) {
  const total = tensors.reduce((sum, tensor) => sum + elementsOf(tensor), 0);
  /** @type {Tensor[][]} */
  const shards = Array.from({ length: count }, () => []);
  let seen = 0;
  for (const tensor of tensors) {
    const middle = seen + elementsOf(tensor) / 2;
    /** @type {Tensor[]} */ (shards[Math.min(count - 1, Math.floor((middle / total) * count))]).push(tensor);
    seen += elementsOf(tensor);
  }
  return shards;
}

/**
 * Writes a checkpoint folder, unless one of the same description is there. Returns its shard paths.
 * @param {string} dir
 * @param {{ tensors: readonly Tensor[], config?: Record<string, unknown>, dtype?: BenchDtype, shards?:
 *   number, seed?: number, holes?: boolean, padTo?: number }} spec `holes`: sizes only, no data (for what
 *   reads headers).
 */
export function makeCheckpoint(dir, { tensors, config = {}, dtype = 'BF16', shards = 2, seed = 0, holes = false, padTo = 0 }) {
  const parts = split(tensors, shards);
  const name = (/** @type {number} */ s) =>
    shards === 1 ? 'model.safetensors' : `model-${String(s + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
  const paths = parts.map((_, s) => join(dir, name(s)));
  const done = `${dir}.complete`; // beside the folder: inside, it would be one of its files
  if (existsSync(done)) return paths;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const next = weightStream(dtype, seed);
  /** @type {Record<string, string>} */
  const weightMap = {};
  let totalSize = 0;
  for (const [s, part] of parts.entries()) {
    const fd = openSync(paths[s], 'w');
    const header = headerBytes(part, dtype, padTo);
    writeSync(fd, header.bytes);
    if (holes) ftruncateSync(fd, header.bytes.length + header.dataBytes);
    else {
      for (let left = header.dataBytes / FLOAT_BYTES[dtype]; left > 0; ) {
        const elements = Math.min(left, 1 << 22);
        writeSync(fd, next(elements));
        left -= elements;
      }
    }
    fsyncSync(fd); // or its write-back would go on during what is measured
    closeSync(fd);
    totalSize += header.dataBytes;
    for (const tensor of part) weightMap[tensor.name] = name(s);
  }
  if (shards > 1) {
    writeFileSync(
      join(dir, 'model.safetensors.index.json'),
      JSON.stringify({ metadata: { total_size: totalSize }, weight_map: weightMap }),
    );
  }
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ model_type: 'llama', ...config }));
  writeFileSync(done, '');
  return paths;
}

/**
 * Gives a file of holes a last block of its own: checkpoints of one content are the same member several times,
 * and compared whole.
 * @param {string} file
 * @param {number} value
 */
export function differ(file, value) {
  const fd = openSync(file, 'r+');
  try {
    writeSync(fd, Buffer.alloc(4096, value), 0, 4096, fstatSync(fd).size - 4096);
  } finally {
    closeSync(fd);
  }
}
