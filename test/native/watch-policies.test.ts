import { cpSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { dtypeByCode } from '../../src/base/dtype.ts';
import { decodeFloat, encodeFloat, FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import { average, parsePolicy, verify, type WatchOptions, type WatchSummary, watch } from '../../src/index.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { reordered, someLayers, trained, writeMoeRun } from '../support/moe-run.ts';

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
let run: string;
let output: string;
let count = 0;
beforeEach(() => {
  run = join(temporary.path, String(++count), 'run');
  output = join(run, '../merges');
  mkdirSync(run, { recursive: true });
});

const QUANTISED = join(import.meta.dirname, '../golden/quantised');
const ROUTER = 'model.layers.0.mlp.gate.weight';
const BIAS = 'model.layers.0.mlp.gate.e_score_correction_bias';
const EXPERT = 'model.layers.0.mlp.experts.1.up_proj.weight';
const EMBEDDING = 'model.embed_tokens.weight';
const IDS = 'model.position_ids';
const CONFIG = JSON.stringify({ model_type: 'deepseek_v3', num_hidden_layers: 1, n_routed_experts: 2, num_experts_per_tok: 1 });

/** A checkpoint of which every float is `value`. */
function save(step: number, value: number, extra: readonly FixtureTensor[] = []): void {
  const tensors = [EMBEDDING, ROUTER, EXPERT.replace('.1.', '.0.'), EXPERT].map((name) => filled(name, 'BF16', [2, 4], value));
  const ids = { name: IDS, dtype: 'I64' as const, shape: [2], data: new Uint8Array(16) };
  writeCheckpoint(join(run, `checkpoint-${step}`), [[...tensors, filled(BIAS, 'F32', [2], value), ids, ...extra]], step, {
    'config.json': CONFIG,
  });
}

function filled(name: string, dtype: 'BF16' | 'F32', shape: readonly number[], value: number): FixtureTensor {
  const elements = shape.reduce((a, b) => a * b, 1);
  const data = new Uint8Array(elements * FLOAT_BYTES[dtype]);
  for (let i = 0; i < elements; i++) encodeFloat(dtype, value, new DataView(data.buffer), i);
  return { name, dtype, shape, data };
}

/** The one value of each float tensor; its dtype goes before it where it is not BF16. */
async function valuesOf(name: string): Promise<Record<string, number | string>> {
  const { shards } = await openCheckpoint(join(output, name));
  const { path, header } = shards[0]!;
  const file = readFileSync(path);
  const { tensors } = header;
  return Object.fromEntries(
    tensors.names.flatMap((tensor, row) => {
      const dtype = dtypeByCode(tensors.dtypes[row]!).name;
      if (dtype !== 'BF16' && dtype !== 'F32') return [];
      const [begin, end] = [tensors.begin[row]!, tensors.end[row]!];
      const view = new DataView(file.buffer, file.byteOffset + header.dataStart + begin, end - begin);
      const values = Array.from({ length: (end - begin) / FLOAT_BYTES[dtype] }, (_, i) => decodeFloat(dtype, view, i));
      expect(new Set(values).size).toBe(1);
      return [[tensor, dtype === 'BF16' ? values[0]! : `${dtype} ${values[0]}`]];
    }),
  );
}

/** Every element of every tensor in BF16. */
async function bf16Of(path: string): Promise<Record<string, number[]>> {
  const { shards } = await openCheckpoint(path);
  const { header, path: file } = shards[0]!;
  const bytes = readFileSync(file);
  const view = new DataView(bytes.buffer, bytes.byteOffset + header.dataStart);
  const out = new DataView(new ArrayBuffer(2));
  return Object.fromEntries(
    header.tensors.names.map((name, row) => {
      const { dtype, shape, begin } = header.tensors.info(row);
      const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
        const size = FLOAT_BYTES[dtype as 'F32'];
        encodeFloat('BF16', decodeFloat(dtype as 'F32', view, begin / size + i), out, 0);
        return out.getUint16(0, true);
      });
      return [name, values];
    }),
  );
}

const once = (options: Partial<WatchOptions> = {}): Promise<WatchSummary> =>
  watch({ run, output, once: true, poll: 0.02, settle: 0, ...options });

