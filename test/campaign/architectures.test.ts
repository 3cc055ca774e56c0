import { expect, test } from 'vitest';
import { classifier } from '../../src/model/roles/classify.ts';
import { missingParts } from '../../src/model/roles/headless.ts';
import { architectures, misread } from '../support/architectures.ts';
import { opened, type TinyModel } from '../support/tiny-models.ts';

test('every architecture of transformers: nothing is refused by names, and layers and experts are those of its configuration', () => {
  const models = architectures();
  expect(models.flatMap(misread)).toEqual([]);
  expect(models.length).toBeGreaterThan(600);
});

test("of no architecture is a block's learned scale taken for one of quantised weights, where some of them are quantised", () => {
  const context = { layers: null, experts: null, family: null };
  const taken = architectures().flatMap(({ family, tensors }) => {
    const [beside, alone] = [true, false].map((codes) => classifier({ ...context, codes }));
    return Object.entries(tensors).flatMap(([name, { dtype, shape }]) => {
      const { role } = beside!(name, dtype, shape);
      return role === null && alone!(name, dtype, shape).role !== null ? [`${family}: ${name}`] : [];
    });
  });
  expect(taken).toEqual([]);
});

test('of no architecture is a head missed, if all of them were to generate from several parts', async () => {
  // Jev decides, and has a classifier in the place of a head.
  const generating = architectures().filter(({ family }) => family !== 'jev');
  const said = generating.map((model) => {
    const config = { ...model.config, architectures: [`${model.family}ForConditionalGeneration`] };
    return missingParts(...opened({ ...model, config }));
  });
  expect((await Promise.all(said)).flat()).toEqual([]);
});

test('of no language model are an embedding or a last norm missed that it has, and of nearly all those that it has not', async () => {
  // What has no text vocabulary.
  const others = /^(granite_speech5_ctc|mimi\w*|neucodec|rt_detr_v2|xcodec2)$/;
  const models = architectures().filter((m) => JSON.stringify(m.config).includes('tie_word_embeddings') && !others.test(m.family));
  const said = (model: TinyModel, tensors: TinyModel['tensors'] = model.tensors) => {
    const shape = Object.entries(model.tensors).find(([name]) => /(?:embed_tokens|wte|word_embeddings?)\.weight$/.test(name))?.[1].shape;
    const layers = Object.keys(model.tensors).map((name) => Number(/layers?\.(\d+)/.exec(name)?.[1] ?? -1));
    const config = { vocab_size: shape?.[0] ?? 32_000, num_hidden_layers: Math.max(...layers) + 1, ...model.config };
    return missingParts(...opened({ config: { ...config, architectures: ['SomeForCausalLM'], tie_word_embeddings: true }, tensors }));
  };
  // Under its name lies the embedding, where both are one.
  const HEAD = /(?:^|\.)(?:lm_head|embed_out)\.(?:decoder\.)?weight$/;
  expect((await Promise.all(models.map((model) => said(model)))).flat()).toEqual([]);
  for (const part of [
    /(?:embed_tokens|wte|word_embeddings)\.weight$/,
    /^(?:model|transformer|gpt_neox)\.(?:norm|final_layernorm|final_layer_norm|ln_f)\.weight$/,
  ]) {
    const having = models.filter(({ tensors }) => Object.keys(tensors).filter((name) => part.test(name)).length === 1);
    const without = having.map((model) =>
      said(model, Object.fromEntries(Object.entries(model.tensors).filter(([name]) => !part.test(name) && !HEAD.test(name)))),
    );
    const found = (await Promise.all(without)).filter((warnings) => warnings.some(({ code }) => code === 'W_PART_MISSING'));
    expect([having.length > 100, found.length / having.length > 0.8]).toEqual([true, true]);
  }
});
