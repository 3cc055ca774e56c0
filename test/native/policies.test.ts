import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { combineReference } from '../../src/analysis/verify/twin/combine.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { type DtypeName, dtypeByCode, type FloatDtypeName } from '../../src/base/dtype.ts';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const tensor = (name: string, dtype: DtypeName, shape: readonly number[], fill?: number): FixtureTensor => ({
  ...{ name, dtype, shape },
  ...(fill === undefined ? {} : { data: new Uint8Array(shape.reduce((a, b) => a * b, 1) * (dtype === 'I64' ? 8 : 4)).fill(fill) }),
});
const LAYERS = [0, 1].flatMap((layer) => [
  tensor(`model.layers.${layer}.input_layernorm.weight`, 'BF16', [16]),
  tensor(`model.layers.${layer}.self_attn.q_proj.weight`, 'BF16', [16, 16]),
  tensor(`model.layers.${layer}.mlp.gate.weight`, 'BF16', [2, 16]),
  tensor(`model.layers.${layer}.mlp.gate.e_score_correction_bias`, 'F32', [2]),
  ...[0, 1].map((expert) => tensor(`model.layers.${layer}.mlp.experts.${expert}.up_proj.weight`, 'BF16', [8, 16])),
]);
const MODEL = [
  tensor('model.embed_tokens.weight', 'BF16', [32, 16]),
  ...LAYERS,
  tensor('model.rotary_emb.inv_freq', 'F32', [8], 7),
  tensor('model.position_ids', 'I64', [4], 3),
];
const CONFIG = {
  'config.json': JSON.stringify({ model_type: 'deepseek_v3', num_hidden_layers: 2, n_routed_experts: 2, num_experts_per_tok: 1 }),
};

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/**
 * Three checkpoints of one run, at steps 100, 200, 300; sharded unlike one another. `change` makes the
 * tensors of member i.
 */
function run(change: (tensors: FixtureTensor[], i: number) => FixtureTensor[] = (tensors) => tensors): string[] {
  return [0, 1, 2].map((i) => {
    const tensors = change(MODEL, i);
    const shards = i === 1 ? [tensors.slice(0, 5), tensors.slice(5)] : [tensors];
    return writeCheckpoint(at(`checkpoint-${100 * (i + 1)}`), shards, i + 1, CONFIG);
  });
}

async function tensorsOf(path: string): Promise<Map<string, { readonly dtype: DtypeName; readonly bytes: Buffer }>> {
  const { shards } = await openCheckpoint(path);
  return new Map(
    shards.flatMap(({ path, header: { tensors, dataStart } }) => {
      const file = readFileSync(path);
      const bytes = (row: number) => file.subarray(dataStart + tensors.begin[row]!, dataStart + tensors.end[row]!);
      return tensors.names.map((name, row) => [name, { dtype: dtypeByCode(tensors.dtypes[row]!).name, bytes: bytes(row) }] as const);
    }),
  );
}

const SMA = [1 / 3, 1 / 3, 1 / 3];

/**
 * Every float tensor of the merge is what the twin makes of the members with the weights and dtype that
 * `wanted` names.
 */
async function expectMerge(
  inputs: readonly string[],
  out: string,
  wanted: (name: string) => readonly [weights: readonly number[], dtype: FloatDtypeName],
) {
  const members = await Promise.all(inputs.map(tensorsOf));
  const merged = await tensorsOf(out);
  for (const [name, { dtype, bytes }] of merged) {
    if (dtype === 'I64') continue;
    const [weights, outDtype] = wanted(name);
    const own = members.map((member, i) => ({
      ...member.get(name)!,
      dtype: member.get(name)!.dtype as FloatDtypeName,
      weight: weights[i]!,
    }));
    const count = own[0]!.bytes.length / (own[0]!.dtype === 'F32' ? 4 : 2);
    expect(dtype, name).toBe(outDtype);
    expect(bytes.equals(combineReference({ inputs: own, count, outDtype }).bytes), name).toBe(true);
  }
  return merged;
}

