import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { dtypeByCode } from '../../../src/base/dtype.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import type { Checkpoint } from '../../../src/checkpoints/types.ts';
import { arrange } from '../../../src/model/layout/arrange.ts';
import type { Arranged } from '../../../src/model/layout/types.ts';
import { checkpointRoles } from '../../../src/model/roles/checkpoint-roles.ts';
import { type FixtureTensor, safetensorsBytes, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const golden = (name: string) => openCheckpoint(fileURLToPath(new URL(`../../golden/layouts/${name}`, import.meta.url)));
const FAMILIES = ['mixtral', 'qwen3_moe', 'olmoe', 'deepseek_v3', 'glm4_moe'];

function bytesOf(checkpoint: Checkpoint, shard: number, row: number): Buffer {
  const { path, tensors } = checkpoint.shards[shard]!;
  const begin = tensors.offset[row]!;
  return readFileSync(path).subarray(begin, begin + tensors.bytes[row]!);
}

/** The bytes of a layout tensor, put together from a member. */
function gathered(member: Checkpoint, arranged: Arranged): Buffer {
  if (!('pieces' in arranged)) throw new Error(arranged.refused);
  return Buffer.concat(
    arranged.pieces.map(({ shard, row, sourceFrom, elements }) => {
      const size = dtypeByCode(member.shards[shard]!.tensors.dtypes[row]!).bits / 8;
      return bytesOf(member, shard, row).subarray(sourceFrom * size, (sourceFrom + elements) * size);
    }),
  );
}

async function arranged(layout: Checkpoint, member: Checkpoint) {
  const arrangement = arrange(layout, await checkpointRoles(layout), member, await checkpointRoles(member));
  const of = (name: string): Arranged | undefined => {
    const { shard, row } = layout.locate(name)!;
    return arrangement.of(shard, row);
  };
  return { arrangement, of };
}

describe.each(FAMILIES)('%s as transformers saves it', (family) => {
  it.each([
    ['fused', 'original'],
    ['original', 'fused'],
  ])('%s: every tensor is found in %s, element by element', async (wanted, held) => {
    const [layout, member] = await Promise.all([golden(`${family}-${wanted}`), golden(`${family}-${held}`)]);
    const { arrangement } = await arranged(layout, member);
    const { tensors } = layout.shards[0]!;
    for (let row = 0; row < tensors.count; row++) {
      const found = arrangement.of(0, row);
      expect(found, tensors.names[row]).toBeDefined();
      expect(gathered(member, found!).equals(bytesOf(layout, 0, row)), tensors.names[row]).toBe(true);
    }
    for (let row = 0; row < member.shards[0]!.tensors.count; row++) expect(arrangement.uses(0, row)).toBe(true);
  });
});

describe('what is more than other byte ranges is refused', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());
  const make = async (name: string, tensors: FixtureTensor[], config: object) =>
    openCheckpoint(writeCheckpoint(`${folder.path}/${name}`, [tensors], 1, { 'config.json': JSON.stringify(config) }));
  const bf16 = (name: string, shape: number[]): FixtureTensor => ({ name, dtype: 'BF16', shape });
  const split = (layer: string): FixtureTensor[] =>
    [0, 1].flatMap((e) => [
      bf16(`${layer}.experts.${e}.gate_proj.weight`, [6, 8]),
      bf16(`${layer}.experts.${e}.up_proj.weight`, [6, 8]),
      bf16(`${layer}.experts.${e}.down_proj.weight`, [8, 6]),
    ]);
  const stacked = (layer: string): FixtureTensor[] => [
    bf16(`${layer}.experts.gate_up_proj`, [2, 8, 12]),
    bf16(`${layer}.experts.down_proj`, [2, 6, 8]),
  ];
  const layer = 'model.layers.0.mlp';

  it.each([
    ['interleaved gate and up', 'gpt_oss', /alternate/],
    ['transposed experts, by family', 'llama4_text', /transposed/],
    ['transposed experts, by the hidden size', 'some_moe', /transposed.*hidden size is 8/],
  ])('%s', async (_, family, reason) => {
    const config = { model_type: family, hidden_size: 8, num_experts: 2 };
    const [layout, member] = [await make(`${family}-a`, split(layer), config), await make(`${family}-b`, stacked(layer), config)];
    const both = [
      (await arranged(layout, member)).of(`${layer}.experts.0.gate_proj.weight`),
      (await arranged(member, layout)).of(`${layer}.experts.gate_up_proj`),
    ];
    for (const found of both) expect(found).toEqual({ refused: expect.stringMatching(reason) });
  });

  it('queries and keys of native files, though values are the same', async () => {
    const config = { model_type: 'mistral' };
    const native = ['q', 'k', 'v', 'o'].map((p) => bf16(`layers.0.attention.w${p}.weight`, [8, 8]));
    const layout = await make(
      'hf',
      ['q', 'k', 'v', 'o'].map((p) => bf16(`model.layers.0.self_attn.${p}_proj.weight`, [8, 8])),
      config,
    );
    const member = await make('native', native, config);
    const { of } = await arranged(layout, member);
    const name = (p: string) => `model.layers.0.self_attn.${p}_proj.weight`;
    for (const p of ['q', 'k']) expect(of(name(p))).toEqual({ refused: expect.stringMatching(/RoPE/) });
    for (const p of ['v', 'o']) expect(of(name(p))).toMatchObject({ pieces: [{ from: 0, elements: 64 }] });
  });

  it('the order of gate and up in a family that is not known', async () => {
    const config = { model_type: 'brand_new' };
    const layout = await make(
      'two',
      [bf16('model.layers.0.mlp.gate_proj.weight', [6, 8]), bf16('model.layers.0.mlp.up_proj.weight', [6, 8])],
      config,
    );
    const member = await make('one', [bf16('model.layers.0.mlp.gate_up_proj.weight', [12, 8])], config);
    const { of } = await arranged(layout, member);
    expect(of('model.layers.0.mlp.up_proj.weight')).toEqual({ refused: expect.stringMatching(/gate or up comes first.*brand_new/) });
  });

  it('nothing takes the place of what another stack has in the same layer', async () => {
    const config = { model_type: 'switch_transformers' };
    const wi = (stack: string) => bf16(`${stack}.block.1.layer.2.mlp.experts.expert_0.wi.weight`, [6, 8]);
    const layout = await make('stacks', [wi('encoder'), wi('decoder')], config);
    const member = await make('one-stack', [wi('encoder')], config);
    expect((await arranged(layout, member)).of(wi('decoder').name)).toBeUndefined();
  });

  it('nothing takes the place of a unit that the layout holds twice', async () => {
    const config = { model_type: 'qwen3_moe' };
    const twice = [bf16('model.layers.0.mlp.up_proj.weight', [6, 8]), bf16('model.layers.0.feed_forward.up_proj.weight', [6, 8])];
    const layout = await make('twice', twice, config);
    const member = await make('once', twice.slice(0, 1), config);
    expect((await arranged(layout, member)).of(twice[1]!.name)).toBeUndefined();
    // Nor is the second one of a member part of a layout that has one.
    const back = (await arranged(member, layout)).arrangement;
    expect([0, 1].map((row) => back.uses(0, row))).toEqual([false, false]);
  });

  it('a missing expert is missing, not refused', async () => {
    const config = { model_type: 'qwen3_moe', hidden_size: 8 };
    const layout = await make(
      'whole',
      [bf16(`${layer}.experts.gate_up_proj`, [2, 12, 8]), bf16(`${layer}.experts.down_proj`, [2, 8, 6])],
      config,
    );
    const member = await make('part', split(layer).slice(0, 3), config);
    expect((await arranged(layout, member)).of(`${layer}.experts.gate_up_proj`)).toBeUndefined();
  });
});

