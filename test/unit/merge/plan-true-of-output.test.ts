import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeIndex } from '../../../src/checkpoints/containers/safetensors/encode-index.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import type { OutputRequest } from '../../../src/merge/plan/types.ts';
import { type FixtureTensor, safetensorsBytes, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

let temporary: ReturnType<typeof temporaryFolder>;
beforeAll(() => {
  temporary = temporaryFolder();
});
afterAll(() => temporary.remove());

const tensor = (name: string, ...shape: number[]): FixtureTensor => ({ name, dtype: 'BF16', shape });
const FLOATS = [
  [tensor('model.embed_tokens.weight', 8, 4)],
  [tensor('model.layers.0.mlp.up_proj.weight', 6, 4), tensor('model.norm.weight', 4)],
];
const QUANTISED: readonly (readonly FixtureTensor[])[] = [
  FLOATS[0]!,
  [
    { name: 'model.layers.0.mlp.up_proj.weight', dtype: 'F8_E4M3', shape: [6, 4], data: new Uint8Array(24).fill(1) },
    { name: 'model.layers.0.mlp.up_proj.weight_scale_inv', dtype: 'F32', shape: [1, 1], data: new Uint8Array(4) },
    tensor('model.norm.weight', 4),
  ],
];
const FP8 = { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } };

let made = 0;
/** Two checkpoints of two files, with an index that says more. */
function run(shards: readonly (readonly FixtureTensor[])[], metadata: object, sides: Record<string, string> = {}): string[] {
  const folder = join(temporary.path, `run-${made++}`);
  return [1, 2].map((step) => {
    const path = writeCheckpoint(join(folder, `checkpoint-${step}`), shards, step, sides);
    if (shards.length === 1) return path;
    const index = join(path, 'model.safetensors.index.json');
    const { weight_map } = JSON.parse(readFileSync(index, 'utf8'));
    writeFileSync(index, encodeIndex({ metadata: metadata as Record<string, unknown>, weightMap: Object.entries<string>(weight_map) }));
    return path;
  });
}
async function planned(inputs: readonly string[], output: Omit<OutputRequest, 'path'> = {}) {
  const plan = await buildPlan({ inputs, outputs: [{ path: join(temporary.path, 'out'), ...output }] });
  const { index, files, edited, left, sideFiles } = plan.outputs[0]!;
  const { metadata } = JSON.parse(Buffer.from(index?.bytes ?? Buffer.from('{}')).toString());
  const headers = files.map((file) => JSON.parse(Buffer.from(file.header()).subarray(8).toString()).__metadata__);
  return { metadata, headers, edited, left, copied: sideFiles.map(({ name }) => name), warnings: plan.warnings };
}

describe('the index of a merge', () => {
  it('counts the tensors of the merge, whatever that of the newest member says', async () => {
    const inputs = run(FLOATS, { total_size: 9, total_parameters: 333312 });
    expect((await planned(inputs)).metadata).toEqual({ total_parameters: 60, total_size: 120 });
    expect((await planned(inputs, { dtype: 'F32' })).metadata).toEqual({ total_parameters: 60, total_size: 240 });
    const dropped = await planned(inputs, { policies: [{ name: 'model.layers.*', use: 'drop' }] });
    expect(dropped.metadata).toEqual({ total_parameters: 36, total_size: 72 });
  });

  it('counts quantised weights as what they stand for, and no scales', async () => {
    const inputs = run(QUANTISED, { total_parameters: 1 }, { 'config.json': JSON.stringify(FP8) });
    expect((await planned(inputs)).metadata.total_parameters).toBe(60);
    expect((await planned(inputs, { dtype: 'BF16' })).metadata).toEqual({ total_parameters: 60, total_size: 120 });
  });

  it('keeps no number that counts, and no text that describes, the files of the newest member', async () => {
    const inputs = run(FLOATS, {
      total_size: 1,
      format: 'pt',
      model: 'x',
      dtype: 'F32',
      mergekit_version: '1',
      sha256: 'a',
      shards: [1],
      sizes: { a: 1 },
      epoch: 3,
    });
    expect((await planned(inputs)).metadata).toEqual({ format: 'pt', model: 'x', total_size: 120 });
  });
});

describe('the headers of a merge', () => {
  it.each([[null], [{}], [{ note: 'x' }], [{ format: 'mlx' }]])(
    'name a format where those of the newest member are %j',
    async (metadata) => {
      const inputs = run([FLOATS.flat()], {}).map((path) => {
        writeFileSync(join(path, 'model.safetensors'), safetensorsBytes(FLOATS.flat(), 1, metadata));
        return path;
      });
      expect((await planned(inputs)).headers).toEqual([{ format: 'pt', ...metadata, ckpt_merge: expect.any(String) }]);
    },
  );

  it('have no checksum of tensors that are not theirs', async () => {
    const inputs = run([FLOATS.flat()], {}).map((path) => {
      writeFileSync(
        join(path, 'model.safetensors'),
        safetensorsBytes(FLOATS.flat(), 1, { format: 'pt', 'modelspec.hash_sha256': 'a', sha256: 'b' }),
      );
      return path;
    });
    expect((await planned(inputs)).headers[0]).not.toHaveProperty('sha256');
    expect(Object.keys((await planned(inputs)).headers[0]).sort()).toEqual(['ckpt_merge', 'format']);
  });
});