describe('a merge with policies', () => {
  it('gives each tensor its own weights, members and dtype; its recipe gives the same again', async () => {
    const inputs = run();
    const options: AverageOptions = {
      ...{ inputs, output: at('out'), dtype: 'BF16', router: 'newest' },
      policies: [
        { role: 'norms', use: 'oldest', dtype: 'F32' },
        { role: 'experts', layers: 0, weights: [0.2, 0.3, 0.5] },
        { role: 'experts', method: 'ema', alpha: 0.5 },
        { name: '*.0.self_attn.*', use: 200 },
      ],
    };
    const result = await average(options);
    const merged = await expectMerge(inputs, at('out'), (name) => {
      // Correction biases and buffers stay F32 whatever the dtype of the output.
      if (name.endsWith('correction_bias')) return [[0, 0, 1], 'F32'];
      if (name.endsWith('gate.weight')) return [[0, 0, 1], 'BF16'];
      if (name.endsWith('inv_freq')) return [[0, 0, 1], 'F32'];
      if (name.endsWith('norm.weight')) return [[1, 0, 0], 'F32'];
      if (name.includes('.0.mlp.experts.')) return [[0.2, 0.3, 0.5], 'BF16'];
      if (name.includes('.experts.')) return [[0.25, 0.25, 0.5], 'BF16'];
      return [name.includes('.0.self_attn.') ? [0, 1, 0] : SMA, 'BF16'];
    });
    expect([...merged.keys()].sort()).toEqual(MODEL.map(({ name }) => name).sort());
    expect(result.outputs[0]!.treatments).toContainEqual(
      expect.objectContaining({ role: 'router', tensors: 2, treatment: 'newest, step 300', policy: 'role=routers:use=newest' }),
    );
    await verify(at('out'), { full: true });

    await runRecipe(at('out', 'merge_recipe.yaml'));
    expect(await tensorsOf(at('out-again'))).toEqual(merged);
  });

  it('what is published has no path of a file that a policy reads', async () => {
    writeFileSync(at('factors.txt'), '0.5\n0\n');
    const policies = [{ role: 'experts', method: 'wsm' as const, decayFile: at('factors.txt') }];
    const inputs = run();
    await average({ inputs, output: at('out'), policies });
    for (const name of readdirSync(at('out'))) expect(readFileSync(at('out', name)).includes(folder.path), name).toBe(false);
    const { recipe } = JSON.parse(readFileSync(at('out', 'merge_provenance.json'), 'utf8'));
    expect(recipe.policies).toEqual([{ policy: 'role=experts:method=wsm,decay-file=factors.txt', weights: [0.5, 0.5, 0] }]);
    await expectMerge(inputs, at('out'), (name) => {
      if (name.includes('.experts.')) return [[0.5, 0.5, 0], 'BF16'];
      return [SMA, /correction_bias|inv_freq/.test(name) ? 'F32' : 'BF16'];
    });
  });

  it('a correction bias is not narrowed, but as wide as the rest where that is wider', async () => {
    const narrow = (tensors: FixtureTensor[]) =>
      tensors.map((one) => (one.name.endsWith('correction_bias') ? tensor(one.name, 'BF16', one.shape) : one));
    const inputs = run(narrow);
    for (const [dtype, biases] of [
      ['F32', 'F32'],
      ['F16', 'BF16'],
      ['F64', 'F64'],
    ] as const) {
      await average({ inputs, output: at(dtype), dtype });
      await expectMerge(inputs, at(dtype), (name) => {
        if (name.endsWith('inv_freq')) return [SMA, 'F32'];
        return [SMA, name.endsWith('correction_bias') ? biases : dtype];
      });
    }
  });

  it('leaves out what is dropped, and takes members without it', async () => {
    const inputs = run((tensors, i) => (i === 0 ? tensors.filter(({ name }) => !name.includes('.1.mlp.gate.')) : tensors));
    const merged = await average({
      inputs,
      output: at('out'),
      policies: [
        { role: 'router_bias', use: 'drop' },
        { role: 'router', layers: 1, use: 'newest' },
      ],
    }).then(() => tensorsOf(at('out')));
    expect([...merged.keys()].filter((name) => name.endsWith('correction_bias'))).toEqual([]);
    expect(merged.get('model.layers.1.mlp.gate.weight')).toEqual((await tensorsOf(inputs[2]!)).get('model.layers.1.mlp.gate.weight'));
  });

  it('reads a member that only policies need', async () => {
    const inputs = run();
    const result = await average({ inputs, output: at('out'), weights: [0.5, 0.5, 0], router: 'newest' });
    await expectMerge(inputs, at('out'), (name) => {
      const dtype = /correction_bias|inv_freq/.test(name) ? 'F32' : 'BF16';
      return [name.includes('.gate.') ? [0, 0, 1] : [0.5, 0.5, 0], dtype];
    });
    expect(result.outputs[0]!.members).toHaveLength(3);
    await verify(at('out'), { full: true });
  });

  it('makes several treatments of the same members in one read, each as when made alone', async () => {
    const inputs = run();
    const outputs = (['average', 'newest', 'oldest', 200] as const).map((router) => ({ path: at(`router-${router}`), router }));
    await runRecipe({ inputs, outputs });
    for (const { path, router } of outputs) {
      await average({ inputs, router, output: `${path}-alone` });
      expect(await tensorsOf(path)).toEqual(await tensorsOf(`${path}-alone`));
    }
    const routers = await Promise.all(
      outputs.map(async ({ path }) => (await tensorsOf(path)).get('model.layers.0.mlp.gate.weight')!.bytes.toString('hex')),
    );
    expect(new Set(routers).size).toBe(4);
  });
});

