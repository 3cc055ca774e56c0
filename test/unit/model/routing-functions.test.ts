import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linear } from '../../../src/base/numbers/matrix.ts';
import { routingFunction } from '../../../src/model/routing/functions.ts';
import { route, topK } from '../../../src/model/routing/route.ts';
import type { RoutingFunction } from '../../../src/model/routing/types.ts';
import { type Golden, goldenTensor, routingGoldens } from '../../support/routing-goldens.ts';

const { cases } = routingGoldens();

const PLAIN: RoutingFunction = {
  family: 'test',
  score: 'softmax',
  logitBias: false,
  selectionBias: false,
  groups: null,
  topK: 2,
  renormalise: false,
  epsilon: 0,
  scaling: 1,
  hashLayers: 0,
  sparseMixer: null,
};

describe('choice and weights of experts, as transformers has them', () => {
  it.each(Object.keys(cases))('%s', (name) => {
    const { config } = cases[name] as Golden;
    const fn = routingFunction(config);
    expect(fn).not.toBeNull();
    const inputs = goldenTensor(`${name}.inputs`)!;
    const router = goldenTensor(`${name}.router`)!;
    const bias = goldenTensor(`${name}.bias`);
    const correction = goldenTensor(`${name}.correction`);
    const expectedExperts = goldenTensor(`${name}.experts`)!;
    const expectedWeights = goldenTensor(`${name}.weights`)!;
    const [tokens, k] = expectedExperts.shape as [number, number];
    const experts = router.shape[0]!;
    expect(fn).toMatchObject({ topK: k, logitBias: bias !== null, selectionBias: correction !== null });

    const logits = linear(inputs.data, tokens, { rows: experts, columns: router.shape[1]!, data: router.data });
    for (let i = 0; bias !== null && i < logits.length; i++) logits[i]! += bias.data[i % experts]!;
    const routes = route(fn!, logits, experts, correction?.data ?? null);

    for (let t = 0; t < tokens; t++) {
      const row = (values: ArrayLike<number>) => Array.from({ length: k }, (_, i) => values[t * k + i]!);
      const chosen = row(routes.experts);
      const expected = row(expectedExperts.data);
      expect(chosen.toSorted()).toEqual(expected.toSorted());
      const weightOf = new Map(expected.map((e, i) => [e, row(expectedWeights.data)[i]!]));
      chosen.forEach((e, i) => {
        // The models computed in float32, from a sum over 16 products on.
        const error = Math.abs(row(routes.weights)[i]! / weightOf.get(e)! - 1);
        expect(error).toBeLessThan(2e-6);
      });
    }
  });

  it('covers groups by their best and by their best two, both kinds of bias, and all scores', () => {
    const functions = Object.values(cases).map(({ config }) => routingFunction(config as Golden['config'])!);
    expect(new Set(functions.map((fn) => fn.groups?.by))).toEqual(new Set([undefined, 'max', 'sum of top 2']));
    expect(new Set(functions.map((fn) => fn.score))).toEqual(new Set(['softmax', 'sigmoid', 'sqrtsoftplus']));
    expect(functions.filter((fn) => fn.logitBias)).toHaveLength(1);
    expect(functions.filter((fn) => fn.sparseMixer !== null)).toHaveLength(1);
    expect(functions.filter((fn) => fn.selectionBias && fn.groups !== null).length).toBeGreaterThan(1);
    expect(functions.map((fn) => fn.hashLayers).filter((n) => n > 0)).toEqual([1]);
  });
});