describe('windows', () => {
  it('treat tensors by policy, as average does, and are verified', async () => {
    for (const step of [1, 2, 4]) save(step, step);
    const policies = [parsePolicy('role=experts:method=wma'), parsePolicy('role=embeddings:dtype=F32')];
    const { merges, failed } = await once({ router: 'newest', policies });
    expect(failed).toEqual([]);
    expect(merges[0]!.members.map(({ weight }) => weight)).toEqual([1 / 3, 1 / 3, 1 / 3]);
    // The mean of 1, 2 and 4; (1·1 + 2·2 + 3·4) / 6 in BF16.
    expect(await valuesOf('merged-checkpoint-4')).toMatchObject({
      [EMBEDDING]: `F32 ${Math.fround(7 / 3)}`,
      [ROUTER]: 4,
      [BIAS]: 'F32 4',
      [EXPERT]: 2.828125,
    });
    expect((await verify(join(output, 'merged-checkpoint-4'), { full: true })).recomputed.mode).toBe('full');
    const alone = join(output, 'alone');
    await average({ inputs: [run], output: alone, router: 'newest', policies });
    const file = (folder: string) => readFileSync(join(folder, 'model.safetensors'));
    expect(file(join(output, 'merged-checkpoint-4')).equals(file(alone))).toBe(true);
  });

  it('have oldest and newest of their own', async () => {
    save(1, 1);
    save(2, 2);
    await once({ router: 'oldest', select: { last: 2 } });
    expect((await valuesOf('merged-checkpoint-2'))[ROUTER]).toBe(1);
    save(3, 3);
    await once({ router: 'oldest', select: { last: 2 } });
    expect((await valuesOf('merged-checkpoint-3'))[ROUTER]).toBe(2);
  });

  it('do not average a tensor that nobody knows unless that is allowed, and go on', async () => {
    save(1, 1, [filled('model.layers.0.surprise', 'BF16', [8], 1)]);
    save(2, 2, [filled('model.layers.0.surprise', 'BF16', [8], 3)]);
    expect((await once()).failed).toMatchObject([{ checkpoint: 'checkpoint-2', error: { code: 'E_UNKNOWN_TENSOR' } }]);
    save(3, 3, [filled('model.layers.0.surprise', 'BF16', [8], 3)]);
    const { merges } = await once({ allowUnknown: true });
    expect(merges.map(({ checkpoint }) => checkpoint)).toEqual(['checkpoint-3']);
    expect((await valuesOf('merged-checkpoint-3'))['model.layers.0.surprise']).toBe(Math.fround(2.328125));
  });

  it('do not mix experts that changed places unless that is allowed', async () => {
    const first = someLayers(1);
    writeMoeRun(run, [first, reordered(trained(first, 2), 1, [2, 1, 0, 3, 4, 5])]);
    expect((await once()).failed).toMatchObject([{ checkpoint: 'checkpoint-200', error: { code: 'E_PERMUTED' } }]);
    const { merges } = await once({ output: join(output, '../forced'), allowPermuted: true });
    expect(merges.map(({ checkpoint }) => checkpoint)).toEqual(['checkpoint-200']);
  });
});

describe('an accumulator', () => {
  it('takes routers as they are, and experts by a recursion of their own', async () => {
    for (const [step, value] of [
      [1, 8],
      [2, 16],
      [3, 32],
    ] as const)
      save(step, value);
    const policies = [parsePolicy('role=experts:method=ema,alpha=0.5')];
    const { merges, failed } = await once({ accumulate: 'ema', alpha: 0.25, router: 'newest', policies });
    expect([merges.length, failed]).toEqual([3, []]);
    // 8; 0.75·8 + 0.25·16 = 10; 0.75·10 + 0.25·32 = 15.5. Experts: 8; 12; 22.
    const values = { [EMBEDDING]: 15.5, [ROUTER]: 32, [BIAS]: 'F32 32', [EXPERT]: 22 };
    expect(await valuesOf('merged-checkpoint-3')).toMatchObject(values);
    expect(await valuesOf('accumulator-checkpoint-3')).toMatchObject({ [EMBEDDING]: 'F32 15.5', [ROUTER]: 'F32 32', [EXPERT]: 'F32 22' });
    await verify(join(output, 'merged-checkpoint-3'), { sample: 0 });
  });

  it('keeps what it began with where the oldest is asked for', async () => {
    for (const step of [1, 2, 3]) save(step, step);
    await once({ accumulate: 'ema', router: 'oldest', policies: [parsePolicy('name=model.position_ids:use=drop')] });
    expect((await valuesOf('merged-checkpoint-3'))[ROUTER]).toBe(1);
    expect((await openCheckpoint(join(output, 'merged-checkpoint-3'))).locate(IDS)).toBeUndefined();
  });

  it('has half-lives of its own for some tensors', async () => {
    for (const [step, value] of [
      [10, 8],
      [20, 16],
    ] as const)
      save(step, value);
    await once({ accumulate: 'ema', alpha: 0.25, policies: [parsePolicy('role=experts:method=ema,half-life=10steps')] });
    expect(await valuesOf('merged-checkpoint-20')).toMatchObject({ [EMBEDDING]: 10, [EXPERT]: 12 });
  });
});

