import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DtypeName, dtypeByName } from '../../../src/base/dtype.ts';
import { ByteReader } from '../../../src/base/store/byte-reader.ts';
import { writeSafetensors } from '../../../src/checkpoints/containers/safetensors/write-file.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import type { Checkpoint } from '../../../src/checkpoints/types.ts';
import { checkpointRoles } from '../../../src/model/roles/checkpoint-roles.ts';
import { readRouter } from '../../../src/model/routing/read.ts';
import { routersOf } from '../../../src/model/routing/routers.ts';
import type { Routers } from '../../../src/model/routing/types.ts';
import { routingGoldens } from '../../support/routing-goldens.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'routers-'));
});
afterEach(() => rm(folder, { recursive: true }));

type Tensors = Readonly<Record<string, readonly [string, ...number[]]>>;

async function checkpoint(tensors: Tensors, config: object | null = null): Promise<Checkpoint> {
  if (config !== null) await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const list = Object.entries(tensors).map(([name, [dtype, ...shape]]) => {
    const bytes = (shape.reduce((a, b) => a * b, 1) * dtypeByName(dtype)!.bits) / 8;
    return { name, dtype: dtype as DtypeName, shape, data: Uint8Array.from({ length: bytes }, (_, i) => (i % 4 === 3 ? 0x40 : i)) };
  });
  await writeSafetensors(join(folder, 'model.safetensors'), list);
  return await openCheckpoint(folder);
}

async function routers(tensors: Tensors, config: object | null = null): Promise<Routers> {
  const opened = await checkpoint(tensors, config);
  return routersOf(opened, await checkpointRoles(opened));
}

describe('routers of models that transformers saved, found by their values there and by their names here', () => {
  const { cases } = routingGoldens();
  it.each(Object.entries(cases))('%s', async (_, golden) => {
    const { layers, skipped } = await routers(golden.tensors, golden.config);
    expect(skipped).toEqual([]);
    expect(layers).toHaveLength(1);
    const [layer] = layers as [Routers['layers'][number]];
    expect({
      router: layer.router.name,
      bias: layer.logitBias?.name ?? null,
      correction: layer.correctionBias?.name ?? null,
      norm: layer.norm?.name ?? null,
    }).toEqual({ router: golden.router, bias: golden.bias, correction: golden.correction, norm: golden.norm });
    expect([layer.experts, layer.width]).toEqual(golden.tensors[golden.router]!.slice(1));
    expect(layer).toMatchObject({ mtp: false, transposed: false, tokenTable: null });
    const experts = Object.keys(golden.tensors).filter((name) => /experts/.test(name) && !/shared_expert/.test(name));
    expect(layer.expertTensors.map(({ name }) => name).toSorted()).toEqual(
      experts.length > 0
        ? experts.toSorted()
        : Object.keys(golden.tensors)
            .filter((name) => /(input|output)_linear/.test(name))
            .toSorted(),
    );
  });
});

const LAYER: Tensors = {
  'model.layers.0.post_attention_layernorm.weight': ['F32', 6],
  'model.layers.0.mlp.gate.weight': ['F32', 4, 6],
  'model.layers.0.mlp.experts.0.up_proj.weight': ['F32', 3, 6],
  'model.layers.0.mlp.experts.10.up_proj.weight': ['F32', 3, 6],
  'model.layers.0.mlp.experts.2.up_proj.weight': ['F32', 3, 6],
};

const renamed = (tensors: Tensors, from: string, to: string): Tensors =>
  Object.fromEntries(Object.entries(tensors).map(([name, spec]) => [name.replace(from, to), spec]));