describe('route', () => {
  it('takes the lower of equal experts, and chooses by score plus bias but weighs by score', () => {
    const tied = route(PLAIN, Float64Array.of(1, 2, 2, 2), 4);
    expect([...tied.experts]).toEqual([1, 2]);
    const biased = route(
      { ...PLAIN, score: 'sigmoid', selectionBias: true },
      Float64Array.of(0, 0, 0, 0),
      4,
      Float64Array.of(0, 0.1, 0, 5),
    );
    expect([...biased.experts]).toEqual([3, 1]);
    expect([...biased.weights]).toEqual([0.5, 0.5]);
  });

  it('ignores a bias that the function does not use', () => {
    expect([...route(PLAIN, Float64Array.of(3, 2, 1), 3, Float64Array.of(0, 0, 9)).experts]).toEqual([0, 1]);
  });

  it('keeps to the best groups', () => {
    // Groups (9, -9), (4, 3.9), (5, 0): by best expert the first and third lead, by the sum of two scores the
    // second and third.
    const logits = Float64Array.of(9, -9, 4, 3.9, 5, 0);
    const groups = { count: 3, kept: 2 } as const;
    const fn = { ...PLAIN, score: 'sigmoid', topK: 3 } as const;
    expect([...route({ ...fn, groups: { ...groups, by: 'max' } }, logits, 6).experts]).toEqual([0, 4, 5]);
    expect([...route({ ...fn, groups: { ...groups, by: 'sum of top 2' } }, logits, 6).experts]).toEqual([4, 2, 3]);
  });

  it('survives logits that overflow a naive softmax or softplus, and more choices than experts', () => {
    const huge = Float64Array.of(1000, 999, -1000);
    expect([...route({ ...PLAIN, topK: 9 }, huge, 3).experts]).toEqual([0, 1, 2]);
    expect(route(PLAIN, huge, 3).weights[0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
    expect(route({ ...PLAIN, score: 'sqrtsoftplus' }, huge, 3).weights[0]).toBeCloseTo(Math.sqrt(1000), 10);
  });

  it('agrees with a full sort', () => {
    let state = 1;
    const random = () => {
      state = (state * 48271) % 2147483647;
      return (state % 17) / 17;
    };
    for (let round = 0; round < 200; round++) {
      const values = Float64Array.from({ length: 1 + (round % 40) }, random);
      const into = new Int32Array(Math.min(values.length, 1 + (round % 7)));
      topK(values, into);
      const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
      expect([...into]).toEqual(sorted.slice(0, into.length));
    }
  });

  it('never prefers NaN', () => {
    const into = new Int32Array(2);
    topK(Float64Array.of(Number.NaN, -5, Number.NaN, -7), into);
    expect([...into]).toEqual([1, 3]);
  });
});

describe('routingFunction', () => {
  it('reads configurations as publishers write them', () => {
    const deepseek = {
      num_experts_per_tok: 8,
      scoring_func: 'sigmoid',
      topk_method: 'noaux_tc',
      norm_topk_prob: true,
      routed_scaling_factor: 2.5,
    };
    const kimi = {
      model_type: 'kimi_k25',
      text_config: { ...deepseek, model_type: 'kimi_k2', n_group: 1, topk_group: 1, n_routed_experts: 384 },
    };
    expect(routingFunction(kimi)).toMatchObject({ family: 'kimi_k2', score: 'sigmoid', groups: null, topK: 8, scaling: 2.5 });
    expect(routingFunction({ ...deepseek, model_type: 'deepseek_v3', n_group: 8, topk_group: 4 })?.groups).toEqual({
      count: 8,
      kept: 4,
      by: 'sum of top 2',
    });
    expect(routingFunction({ model_type: 'hunyuan_v1_moe', moe_topk: [8, 8, 8] })?.topK).toBe(8);
    expect(routingFunction({ model_type: 'dbrx', ffn_config: { moe_top_k: 4, moe_normalize_expert_weights: 1 } })?.topK).toBe(4);
    const dots = { model_type: 'dots1', scoring_func: 'noaux_tc', num_experts_per_tok: 6, n_group: 1, topk_group: 1, norm_topk_prob: true };
    expect(routingFunction(dots)).toMatchObject({ score: 'sigmoid', renormalise: true });
    expect(routingFunction({ model_type: 'switch_transformers', num_experts: 8 })?.topK).toBe(1);
  });

  it('knows an unknown family by the words of DeepSeek', () => {
    const words = { model_type: 'brand_new', num_experts_per_tok: 4, n_group: 4, topk_group: 2 };
    expect(routingFunction({ ...words, scoring_func: 'sigmoid', topk_method: 'noaux_tc' })).toMatchObject({
      family: 'brand_new',
      groups: { by: 'sum of top 2' },
    });
    expect(routingFunction({ ...words, scoring_func: 'softmax', topk_method: 'group_limited_greedy' })?.groups?.by).toBe('max');
    expect(routingFunction({ ...words, scoring_func: 'softmax', topk_method: 'greedy' })?.groups).toBeNull();
    expect(routingFunction({ ...words, scoring_func: 'sigmoid', topk_method: 'invented' })).toBeNull();
  });

  it.each([
    ['no configuration', null],
    ['a dense model', { model_type: 'llama' }],
    ['an unknown family', { model_type: 'brand_new', num_experts_per_tok: 2 }],
    ['no number of experts a token', { model_type: 'mixtral' }],
    ['another number for some layers', { model_type: 'hunyuan_v1_moe', moe_topk: [8, 4] }],
    ['another score than the family has', { model_type: 'deepseek_v2', num_experts_per_tok: 2, scoring_func: 'sigmoid' }],
    ['groups that are not told', { model_type: 'deepseek_v3', num_experts_per_tok: 8 }],
    [
      'groups that do not divide the experts',
      { model_type: 'deepseek_v3', num_experts_per_tok: 2, n_routed_experts: 10, n_group: 4, topk_group: 2 },
    ],
    ['a flag that is no flag', { model_type: 'qwen3_moe', num_experts_per_tok: 2, norm_topk_prob: 'yes' }],
    ['another norm of the weights', { model_type: 'dbrx', ffn_config: { moe_top_k: 4, moe_normalize_expert_weights: 2 } }],
  ])('says that it does not know: %s', (_, config) => {
    expect(routingFunction(config)).toBeNull();
  });

  it('was checked against the transformers named in its table', () => {
    const { transformers } = routingGoldens();
    const table = readFileSync(join(import.meta.dirname, '../../../src/model/routing/functions.ts'), 'utf8');
    expect(table).toContain(`transformers ${transformers.split('.').slice(0, 2).join('.')}`);
  });
});