describe('quantised runs', () => {
  const golden = (name: string) => {
    for (const step of [1, 2]) cpSync(join(QUANTISED, name, `step-${step}`), join(run, `step-${step}`), { recursive: true });
  };

  it('stay quantised in windows where that is asked', async () => {
    golden('mxfp4');
    await expect(once()).rejects.toMatchObject({ code: 'E_DTYPE_NEEDED', exitCode: 2 });
    expect((await once({ dtype: 'same' })).merges).toHaveLength(1);
    expect((await verify(join(output, 'merged-step-2'), { full: true })).recomputed.mode).toBe('full');
  });

  it('are accumulated through their values, into merges of floats', async () => {
    golden('block');
    await expect(once({ accumulate: 'ema', alpha: 0.75 })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('is quantised'),
    });
    const { merges, failed } = await once({ accumulate: 'ema', alpha: 0.75, dtype: 'F32' });
    expect([merges.length, failed]).toEqual([2, []]);
    // torch gives 0.25·x1 + 0.75·x2 of the dequantised values, which float32 holds.
    const [found, expected] = [join(output, 'merged-step-2'), join(QUANTISED, 'block', 'floats')].map(async (path) => bf16Of(path));
    expect(await found).toEqual(await expected);
    expect(JSON.parse(readFileSync(join(output, 'merged-step-2', 'config.json'), 'utf8'))).not.toHaveProperty('quantization_config');
  });

  it('are not accumulated where codes and floats lie differently', async () => {
    golden('mxfp4');
    const error = { exitCode: 2, message: expect.stringContaining('transposed') };
    await expect(once({ accumulate: 'ema', dtype: 'BF16' })).rejects.toMatchObject(error);
    expect(readdirSync(output).filter((name) => !name.startsWith('.'))).toEqual([]);
  });
});

describe('what no watch can do ends it before the first merge', () => {
  it.each<[string, Partial<WatchOptions>, RegExp]>([
    ['the routers of a step', { router: 1 }, /^router 1: windows move on, and step 1 is in none of the later ones/],
    [
      'weights for some tensors',
      { policies: [{ role: 'experts', weights: [0.5, 0.5] }] },
      /^policy role=experts:weights=0.5,0.5: a list of weights/,
    ],
    [
      'extrapolation of some tensors',
      { policies: [{ role: 'experts', method: 'extrapolate', gamma: 1 }] },
      /extrapolation has windows of its own/,
    ],
    ['a policy that says nothing', { policies: [{ role: 'experts' }] }, /must say what to do/],
    ['a role that is none', { policies: [{ role: 'exprets', use: 'newest' }] }, /did you mean experts\?/],
    ['a policy for no tensor', { policies: [{ role: 'mtp', use: 'newest' }] }, /mtp/],
    ['a step in an accumulator', { accumulate: 'ema', router: 1 }, /^router 1: an accumulator holds no checkpoint by itself/],
    ['a dtype in one', { accumulate: 'ema', policies: [{ role: 'experts', dtype: 'BF16' }] }, /an accumulator is float32/],
    [
      'another method in one',
      { accumulate: 'ema', policies: [{ role: 'experts', method: 'sma' }] },
      /sma needs the checkpoints themselves/,
    ],
    ['weights in one', { accumulate: 'ema', policies: [{ role: 'experts', weights: [1] }] }, /weights needs the checkpoints themselves/],
  ])('%s', async (_, options, message) => {
    save(1, 1);
    save(2, 2);
    await expect(once(options)).rejects.toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
    expect(readdirSync(join(run, '..')).includes('merges') ? readdirSync(output).filter((name) => !name.startsWith('.')) : []).toEqual([]);
  });

  it('all of it at once', async () => {
    const policies = [parsePolicy('role=experts:weights=0.5,0.5'), parsePolicy('role=norms:use=12')];
    const error = await once({ policies, router: 3 }).catch((e) => e);
    expect(error.details.conflicts).toHaveLength(3);
  });
});