describe('names alone', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());
  const bf16 = (name: string): FixtureTensor => ({ name, dtype: 'BF16', shape: [4, 4] });

  it.each([
    ['a framework wraps the model', 'model.layers.0.input_layernorm.weight', '_orig_mod.module.model.layers.0.input_layernorm.weight'],
    ['a multimodal model wraps it', 'model.embed_tokens.weight', 'language_model.model.embed_tokens.weight'],
    ["Mistral's own names", 'lm_head.weight', 'output.weight'],
    ["Mistral's own norms", 'model.layers.3.post_attention_layernorm.weight', 'layers.3.ffn_norm.weight'],
  ])('%s', async (_, ours, theirs) => {
    const layout = await openCheckpoint(writeCheckpoint(`${folder.path}/${ours}-a`, [[bf16(ours)]], 1));
    const member = await openCheckpoint(writeCheckpoint(`${folder.path}/${theirs}-b`, [[bf16(theirs)]], 2));
    const { of, arrangement } = await arranged(layout, member);
    expect(of(ours)).toEqual({ pieces: [{ from: 0, elements: 16, shard: 0, row: 0, sourceFrom: 0 }] });
    expect(arrangement.uses(0, 0)).toBe(true);
  });

  const CONFIG = (tie: boolean | undefined) => ({ 'config.json': JSON.stringify({ model_type: 'llama', tie_word_embeddings: tie }) });
  // save_pretrained keeps the embedding, safetensors' save_model whichever name it meets first.
  it.each([
    ['the head, where config.json says so', 'lm_head.weight', true, {}],
    ['the embedding, where config.json says so', 'model.embed_tokens.weight', true, {}],
    ['the head, where __metadata__ says so', 'lm_head.weight', undefined, { 'model.embed_tokens.weight': 'lm_head.weight' }],
  ])('embedding and head that are one, kept under one name: %s', async (_, kept, tie, metadata) => {
    const write = (name: string, names: string[], about: Record<string, string> = {}) => {
      const at = writeCheckpoint(`${folder.path}/${kept}-${name}-${String(tie)}`, [[]], 1, CONFIG(tie));
      writeFileSync(`${at}/model.safetensors`, safetensorsBytes(names.map(bf16), 1, about));
      return openCheckpoint(at);
    };
    const other = kept === 'lm_head.weight' ? 'model.embed_tokens.weight' : 'lm_head.weight';
    const [one, another, both] = await Promise.all([
      write('one', [kept], metadata),
      write('other', [other]),
      write('both', [kept, other].sort()),
    ]);
    for (const [layout, name, member] of [
      [one, kept, another],
      [another, other, one],
      ...(tie === undefined ? [] : ([[both, other, one]] as const)),
    ] as const) {
      const { of, arrangement } = await arranged(layout, member);
      expect(of(name)).toMatchObject({ pieces: [{ shard: 0, row: 0, elements: 16 }] });
      expect(arrangement.uses(0, 0)).toBe(true);
    }
    const { shard, row } = both.locate(other)!;
    expect((await arranged(one, both)).arrangement.uses(shard, row)).toBe(true);
  });

  it('nothing takes the place of a head of its own', async () => {
    const write = (name: string, tensor: string) =>
      openCheckpoint(writeCheckpoint(`${folder.path}/apart-${name}`, [[bf16(tensor)]], 1, CONFIG(false)));
    const [layout, member] = [await write('a', 'lm_head.weight'), await write('b', 'model.embed_tokens.weight')];
    const { of, arrangement } = await arranged(layout, member);
    expect(of('lm_head.weight')).toBeUndefined();
    expect(arrangement.uses(0, 0)).toBe(false);
  });
});
