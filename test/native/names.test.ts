import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import type { MergeError } from '../../src/base/errors.ts';
import { average } from '../../src/merge/average.ts';
import { convert, planConversion } from '../../src/merge/convert.ts';
import { floatsOf, goldensIn, readOracle } from '../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const golden = goldensIn(folder);

/** Golden, the folder of a step in it, and what config.json says that nobody told. */
const MODELS: readonly (readonly [name: string, step: (step: number) => string, config: object | null])[] = [
  ['names-torchtitan', (step) => `checkpoint/step-${step}`, null],
  ['names-torchtitan-qwen3', (step) => `checkpoint/step-${step}`, null],
  ['names-olmo-core', (step) => `step${step}`, { model_type: 'olmo2', num_key_value_heads: 2, rms_norm_eps: 1e-6, eos_token_id: 1 }],
  [
    'names-olmo-core-3',
    (step) => `step${step}`,
    {
      model_type: 'olmo3',
      sliding_window: 4,
      layer_types: ['sliding_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
    },
  ],
  [
    'names-megatron',
    (step) => `iter_0000${step}`,
    { model_type: 'llama', vocab_size: 40, num_key_value_heads: 2, rope_theta: 10000, tie_word_embeddings: false },
  ],
  [
    'names-megatron-moe',
    (step) => `iter_0000${step}`,
    { model_type: 'qwen3_moe', num_experts: 4, num_experts_per_tok: 2, norm_topk_prob: true },
  ],
  [
    'names-megatron-qwen2',
    (step) => `iter_0000${step}`,
    { model_type: 'qwen2', vocab_size: 40, tie_word_embeddings: true, use_sliding_window: false },
  ],
  ['names-megatron-mixtral', (step) => `iter_0000${step}`, { model_type: 'mixtral', num_local_experts: 4 }],
];

it.each(MODELS)('%s has the names and rows that its framework gives it for Hugging Face', async (name, step, said) => {
  const home = golden(name);
  const config = said === null ? { config: join(home, 'config.json') } : {};
  const output = join(folder, `hf-${name}`);
  await convert({ input: join(home, step(200)), output, names: 'hf', ...config });
  const made = readOracle(join(output, 'model.safetensors'));
  const wanted = readOracle(join(home, 'hf-200.safetensors'));
  // torchtitan saves tied embeddings twice, and its own conversion leaves one out.
  if (name === 'names-torchtitan-qwen3') wanted.set('lm_head.weight', wanted.get('model.embed_tokens.weight')!);
  expect([...made.keys()].toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [tensor, { shape, bytes }] of wanted) {
    expect({ tensor, shape: made.get(tensor)!.shape, same: made.get(tensor)!.bytes.equals(bytes) }).toEqual({ tensor, shape, same: true });
  }
  const written = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'));
  expect(written).toMatchObject(said ?? JSON.parse(readFileSync(join(home, 'config.json'), 'utf8')));
  expect((await verify(output, { sample: 0.1 })).recomputed.mode).toBe('sample');
});

it('a Mistral of Megatron is a Llama whose config.json says so', async () => {
  const home = golden('names-megatron');
  const [config, output] = [join(folder, 'mistral.json'), join(folder, 'mistral')];
  const said = { ...LLAMA, model_type: 'mistral', hidden_size: 16, head_dim: 4, sliding_window: 8, tie_word_embeddings: false };
  writeFileSync(config, JSON.stringify(said));
  await convert({ input: join(home, 'iter_0000200'), output, names: 'hf', config });
  const [made, wanted] = [readOracle(join(output, 'model.safetensors')), readOracle(join(home, 'hf-200.safetensors'))];
  expect([...made].toSorted()).toEqual([...wanted].toSorted());
  expect(JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'))).toEqual(said);
});

it('biases that choose experts are refused, with the rule that leaves them out', async () => {
  const home = golden('names-torchtitan-qwen3-moe');
  const given = { input: join(home, 'checkpoint/step-200'), config: join(home, 'config.json') };
  const error: MergeError = await convert({ ...given, output: join(folder, 'bad'), names: 'hf' }).catch((caught) => caught);
  expect(error.message).toMatch(/layers\.0\.moe\.expert_bias_E, layers\.1\.moe\.expert_bias_E have no rule in torchtitan-qwen3/);
  const rule = /- drop: layers\.\{layer\}\.moe\.expert_bias_E/.exec(error.help ?? '')?.[0];
  const [names, output] = [join(folder, 'dropped.yaml'), join(folder, 'dropped')];
  writeFileSync(names, `${readFileSync('names/torchtitan-qwen3.yaml', 'utf8')}  ${rule}\n`);
  await convert({ ...given, output, names });
  const [made, wanted] = [readOracle(join(output, 'model.safetensors')), readOracle(join(home, 'hf-200.safetensors'))];
  expect([...made].toSorted()).toEqual([...wanted].toSorted());
});

it('two embeddings that config.json calls one are told', async () => {
  const home = golden('names-torchtitan');
  const config = join(folder, 'tied.json');
  writeFileSync(config, JSON.stringify({ ...LLAMA, tie_word_embeddings: true }));
  const input = join(home, 'checkpoint/step-200');
  const { outputs } = await planConversion({ input, output: join(folder, 'tied'), names: 'hf', config });
  expect(outputs[0]!.warnings).toContainEqual({ code: 'W_TIED', message: expect.stringMatching(/lm_head\.weight: both are copied/) });
});

it('a mean has the rows of the mean, by policies that speak of the new names', async () => {
  const home = golden('names-megatron-moe');
  const output = join(folder, 'mean');
  const result = await average({
    inputs: [100, 200].map((step) => join(home, `iter_0000${step}`)),
    output,
    names: 'hf',
    policies: [{ name: 'model.layers.1.mlp.gate.weight', use: 'newest' }],
  });
  const made = readOracle(join(output, 'model.safetensors'));
  const [older, newer] = [100, 200].map((step) => readOracle(join(home, `hf-${step}.safetensors`)));
  for (const [tensor, values] of newer!) {
    const [a, b] = [floatsOf(older!.get(tensor)!), floatsOf(values)];
    const router = tensor === 'model.layers.1.mlp.gate.weight';
    expect(floatsOf(made.get(tensor)!)).toEqual(b.map((value, i) => (router ? value : a[i]! * 0.5 + value * 0.5)));
  }
  const card = readFileSync(join(output, 'README.md'), 'utf8');
  expect(card).toContain('library_name: transformers');
  expect(card).toContain('its tensors have the names that transformers has for them, by the table `megatron`');
  const { recipe } = JSON.parse(readFileSync(join(output, 'merge_provenance.json'), 'utf8'));
  expect(recipe.names).toMatchObject({ asked: 'hf', table: { name: 'megatron' }, model: 'qwen3_moe', sizes: { heads: 4, kv_heads: 2 } });
  expect((await verify(output, { full: true })).recomputed.fraction).toBe(1);
  // What has the names already, keeps them, and can be merged with what gets them.
  const again = join(folder, 'again');
  await average({ inputs: [output, join(home, 'iter_0000200')], output: again, weights: [0.5, 0.5], names: 'hf' });
  expect([...readOracle(join(again, 'model.safetensors')).keys()].toSorted()).toEqual([...made.keys()].toSorted());
  expect((await verify(again, { full: true })).recomputed.fraction).toBe(1);
  expect(result.outputs[0]!.path).toBe(output);
});

it('a names file of one own stacks and takes apart, and its digest is recorded', async () => {
  const home = golden('names-megatron-moe');
  const names = join(folder, 'own.yaml');
  writeFileSync(
    names,
    `sizes: { experts: 4 }
rules:
  - from: decoder.layers.{layer}.mlp.experts.experts.linear_fc2.weight
    axes: expert=experts out in
    to: layer{layer}.expert{expert}.down
  - from: decoder.layers.{layer}.mlp.router.weight
    axes: expert in
    to:
      name: routers
      axes: layer expert in
  - drop: [embedding.word_embeddings.weight, output_layer.weight, decoder.final_layernorm.weight]
  - drop:
      - decoder.layers.{layer}.mlp.experts.experts.linear_fc1.weight
      - decoder.layers.{layer}.mlp.linear_fc1.layer_norm_weight
      - decoder.layers.{layer}.self_attention.linear_qkv.weight
      - decoder.layers.{layer}.self_attention.linear_qkv.layer_norm_weight
      - decoder.layers.{layer}.self_attention.linear_proj.weight
      - decoder.layers.{layer}.self_attention.q_layernorm.weight
      - decoder.layers.{layer}.self_attention.k_layernorm.weight
`,
  );
  const output = join(folder, 'own');
  await convert({ input: join(home, 'iter_0000200'), output, names });
  const made = readOracle(join(output, 'model.safetensors'));
  const hf = readOracle(join(home, 'hf-200.safetensors'));
  expect(made.size).toBe(9);
  expect(made.get('layer1.expert3.down')).toEqual(hf.get('model.layers.1.mlp.experts.3.down_proj.weight'));
  const routers = [0, 1].map((layer) => hf.get(`model.layers.${layer}.mlp.gate.weight`)!.bytes);
  expect(made.get('routers')).toMatchObject({ shape: [2, 4, 16], bytes: Buffer.concat(routers) });
  const { recipe } = JSON.parse(readFileSync(join(output, 'merge_provenance.json'), 'utf8'));
  expect(recipe.names).toMatchObject({ asked: 'own.yaml', table: { digest: expect.stringMatching(/^[0-9a-f]{64}$/) } });
  // The file may be another one by then.
  writeFileSync(names, '# gone');
  expect((await verify(output, { full: true })).recomputed.fraction).toBe(1);
});

interface Bad {
  readonly what: string;
  readonly input?: readonly [golden: string, path: string];
  readonly names?: string;
  readonly config?: object | string;
  readonly code?: string;
  readonly message: RegExp;
}

const TITAN = ['names-torchtitan', 'checkpoint/step-200'] as const;
const LLAMA = {
  model_type: 'llama',
  hidden_size: 32,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 2,
  vocab_size: 40,
};
const TITAN_BUT_NORMS = `rules:
  - from: layers.{layer}.attention.qkv_linear.wq.weight
    axes: (head=heads pair half=2) in
    to:
      name: q{layer}
      axes: (head half pair) in
  - from: layers.{layer}.attention.qkv_linear.wk.weight
    to: k{layer}
  - from: layers.{layer}.attention.qkv_linear.wv.weight
    to: v{layer}
  - from: layers.{layer}.attention.wo.weight
    to: o{layer}
  - from: layers.{layer}.feed_forward.w{n}.weight
    to: w{layer}.{n}
  - drop: [tok_embeddings.weight, lm_head.weight, norm.weight]
`;
const yaml = (rest: string): string => TITAN_BUT_NORMS + rest;
const NORMS = '  - drop:\n      - layers.{layer}.attention_norm.weight\n      - layers.{layer}.ffn_norm.weight\n';

const BAD: readonly Bad[] = [
  { what: 'nothing says which model', message: /its tensors are those of torchtitan, and nothing says which model they are/ },
  {
    what: 'a model type that no table has',
    config: { model_type: 'gpt2' },
    message: /says model_type gpt2, for which there are no names: there are some for llama, qwen3, qwen3_moe/,
  },
  {
    what: 'another number of heads',
    config: { ...LLAMA, num_attention_heads: 3, head_dim: 8 },
    message: /wq\.weight has a dimension of 32, which is not \(head pair half\) with head = 3, half = 2/,
  },
  {
    what: 'heads of another size',
    config: { ...LLAMA, head_dim: 16 },
    message: /q_proj has 32 rows, and .*config\.json says heads 4 and head_dim 16/,
  },
  { what: 'another number of layers', config: { ...LLAMA, num_hidden_layers: 3 }, message: /it has 2 layers, and .*config\.json says 3/ },
  {
    what: 'another vocabulary',
    config: { ...LLAMA, vocab_size: 39 },
    message: /model\.embed_tokens\.weight is \[40, 32\], and .* says vocab_size 39: the rest may be padding/,
  },
  {
    what: 'an MLP without a gate, or of another size',
    config: { ...LLAMA, intermediate_size: 96 },
    message: /mlp\.gate_proj of layer 0 has 48 rows, and .*config\.json says ffn 96/,
  },
  {
    what: 'no heads at all',
    config: { model_type: 'llama' },
    message: /wq\.weight needs heads, which neither torchtitan nor .*config\.json says/,
  },
  {
    what: 'a configuration of no type',
    config: {},
    code: 'E_CONFIG_UNREADABLE',
    message: /says no model_type, so it is no config\.json of transformers/,
  },
  { what: 'a configuration that is none', config: '[1]', code: 'E_CONFIG_UNREADABLE', message: /is no JSON object/ },
  {
    what: 'norms with biases',
    input: ['megatron', 'iter_0000200'],
    config: { ...LLAMA, hidden_size: 16 },
    message: /layer_norm_bias.* have no rule in megatron/,
  },
  { what: 'a model of no framework', input: ['dcp-2d', '200'], message: /no table of hf has names for it/ },
  {
    what: 'what the trainer says and the configuration does not',
    input: ['names-megatron', 'iter_0000200'],
    config: { ...LLAMA, hidden_size: 16, num_attention_heads: 2 },
    message: /says heads 4, and .*config\.json says 2/,
  },
  ...(
    [
      ['tied embeddings', { tie_word_embeddings: true }, /says tie_word_embeddings false, and .* says true/],
      ['the base of the rotation', { rope_theta: 500000 }, /says rope_theta 10000, and .* says 500000/],
      ['the base, as transformers 5 has it', { rope_parameters: { rope_theta: 5e5 } }, /says rope_theta 10000, and .* says 500000/],
      ['what norms add', { rms_norm_eps: 1e-6 }, /says rms_norm_eps 0\.00001, and .* says 0\.000001/],
    ] as const
  ).map(
    ([what, config, message]): Bad => ({
      what: `${what}, of which trainer and configuration say other things`,
      input: ['names-megatron', 'iter_0000200'],
      config: { ...LLAMA, hidden_size: 16, ...config },
      message,
    }),
  ),
  {
    what: 'experts of a token, of which trainer and configuration say other things',
    input: ['names-megatron-moe', 'iter_0000200'],
    config: { ...LLAMA, hidden_size: 16, model_type: 'qwen3_moe', num_experts: 4, num_experts_per_tok: 3 },
    message: /says num_experts_per_tok 2, and .* says 3/,
  },
  {
    what: 'tensors without a rule',
    names: yaml('  - drop: layers.{layer}.attention_norm.weight\n'),
    message: /layers\.0\.ffn_norm\.weight, layers\.1\.ffn_norm\.weight have no rule in own\.yaml/,
  },
  {
    what: 'a rule that fits nothing',
    names: yaml(`${NORMS}  - from: blocks.{layer}.x\n    to: x{layer}\n`),
    message: /no tensor fits the rule for blocks\.\{layer\}\.x/,
  },
  {
    what: 'two tensors of one name',
    names: `sizes: { heads: 4 }\n${yaml(NORMS).replace('to: v{layer}', 'to: k{layer}')}`,
    message: /wk\.weight and layers\.0\.attention\.qkv_linear\.wv\.weight would both be k0/,
  },
  { what: 'a size that nothing says', names: yaml(NORMS), message: /wq\.weight needs heads, which nothing says/ },
  {
    what: 'rows that heads do not divide',
    names: `sizes: { heads: 5 }\n${yaml(NORMS)}`,
    message: /has a dimension of 32, which is not \(head pair half\) with head = 5, half = 2/,
  },
  {
    what: 'other dimensions',
    names: `sizes: { heads: 4 }\n${yaml(NORMS).replace('(head=heads pair half=2) in', 'x (head=heads pair half=2) in').replace('(head half pair) in', 'x (head half pair) in')}`,
    message: /is \[32, 32\], and the rule's axes are 3 dimensions/,
  },
  {
    what: 'a range beyond the axis',
    names: `sizes: { heads: 4 }\n${yaml('  - drop: layers.{layer}.ffn_norm.weight\n  - from: layers.{layer}.attention_norm.weight\n    axes: x\n    to:\n      name: n{layer}\n      take: { x: ":33" }\n')}`,
    message: /has 32 of x, and the rule takes :33/,
  },
  {
    what: 'a stack of which one is missing',
    names: `sizes: { heads: 4 }\n${yaml(NORMS).replace('w{n}.weight\n    to: w{layer}.{n}', 'w2.weight\n    to: w{layer}.2\n  - from: layers.{layer}.feed_forward.w{n}.weight\n    axes: out in\n    to:\n      name: w{layer}\n      axes: n out in')}`,
    message: /w0, which is made of .*, has a hole at \[0, 0, 0\]/,
  },
];

it.each(BAD)('$what: is told, and nothing is written', async ({ input = TITAN, names, config, code = 'E_NAMES_UNFIT', message }) => {
  const [file, said] = [join(folder, 'own.yaml'), join(folder, 'config.json')];
  if (names !== undefined) writeFileSync(file, names);
  if (config !== undefined) writeFileSync(said, typeof config === 'string' ? config : JSON.stringify(config));
  const output = join(folder, 'bad');
  const error = await convert({
    input: join(golden(input[0]), input[1]),
    output,
    names: names === undefined ? 'hf' : file,
    ...(config !== undefined && { config: said }),
  }).then(
    () => null,
    (caught: Error & { code?: string; details?: { conflicts?: readonly { message: string }[] } }) => caught,
  );
  const told = error?.details?.conflicts?.map((conflict) => conflict.message) ?? [error?.message];
  expect(told).toContainEqual(expect.stringMatching(message));
  expect(error?.code).toBe(code);
});

it('names go with safetensors and with evaluation', async () => {
  const input = join(golden('names-megatron'), 'iter_0000200');
  const output = join(folder, 'bad');
  await expect(convert({ input, output, names: 'hf', format: 'dcp' })).rejects.toThrow(/makes safetensors, and not/);
  await expect(average({ inputs: [input], output, names: 'hf', for: 'resume' })).rejects.toThrow(/is for evaluation, and not for/);
  await expect(convert({ input, output, config: 'config.json' })).rejects.toThrow(/goes with/);
});