describe('routersOf', () => {
  it('sorts experts by number and layers of multi-token prediction last, also where they begin at 0 again', async () => {
    const mtp = renamed(LAYER, 'model.layers.0', 'mtp.layers.0');
    const { layers } = await routers({ ...mtp, ...renamed(LAYER, 'layers.0', 'layers.11'), ...renamed(LAYER, 'layers.0', 'layers.2') });
    expect(layers.map(({ layer, mtp }) => [layer, mtp])).toEqual([
      [2, false],
      [11, false],
      [0, true],
    ]);
    expect(layers[0]!.expertTensors.map(({ expert }) => expert)).toEqual([0, 2, 10]);
  });

  it('takes the layer after the last for multi-token prediction, and a token table for what it is', async () => {
    const tensors = { ...LAYER, ...renamed(LAYER, 'layers.0', 'layers.1'), 'model.layers.0.mlp.gate.tid2eid': ['I64', 9, 2] } as const;
    const { layers } = await routers(tensors, {
      ...{ model_type: 'deepseek_v3', num_hidden_layers: 1, n_routed_experts: 4, num_nextn_predict_layers: 1 },
    });
    expect(layers.map(({ mtp }) => mtp)).toEqual([false, true]);
    expect(layers[0]!.tokenTable?.name).toBe('model.layers.0.mlp.gate.tid2eid');
  });

  it('reads a transposed router as rows of experts', async () => {
    const tensors = { 'model.layers.0.mlp.gate.weight': ['F32', 6, 4] } as const;
    const opened = await checkpoint(tensors, { model_type: 'x_moe', num_experts: 4 });
    const [layer] = routersOf(opened, await checkpointRoles(opened)).layers;
    expect(layer).toMatchObject({ transposed: true, experts: 4, width: 6 });
    const reader = new ByteReader();
    const { rows } = await readRouter(reader, opened, layer!);
    await reader.close();
    // Row e holds elements e, e + 4, e + 8 … of the file.
    const bytes = new DataView(Uint8Array.from({ length: 96 }, (_, i) => (i % 4 === 3 ? 0x40 : i)).buffer);
    expect([...rows]).toEqual(Array.from({ length: 24 }, (_, i) => bytes.getFloat32(4 * ((i % 6) * 4 + Math.floor(i / 6)), true)));
  });

  it('takes experts for the shorter side where no configuration tells, and the configuration where it does', async () => {
    const tensors = { 'model.layers.0.mlp.gate.weight': ['F32', 8, 6] } as const;
    expect((await routers(tensors)).layers[0]).toMatchObject({ transposed: true, experts: 6 });
    expect((await routers(tensors, { model_type: 'x_moe', num_experts: 8 })).layers[0]).toMatchObject({ transposed: false, experts: 8 });
    expect((await routers(tensors, { num_experts: 5, zero_expert_num: 3 })).layers[0]).toMatchObject({ transposed: false, experts: 8 });
  });

  it('says which routers it cannot look at, and why', async () => {
    const { layers, skipped } = await routers({
      ...renamed(LAYER, 'gate.weight', 'gate.weight_1'),
      'model.layers.0.mlp.gate.weight': ['F32', 4, 6],
      'model.layers.1.mlp.gate.weight': ['F8_E4M3', 4, 6],
      'model.layers.2.mlp.router.weight': ['F32', 3, 4, 6],
      'model.layers.3.self_attention.experts.router.layer.weight': ['F32', 4, 6],
      'decoder.layers.mlp.router.weight': ['F32', 4, 6],
    });
    expect(layers).toEqual([]);
    expect(Object.fromEntries(skipped.map(({ tensor, reason }) => [tensor, reason]))).toEqual({
      'model.layers.0.mlp.gate.weight': expect.stringContaining('several router tensors'),
      'model.layers.0.mlp.gate.weight_1': expect.stringContaining('several router tensors'),
      'model.layers.1.mlp.gate.weight': expect.stringContaining('F8_E4M3'),
      'model.layers.2.mlp.router.weight': expect.stringContaining('[3,4,6]'),
      'model.layers.3.self_attention.experts.router.layer.weight': expect.stringContaining('attention'),
      'decoder.layers.mlp.router.weight': expect.stringContaining('which layer'),
    });
  });

  it('finds nothing in a dense model', async () => {
    expect(await routers({ 'model.layers.0.mlp.gate_proj.weight': ['F32', 4, 6] }, { model_type: 'llama' })).toEqual({
      layers: [],
      skipped: [],
    });
  });

  it.each([
    ['of two, the one for the mixture', ['input_layernorm', 'post_attention_layernorm'], 'post_attention_layernorm'],
    ['before the block, not after attention', ['post_attention_layernorm', 'pre_mlp_layernorm', 'post_mlp_layernorm'], 'pre_mlp_layernorm'],
    ['none where norms come after (OLMo 2)', ['post_attention_layernorm', 'post_feedforward_layernorm'], null],
    ['the only one', ['input_layernorm'], 'input_layernorm'],
    ['none where names do not tell', ['some_norm', 'other_norm'], null],
    ['the one beside the router', ['input_layernorm', 'mlp.norm'], 'mlp.norm'],
    ['of the first of two blocks (LongCat)', ['post_attention_layernorm.0', 'post_attention_layernorm.1'], 'post_attention_layernorm.0'],
  ])('norm before the router: %s', async (_, names, expected) => {
    const norms = Object.fromEntries(names.map((name) => [`model.layers.0.${name}.weight`, ['F32', 6] as const]));
    const { layers } = await routers({ 'model.layers.0.mlp.gate.weight': ['F32', 4, 6], ...norms });
    expect(layers[0]!.norm?.name ?? null).toBe(expected === null ? null : `model.layers.0.${expected}.weight`);
  });

  it('takes no norm of another width, and no bias of another length', async () => {
    const { layers } = await routers({
      'model.layers.0.mlp.gate.weight': ['F32', 4, 6],
      'model.layers.0.mlp.gate.e_score_correction_bias': ['F32', 5],
      'model.layers.0.post_attention_layernorm.weight': ['F32', 7],
    });
    expect(layers[0]).toMatchObject({ norm: null, correctionBias: null });
  });
});