describe('what the bytes refuse', () => {
  const other = (wanted: string, fill: number) => (tensors: FixtureTensor[], i: number) =>
    tensors.map((t) => (t.name === wanted && i === 1 ? tensor(t.name, t.dtype, t.shape, fill) : t));
  it.each<[string, () => string[], Partial<AverageOptions>, string, string]>([
    ['a buffer that differs', () => run(other('model.rotary_emb.inv_freq', 8)), {}, 'E_BUFFERS_DIFFER', 'model.rotary_emb.inv_freq'],
    ['integers that differ', () => run(other('model.position_ids', 4)), {}, 'E_INTEGERS_DIFFER', 'model.position_ids'],
    [
      'floats that a policy wants equal',
      () => run(),
      { policies: [{ role: 'norms', use: 'equal' }] },
      'E_NOT_EQUAL',
      'model.layers.0.input_layernorm.weight',
    ],
    [
      'an unknown float that differs and is called like a scale',
      () => run((tensors) => [...tensors, tensor('model.layers.0.zero_point', 'BF16', [4])]),
      {},
      'E_UNKNOWN_TENSOR',
      'model.layers.0.zero_point',
    ],
  ])('%s', async (_, inputs, options, code, name) => {
    const error = await plan({ inputs: inputs(), output: at('out'), ...options }).catch((e: unknown) => e);
    if (code === 'E_UNKNOWN_TENSOR') expect(String(error)).toContain(`\`policies\` 'name=${name}:use=average'`);
    expect(error).toMatchObject({
      code,
      details: { conflicts: expect.arrayContaining([expect.objectContaining({ code, tensor: name })]) },
    });
  });

  it('integers that a policy averages are one problem, although they differ', async () => {
    const inputs = run(other('model.position_ids', 8));
    await expect(average({ inputs, output: at('out'), policies: [{ name: '*position_ids', use: 'average' }] })).rejects.toMatchObject({
      code: 'E_POLICY',
      message: expect.stringContaining('integers are never averaged'),
      details: { conflicts: [expect.anything()] },
    });
  });

  it.each<[string, Partial<AverageOptions>]>([
    ['a policy', { policies: [{ name: '*.zero_point', use: 'average' }] }],
    ['--allow-unknown', { allowUnknown: true }],
  ])('an unknown float that looks like no weight is averaged by %s', async (_, options) => {
    const inputs = run((tensors) => [...tensors, tensor('model.layers.0.zero_point', 'BF16', [4])]);
    await average({ inputs, output: at('out'), ...options });
    await expectMerge(inputs, at('out'), (name) => [SMA, /correction_bias|inv_freq/.test(name) ? 'F32' : 'BF16']);
  });

  it('a buffer that differs is taken from the newest where a policy says so', async () => {
    const inputs = run(other('model.rotary_emb.inv_freq', 8));
    await average({ inputs, output: at('out'), policies: [{ role: 'buffers', use: 'newest' }] });
    expect((await tensorsOf(at('out'))).get('model.rotary_emb.inv_freq')!.bytes).toEqual(Buffer.alloc(32, 7));
  });
});