const header = async (shards: readonly (readonly FixtureTensor[])[], metadata: Record<string, string>, output = {}) => {
  const inputs = run([shards.flat()], {}, { 'config.json': JSON.stringify(shards === QUANTISED ? FP8 : {}) }).map((path) => {
    writeFileSync(join(path, 'model.safetensors'), safetensorsBytes(shards.flat(), 1, metadata));
    return path;
  });
  const { ckpt_merge: _, ...own } = (await planned(inputs, output)).headers[0];
  return own;
};
const SAID = {
  format: 'pt',
  step: '1100',
  loss: '1.1',
  'eval/loss': 'low',
  total_parameters: '999',
  total_size: '1 GB',
  epoch: 'two',
  saved_on: '1732900000',
  ratio: '0.5',
  nothing: 'NaN',
  last_modified_time: 'today',
  torch_dtype: 'float32',
  transformers_version: '4.57.1',
  shards: '["a", "b"]',
  training: '{"step": 1100}',
};

describe('the headers of a merge, of what those of the newest member say', () => {
  it('keep what may be true, and nothing that counts, dates, scores or describes its files', async () => {
    const kept = { format: 'pt', model: 'x', author: 'somebody', license: 'MIT, 2026', tied: 'true', config: '{"in_channels": 4}' };
    expect(await header(FLOATS, { ...SAID, ...kept, quantization: 'fp8', _quantization_metadata: '{"format": "fp8"}' })).toEqual(kept);
  });

  it('keep how weights are quantised where those of the merge are', async () => {
    const quantised = { quantization: 'fp8', _quantization_metadata: '{"layers": {}}' };
    expect(await header(QUANTISED, { ...SAID, ...quantised, training: 'x' })).toMatchObject(quantised);
    expect(await header(QUANTISED, { ...SAID, ...quantised }, { dtype: 'BF16' })).toEqual({ format: 'pt' });
  });
});

describe('what says how weights are quantised', () => {
  const sides = {
    'config.json': JSON.stringify({ ...FP8, torch_dtype: 'float8_e4m3fn' }),
    'params.json': '{"dim": 4, "quantization": {"qformat_weight": "fp8_e4m3"}, "norm_eps": 1e-05}',
    'hf_quant_config.json': '{"quantization": {"quant_algo": "FP8"}}',
    'tokenizer.json': '{}',
  };

  it('stays behind where the merge is plain floats, and is named', async () => {
    const { copied, left, edited, warnings } = await planned(run(QUANTISED, {}, sides), { dtype: 'BF16' });
    expect(copied).toEqual(['config.json', 'params.json', 'tokenizer.json']);
    expect(left.filter(({ outdated }) => outdated).map(({ name }) => name)).toEqual(['hf_quant_config.json']);
    expect(edited.map(({ name, text }) => [name, text])).toEqual([
      ['config.json', '{"torch_dtype":"bfloat16"}'],
      ['params.json', '{"dim": 4, "norm_eps": 1e-05}'],
    ]);
    expect(warnings.find(({ code }) => code === 'W_FILE_LEFT')!.message).toMatch(
      /checkpoint-2: hf_quant_config\.json left out of .*plain floats/,
    );
  });

  it('comes along where the merge is quantised', async () => {
    const { copied, edited, warnings } = await planned(run(QUANTISED, {}, sides));
    expect([copied, edited]).toEqual([['config.json', 'hf_quant_config.json', 'params.json', 'tokenizer.json'], []]);
    expect(warnings.map(({ code }) => code)).not.toContain('W_FILE_LEFT');
  });

  it('stays behind beside floats that never were quantised', async () => {
    const { copied } = await planned(run(FLOATS, {}, { 'config.json': '{}', 'quant_config.json': '{"w_bit": 4}' }));
    expect(copied).toEqual(['config.json']);
  });
});

describe('the configuration of a merge in another form than its newest member', () => {
  const fp8 = () => run(QUANTISED, {}, { 'config.json': JSON.stringify({ n: 1, ...FP8 }) });
  const plain = () => run(FLOATS, {}, { 'config.json': '{"n":1}' });
  const plan = async (inputs: string[], like: string) => {
    const { outputs, warnings } = await buildPlan({
      inputs,
      like,
      allowMixedDtypes: true,
      outputs: [{ path: join(temporary.path, 'out') }],
    });
    return { edited: outputs[0]!.edited.map(({ text }) => text), codes: warnings.map(({ code }) => code) };
  };

  it('does not say that floats are quantised', async () => {
    expect((await plan(fp8(), plain()[0]!)).edited).toEqual(['{"n":1}']);
  });

  it('is told of where it does not say that weights are quantised', async () => {
    const [like, newest] = [fp8()[0]!, plain()[1]!];
    expect((await plan([like, newest], like)).codes).toContain('W_CONFIG_QUANTISED');
    expect((await plan(fp8(), like)).codes).not.toContain('W_CONFIG_QUANTISED');
  });
});

it('a configuration that cannot be edited byte by byte is refused where something in it has to be', async () => {
  const inputs = run(FLOATS, {});
  for (const path of inputs) writeFileSync(join(path, 'config.json'), Buffer.from('{"name": "\xe9", "dtype": "bfloat16"}', 'latin1'));
  const plan = (output: object) => buildPlan({ inputs, allowConfigs: true, outputs: [{ path: join(temporary.path, 'out'), ...output }] });
  await expect(plan({ dtype: 'F32' })).rejects.toMatchObject({ code: 'E_CONFIG_UNREADABLE' });
  await plan({});
});
