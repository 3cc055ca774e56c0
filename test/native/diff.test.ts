import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type DiffOptions, diff } from '../../src/analysis/diff/diff.ts';
import type { DiffDocument, FindingKind } from '../../src/analysis/diff/types.ts';
import { decodeFloat } from '../../src/base/numbers/float.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import type { FixtureTensor } from '../support/checkpoints.ts';
import { mergeError, temporaryFolder } from '../support/safetensors.ts';
import { MOE_LAYERS, trainedMoe, type Weights, writeWeights } from '../support/trained.ts';

const demo = (path: string) => join(import.meta.dirname, '../../demo/runs', path);

/** Every tensor of a checkpoint as numbers, by plain reading. */
async function valuesOf(path: string): Promise<Map<string, number[]>> {
  const { shards } = await openCheckpoint(path);
  const all = new Map<string, number[]>();
  for (const { path: file, header } of shards) {
    const bytes = readFileSync(file);
    for (const [row, name] of header.tensors.names.entries()) {
      const { dtype, shape, begin } = header.tensors.info(row);
      const view = new DataView(bytes.buffer, bytes.byteOffset + header.dataStart + begin);
      const count = shape.reduce((a, b) => a * b, 1);
      all.set(
        name,
        Array.from({ length: count }, (_, i) => decodeFloat(dtype as 'BF16', view, i)),
      );
    }
  }
  return all;
}

/** Relative L2, cosine and the largest difference, by their definitions. */
function plainDistance(a: readonly number[], b: readonly number[]) {
  const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  const steps = a.map((value, i) => value - b[i]!);
  return {
    relativeL2: Math.sqrt(dot(steps, steps) / dot(a, a)),
    cosine: dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)),
    max: steps.reduce((most, step) => Math.max(most, Math.abs(step)), 0),
  };
}

function expectClose(got: object, want: ReturnType<typeof plainDistance>): void {
  const of = got as Record<keyof typeof want, number>;
  for (const key of ['relativeL2', 'cosine', 'max'] as const) expect(of[key], key).toBeCloseTo(want[key], 12);
}

test('a real run: figures as plain loops have them, by tensor, layer, expert and in total', async () => {
  const [a, b] = [demo('moe/checkpoint-5800'), demo('moe/checkpoint-6000')];
  const document = await diff({ inputs: [a, b] });
  const [left, right] = [await valuesOf(a), await valuesOf(b)];
  const over = (pattern: RegExp) => {
    const names = [...left.keys()].filter((name) => pattern.test(name));
    return plainDistance(
      names.flatMap((name) => left.get(name)!),
      names.flatMap((name) => right.get(name)!),
    );
  };
  const [pair] = document.pairs;
  expectClose(pair!.total, over(/./));
  expectClose(pair!.layers.find(({ layer, role }) => layer === 1 && role === 'attn')!, over(/layers\.1\.self_attn\.[qkvo]_proj/));
  expectClose(pair!.roles.find(({ role }) => role === 'router')!, over(/mlp\.gate\.weight/));
  expectClose(pair!.experts.find(({ layer, expert }) => layer === 0 && expert === 5)!, over(/layers\.0\.mlp\.experts\.5\./));
  const [furthest] = pair!.outliers;
  expectClose(furthest!, over(new RegExp(`^${furthest!.name.replaceAll('.', '\\.')}$`)));
  const others = [...left.keys()].map((name) => plainDistance(left.get(name)!, right.get(name)!).relativeL2);
  expect(furthest!.relativeL2).toBeCloseTo(Math.max(...others), 12);
  expect(document).toMatchObject({ tensors: 68, findings: [], uncompared: [], elements: pair!.total.elements });
  expect(document.verdict).toMatch(/^Nothing stands out: relative L2 0\.\d+$/);
});

test('members of a run, every pair of them, neighbours first', async () => {
  const document = await diff({ inputs: [demo('dense')], select: { last: 3 } });
  expect(document.checkpoints.map(({ step }) => step)).toEqual([5600, 5800, 6000]);
  expect(document.pairs.map(({ a, b, consecutive }) => [a, b, consecutive])).toEqual([
    [0, 1, true],
    [1, 2, true],
    [0, 2, false],
  ]);
  const [left, right] = [await valuesOf(demo('dense/checkpoint-5600')), await valuesOf(demo('dense/checkpoint-6000'))];
  const want = plainDistance(
    [...left.values()].flat(),
    [...left.keys()].flatMap((name) => right.get(name)!),
  );
  expect(document.pairs[2]!.total.relativeL2).toBeCloseTo(want.relativeL2, 12);
  expect(document.pairs[2]).toMatchObject({ total: { max: null }, layers: [], experts: [] });
});

describe('a broken checkpoint', () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
  });

  /** Steps 1, 2, … where the last one, or `at`, is spoiled. */
  async function spoil(
    spoiling: (weights: Weights) => void,
    { count = 2, at = count - 1, ...options }: Partial<DiffOptions> & { count?: number; at?: number } = {},
  ): Promise<DiffDocument> {
    const inputs = Array.from({ length: count }, (_, i) => {
      const weights = trainedMoe(i + 1);
      if (i === at) spoiling(weights);
      return writeWeights(join(folder, `checkpoint-${i + 1}`), weights);
    });
    return diff({ inputs, ...options });
  }
  const scale = (pattern: RegExp, factor: number) => (weights: Weights) => {
    for (const [name, { values }] of weights) if (pattern.test(name)) for (let i = 0; i < values.length; i++) values[i]! *= factor;
  };
  const only = (document: DiffDocument, kind: FindingKind) => {
    expect(document.findings.map((finding) => `${finding.kind}: ${finding.message}`)).toHaveLength(1);
    expect(document.findings[0]!.kind).toBe(kind);
    return document.findings[0]!;
  };
  const rename = (weights: Weights, pairs: readonly (readonly [string, string])[]) => {
    const before = new Map(weights);
    for (const [name] of before) {
      for (const [from, to] of pairs) if (name.startsWith(from)) weights.set(name, before.get(name.replace(from, to))!);
    }
  };

  test('none: nothing is said', async () => {
    const document = await spoil(() => {});
    expect(document.findings).toEqual([]);
    expect(document.pairs[0]!.total.relativeL2).toBeGreaterThan(0.01);
  });

  test('the same checkpoint twice', async () => {
    const path = writeWeights(join(folder, 'one'), trainedMoe(1));
    const document = await diff({ inputs: [path, path] });
    expect(document).toMatchObject({ verdict: 'The checkpoints are the same', findings: [] });
    expect(document.pairs[0]!.total).toMatchObject({ relativeL2: 0, max: 0 });
  });

  test('NaN and infinity', async () => {
    const name = 'model.layers.3.self_attn.k_proj.weight';
    const document = await spoil((weights) => {
      weights.get(name)!.values.set([Number.NaN, Number.NaN, Number.POSITIVE_INFINITY]);
    });
    expect(only(document, 'nonfinite')).toMatchObject({ checkpoint: 1, pair: null, layer: 3, role: 'attn', tensors: [name] });
    expect(document.findings[0]!.message).toBe(`tensor ${name} of ${join(folder, 'checkpoint-2')} holds 2 NaN and 1 infinite values`);
    expect(document.verdict).toContain(name);
    // the rest of the tensor still counts
    expect(document.pairs[0]!.layers.find(({ layer, role }) => layer === 3 && role === 'attn')!.relativeL2).toBeLessThan(0.1);
  });

  test('a tensor that is nothing but NaN', async () => {
    const document = await spoil((weights) => weights.get('lm_head.weight')!.values.fill(Number.NaN));
    expect(only(document, 'nonfinite')).toMatchObject({ checkpoint: 1, tensors: ['lm_head.weight'] });
  });

  test('a layer ten times as large, once and not for each tensor of it', async () => {
    const document = await spoil(scale(/layers\.4\./, 10));
    const finding = only(document, 'outlier');
    expect(finding).toMatchObject({ layer: 4, expert: null, pair: 0, checkpoint: null });
    expect(finding.message).toMatch(
      /^layer 4 is \d+ times further apart than layers usually are \(relative L2 9\.\d+ against 0\.0\d+; its norm goes from/,
    );
  });

  test('in the middle of three: it is that checkpoint', async () => {
    const document = await spoil(scale(/layers\.4\./, 10), { count: 3, at: 1 });
    expect(only(document, 'outlier')).toMatchObject({ layer: 4, checkpoint: 1 });
  });

  test('one expert, and one tensor', async () => {
    const expert = await spoil(scale(/layers\.2\.mlp\.experts\.3\./, 4));
    expect(only(expert, 'outlier')).toMatchObject({ layer: 2, expert: 3 });
    const tensor = await spoil(scale(/layers\.5\.self_attn\.o_proj/, 3));
    expect(only(tensor, 'outlier')).toMatchObject({ layer: 5, tensors: ['model.layers.5.self_attn.o_proj.weight'] });
  });

  test('an expert of zeros', async () => {
    const finding = only(await spoil(scale(/layers\.1\.mlp\.experts\.2\./, 0)), 'zero');
    expect(finding).toMatchObject({ layer: 1, expert: 2, checkpoint: 1 });
    expect(finding.tensors).toHaveLength(3);
    expect(finding.message).toMatch(/^layer 1, expert 2 is zero in .*checkpoint-2 \(its norm is \d/);
  });

  test('a matrix of zeros in every checkpoint; a bias of zeros is nothing', async () => {
    const zero = (weights: Weights): Weights => {
      weights.set('model.layers.0.self_attn.q_proj.bias', { shape: [16], values: new Float64Array(16) });
      weights.get('model.layers.0.self_attn.v_proj.weight')!.values.fill(0);
      return weights;
    };
    const inputs = [1, 2].map((step) => writeWeights(join(folder, `checkpoint-${step}`), zero(trainedMoe(step))));
    expect(only(await diff({ inputs }), 'zero')).toMatchObject({ checkpoint: null, tensors: ['model.layers.0.self_attn.v_proj.weight'] });
  });

  test('two layers swapped; three layers in a cycle', async () => {
    const swap = await spoil((weights) =>
      rename(weights, [
        ['model.layers.1.', 'model.layers.4.'],
        ['model.layers.4.', 'model.layers.1.'],
      ]),
    );
    const finding = only(swap, 'swapped');
    expect(finding.message).toMatch(/^layers 1 and 4 have changed places between /);
    const cycle = await spoil((weights) =>
      rename(weights, [
        ['model.layers.0.', 'model.layers.2.'],
        ['model.layers.2.', 'model.layers.5.'],
        ['model.layers.5.', 'model.layers.0.'],
      ]),
    );
    expect(only(cycle, 'swapped').message).toMatch(/^layers (0 → 5 → 2 → 0|0 → 2 → 5 → 0) have changed places/);
  });

  test('all layers shifted by one', async () => {
    const names = Array.from({ length: MOE_LAYERS }, (_, i) => `model.layers.${i}.`);
    const document = await spoil((weights) =>
      rename(
        weights,
        names.map((name, i) => [name, names[(i + 1) % MOE_LAYERS]!]),
      ),
    );
    expect(only(document, 'swapped').message).toContain('have changed places');
  });

  test('two experts of a layer swapped', async () => {
    const at = 'model.layers.3.mlp.experts.';
    const document = await spoil((weights) =>
      rename(weights, [
        [`${at}0.`, `${at}2.`],
        [`${at}2.`, `${at}0.`],
      ]),
    );
    expect(only(document, 'swapped').message).toMatch(/^in layer 3 experts 0 and 2 have changed places between /);
  });

  test('experts of a layer in a cycle: each goes where the arrow points', async () => {
    const at = 'model.layers.3.mlp.experts.';
    const document = await spoil((weights) =>
      rename(weights, [
        [`${at}1.`, `${at}0.`],
        [`${at}3.`, `${at}1.`],
        [`${at}0.`, `${at}3.`],
      ]),
    );
    expect(only(document, 'swapped').message).toMatch(/^in layer 3 experts 0 → 1 → 3 → 0 have changed places between /);
  });

  test.each([2, 3])('two layers swapped of a model with %d, whose norms outweigh its matrices', async (layers) => {
    const weightsAt = (step: number): Weights => {
      const weights = trainedMoe(step);
      for (const [name, { values }] of weights) {
        if (Number(/layers\.(\d+)/.exec(name)?.[1] ?? 0) >= layers) weights.delete(name);
        else if (!name.includes('norm')) for (let i = 0; i < values.length; i++) values[i]! *= 0.01;
      }
      return weights;
    };
    const swapped = weightsAt(2);
    rename(swapped, [
      ['model.layers.0.', 'model.layers.1.'],
      ['model.layers.1.', 'model.layers.0.'],
    ]);
    const inputs = [weightsAt(1), swapped].map((weights, i) => writeWeights(join(folder, `checkpoint-${i + 1}`), weights));
    expect(only(await diff({ inputs }), 'swapped').message).toMatch(/^layers 0 and 1 have changed places between /);
  });

  test('a bias that begins at zero is nothing; one that goes back to zero is', async () => {
    const biases = (step: number, size: number): string => {
      const weights = trainedMoe(step);
      for (let layer = 0; layer < MOE_LAYERS; layer++) {
        const name = `model.layers.${layer}.mlp.gate.e_score_correction_bias`;
        // one element far from the others, as a flipped bit would be
        weights.set(name, { shape: [16], values: Float64Array.from({ length: 16 }, (_, i) => (i === layer ? size : size / 100)) });
      }
      return writeWeights(join(folder, `biases-${step}-${size}`), weights);
    };
    const [zero, one, two] = [biases(1, 0), biases(2, 0.5), biases(3, 0.75)];
    expect((await diff({ inputs: [zero, one, two] })).findings).toEqual([]);
    const back = await diff({ inputs: [one, two, biases(4, 0)] });
    expect(back.findings.map(({ kind, checkpoint }) => [kind, checkpoint])).toEqual(new Array(MOE_LAYERS).fill(['zero', 2]));
  });

  test('a flipped bit', async () => {
    const document = await spoil((weights) => {
      weights.get('model.embed_tokens.weight')!.values[7] = 2 ** 100;
    });
    expect(only(document, 'outlier')).toMatchObject({ tensors: ['model.embed_tokens.weight'], role: 'embedding' });
    expect(document.findings[0]!.message).toContain('one element of tensor model.embed_tokens.weight moves by 1.27e+30');
  });

  test('one checkpoint and an edit of it: what differs is named, not what is the same', async () => {
    const edited = trainedMoe(1);
    for (const name of ['gate', 'up']) edited.get(`model.layers.4.mlp.experts.1.${name}_proj.weight`)!.values[5]! += 0.5;
    const inputs = [writeWeights(join(folder, 'a'), trainedMoe(1)), writeWeights(join(folder, 'b'), edited)];
    const finding = only(await diff({ inputs }), 'outlier');
    expect(finding.message).toMatch(/^only 2 of 111 tensors differ between /);
    expect(finding.tensors).toEqual(['gate', 'up'].map((name) => `model.layers.4.mlp.experts.1.${name}_proj.weight`));
  });

  test('an expert, a tensor and a role that did not move', async () => {
    const frozen = (pattern: RegExp) => (weights: Weights) => {
      for (const [name, tensor] of trainedMoe(1)) if (pattern.test(name)) weights.set(name, tensor);
    };
    expect(only(await spoil(frozen(/layers\.0\.mlp\.experts\.1\./)), 'unchanged')).toMatchObject({ layer: 0, expert: 1 });
    expect(only(await spoil(frozen(/layers\.0\.self_attn\.q_proj/)), 'unchanged')).toMatchObject({ layer: 0, role: 'attn' });
    expect(only(await spoil(frozen(/mlp\.gate\.weight/)), 'unchanged')).toMatchObject({ role: 'router', layer: null });
    const attention = only(await spoil(frozen(/self_attn/)), 'unchanged');
    expect(attention.message).toMatch(/^everything of the role attention is the same to the bit in /);
    // norms stored in 16 bits often stay as they are, and scales of quantised weights
    const scales = (weights: Weights, moving: number): Weights => {
      for (let layer = 0; layer < MOE_LAYERS; layer++) {
        const values = Float64Array.of(layer === 0 ? 1 : 1 + moving);
        weights.set(`model.layers.${layer}.self_attn.q_proj.weight_scale_inv`, { shape: [1, 1], values });
      }
      return weights;
    };
    const inputs = [0, 0.125].map((moving, i) => writeWeights(join(folder, `scales-${i}`), scales(trainedMoe(i + 1), moving)));
    const { findings, pairs } = await diff({ inputs });
    expect([findings, pairs[0]!.roles.some(({ role }) => role === 'quant_scale')]).toEqual([[], true]);
    expect((await spoil(frozen(/layers\.0\.input_layernorm/))).findings).toEqual([]);
  });
});

describe('what is compared', () => {
  test('experts in one tensor, each on its own', async () => {
    const folder = temporaryFolder();
    const fuse = (weights: Weights): Weights => {
      const fused: Weights = new Map([...weights].filter(([name]) => !name.includes('experts')));
      for (let layer = 0; layer < MOE_LAYERS; layer++) {
        const at = `model.layers.${layer}.mlp.experts`;
        const parts = [0, 1, 2, 3].map((e) => weights.get(`${at}.${e}.down_proj.weight`)!.values);
        fused.set(`${at}.down_proj`, { shape: [4, 16, 24], values: Float64Array.from(parts.flatMap((p) => Array.from(p))) });
      }
      return fused;
    };
    const spoiled = trainedMoe(2);
    spoiled.get('model.layers.2.mlp.experts.3.down_proj.weight')!.values.fill(0);
    const plain = await diff({
      inputs: [1, 2].map((step) => writeWeights(join(folder, `plain-${step}`), trainedMoe(step))),
      roles: ['experts'],
    });
    const document = await diff({
      inputs: [writeWeights(join(folder, 'a'), fuse(trainedMoe(1))), writeWeights(join(folder, 'b'), fuse(spoiled))],
    });
    expect(document.findings[0]).toMatchObject({ kind: 'zero', layer: 2, expert: 3, tensors: ['model.layers.2.mlp.experts.down_proj'] });
    expect(document.pairs[0]!.experts).toHaveLength(24);
    const down = plain.pairs[0]!.outliers.find(({ name }) => name.endsWith('down_proj.weight'))!;
    const same = document.pairs[0]!.experts.find(({ layer, expert }) => layer === down.layer && expert === down.expert)!;
    expect(same.relativeL2).toBe(down.relativeL2);
  });

  describe('checkpoints in different layouts', () => {
    /**
     * Experts in stacks, gate and up in one: [experts, 2 × 24, 16] and [experts, 16, 24], down's two axes
     * exchanged where `transposed`.
     */
    const stacks = (weights: Weights, transposed = false): Weights => {
      const fused: Weights = new Map([...weights].filter(([name]) => !name.includes('experts')));
      for (let layer = 0; layer < MOE_LAYERS; layer++) {
        const at = `model.layers.${layer}.mlp.experts`;
        const joined = (...names: string[]) =>
          Float64Array.from(
            [0, 1, 2, 3].flatMap((e) => names.flatMap((n) => Array.from(weights.get(`${at}.${e}.${n}_proj.weight`)!.values))),
          );
        fused.set(`${at}.gate_up_proj`, { shape: [4, 48, 16], values: joined('gate', 'up') });
        fused.set(`${at}.down_proj`, { shape: transposed ? [4, 24, 16] : [4, 16, 24], values: joined('down') });
      }
      return fused;
    };
    const at = (folder: string, step: number, form?: typeof stacks) => {
      const weights = trainedMoe(step);
      return writeWeights(join(folder, `${form === undefined ? 'single' : 'stacked'}-${step}`), form?.(weights) ?? weights);
    };
    const figures = ({ pairs }: DiffDocument) =>
      pairs.map(({ total, experts }) => [total, ...experts].map(({ relativeL2, max }) => [relativeL2, max]));

    test('figures are those of one layout, whichever comes first', async () => {
      const folder = temporaryFolder();
      const plain = figures(await diff({ inputs: [1, 2, 3].map((step) => at(folder, step)) }));
      for (const mixed of [
        [at(folder, 1), at(folder, 2, stacks), at(folder, 3)],
        [at(folder, 1, stacks), at(folder, 2), at(folder, 3, stacks)],
      ]) {
        const document = await diff({ inputs: mixed });
        expect(document.findings).toEqual([]);
        expect(document.warnings.map(({ code }) => code)).toContain('W_OTHER_LAYOUT');
        for (const [p, cells] of figures(document).entries()) {
          for (const [c, [relativeL2, max]] of cells.entries()) {
            expect(relativeL2).toBeCloseTo(plain[p]![c]![0]!, 12);
            expect(max).toBe(plain[p]![c]![1]);
          }
        }
      }
      const same = await diff({ inputs: [at(folder, 1), at(folder, 1, stacks)] });
      expect(same).toMatchObject({ verdict: 'The checkpoints are the same', tensors: 111 });
      expect(same.warnings[0]!.message).toBe(
        `${at(folder, 1, stacks)} holds 72 tensors of ${at(folder, 1)} under other names, or as parts of others; the same elements were compared`,
      );
    });

    test('a broken expert is found in the other layout', async () => {
      const folder = temporaryFolder();
      const broken = trainedMoe(2);
      for (const name of ['gate', 'up', 'down']) broken.get(`model.layers.2.mlp.experts.3.${name}_proj.weight`)!.values.fill(0);
      const b = writeWeights(join(folder, 'b'), broken);
      for (const a of [at(folder, 1, stacks), at(folder, 1)]) {
        for (const other of [b, writeWeights(join(folder, 'c'), stacks(broken))]) {
          const { findings } = await diff({ inputs: [a, other] });
          expect(findings).toMatchObject([{ kind: 'zero', layer: 2, expert: 3, checkpoint: 1 }]);
        }
      }
    });

    test('integers and codes in the other layout, by their bytes', async () => {
      const folder = temporaryFolder();
      const codes = (fill: (expert: number) => number, stacked: boolean): FixtureTensor[] => {
        const rest = 'model.layers.0.mlp.experts';
        const data = (e: number) => new Uint8Array(24 * 16).fill(fill(e));
        if (!stacked) {
          return [0, 1, 2, 3].map((e) => ({ name: `${rest}.${e}.down_proj.weight`, dtype: 'F8_E4M3', shape: [16, 24], data: data(e) }));
        }
        return [{ name: `${rest}.down_proj`, dtype: 'F8_E4M3', shape: [4, 16, 24], data: Buffer.concat([0, 1, 2, 3].map(data)) }];
      };
      const none: Weights = new Map();
      const a = writeWeights(
        join(folder, 'a'),
        none,
        'BF16',
        codes((e) => e, true),
      );
      const equal = async (fill: (expert: number) => number) => {
        const document = await diff({ inputs: [a, writeWeights(join(folder, 'b'), none, 'BF16', codes(fill, false))] });
        return document.uncompared.map((tensor) => tensor.equal);
      };
      expect(await equal((e) => e)).toEqual([true]);
      expect(await equal((e) => (e === 3 ? 9 : e))).toEqual([false]);
    });

    test('a form that is not the same elements in the same order: why', async () => {
      const folder = temporaryFolder();
      const inputs = [at(folder, 1), at(folder, 2, (weights) => stacks(weights, true))];
      const { code, message, details } = await mergeError(() => diff({ inputs }));
      expect(code).toBe('E_LAYOUT_FORM');
      expect(message).toBe('the checkpoints hold 24 tensors in forms that cannot be compared element by element');
      expect(details.conflicts![0]!.message).toContain('its experts are stored transposed: [4, 24, 16] where the hidden size is 16');
      expect((await diff({ inputs, roles: ['attention'] })).tensors).toBe(24);
    });
  });

  test('roles and layers that are asked for, and no others', async () => {
    const inputs = [demo('moe/checkpoint-5800'), demo('moe/checkpoint-6000')];
    const routers = await diff({ inputs, roles: ['router'], layers: [{ from: 1, to: 3 }] });
    expect(routers.tensors).toBe(1);
    expect(routers.pairs[0]!.roles.map(({ role }) => role)).toEqual(['router']);
    // the demo has two layers: the last is counted from the end, as in policies
    const named = async (from: number, to: number) =>
      (await diff({ inputs, roles: ['router'], layers: [{ from, to }] })).pairs[0]!.layers.map(({ layer }) => layer);
    expect([await named(-1, -1), await named(0, -2), await named(-2, 1)]).toEqual([[1], [0], [0, 1]]);
    const none = await mergeError(() => diff({ inputs, layers: [{ from: 7, to: 9 }] }));
    expect(none).toMatchObject({ code: 'E_OPTION', exitCode: 2 });
    expect((await mergeError(() => diff({ inputs, roles: ['rooter'] }))).message).toContain('there is no role rooter');
  });

  test('other dtypes of the same weights; integers by their bytes', async () => {
    const folder = temporaryFolder();
    const table = (value: number) => [
      { name: 'model.layers.0.mlp.tid2eid', dtype: 'I64' as const, shape: [2], data: new Uint8Array(16).fill(value) },
    ];
    const a = writeWeights(join(folder, 'a'), trainedMoe(1), 'F32', table(1));
    const b = writeWeights(join(folder, 'b'), trainedMoe(1), 'BF16', table(2));
    const document = await diff({ inputs: [a, b] });
    expect(document.pairs[0]!.total.relativeL2).toBeGreaterThan(0);
    expect(document.pairs[0]!.total.relativeL2).toBeLessThan(2 ** -8);
    expect(document.uncompared).toEqual([{ name: 'model.layers.0.mlp.tid2eid', reason: 'integer', equal: false }]);
    const same = await diff({ inputs: [a, writeWeights(join(folder, 'c'), trainedMoe(1), 'F32', table(1))] });
    expect(same.uncompared[0]!.equal).toBe(true);
    expect(same.verdict).toBe('The checkpoints are the same');
  });

  test('quantised codes by their bytes only', async () => {
    const folder = temporaryFolder();
    const codes = (value: number) => [
      { name: 'model.layers.0.mlp.up_proj.weight', dtype: 'F8_E4M3' as const, shape: [8], data: new Uint8Array(8).fill(value) },
    ];
    const inputs = [1, 2].map((step) => writeWeights(join(folder, `${step}`), trainedMoe(1), 'BF16', codes(step)));
    const document = await diff({ inputs });
    expect(document.uncompared).toEqual([{ name: 'model.layers.0.mlp.up_proj.weight', reason: 'quantised', equal: false }]);
    const floats = 'in what is compared as numbers (embedding, attention, norm, router, experts, output head)';
    const differs = '; 1 quantised tensor differs, compared by its bytes only';
    expect(document.verdict).toBe(`Nothing differs ${floats}${differs}`);
    const trained = await diff({ inputs: [inputs[0]!, writeWeights(join(folder, 'trained'), trainedMoe(2), 'BF16', codes(2))] });
    expect(trained.verdict.replace(/0\.\d+/, '#')).toBe(`Nothing stands out ${floats}: relative L2 #${differs}`);
    const equal = await diff({ inputs: [inputs[0]!, writeWeights(join(folder, 'equal'), trainedMoe(2), 'BF16', codes(1))] });
    expect(equal.verdict.replace(/0\.\d+/, '#')).toBe(`Nothing stands out ${floats}: relative L2 #`);
    expect((await diff({ inputs, roles: ['mlp'] })).verdict).toBe(`Nothing is compared as numbers${differs}`);
  });
});

describe('what cannot be compared', () => {
  test('other names and shapes: every one of them', async () => {
    const folder = temporaryFolder();
    const other = trainedMoe(1);
    other.delete('model.layers.0.mlp.gate.weight');
    other.set('extra.weight', { shape: [3], values: new Float64Array(3) });
    other.set('lm_head.weight', { shape: [16, 40], values: new Float64Array(640) });
    const inputs = [writeWeights(join(folder, 'a'), trainedMoe(1)), writeWeights(join(folder, 'b'), other)];
    const error = await mergeError(() => diff({ inputs }));
    expect([error.code, error.exitCode]).toEqual(['E_CONFLICTS', 3]);
    expect(error.details.conflicts!.map(({ code, tensor }) => [code, tensor])).toEqual(
      expect.arrayContaining([
        ['E_TENSOR_MISSING', 'model.layers.0.mlp.gate.weight'],
        ['E_SHAPE', 'lm_head.weight'],
        ['E_TENSOR_EXTRA', 'extra.weight'],
      ]),
    );
    expect(error.details.conflicts).toHaveLength(3);
    // what both have can still be compared
    expect((await diff({ inputs, roles: ['attn'] })).tensors).toBe(24);
  });

  test('one checkpoint, and more than fit', async () => {
    const one = demo('moe/checkpoint-6000');
    expect(await mergeError(() => diff({ inputs: [one] }))).toMatchObject({ code: 'E_OPTION' });
    expect(await mergeError(() => diff({ inputs: new Array(33).fill(one) }))).toMatchObject({ code: 'E_OPTION' });
  });

  test('a folder without a checkpoint, and a file that is none', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'empty'));
    writeFileSync(join(folder, 'x.safetensors'), 'no');
    for (const path of ['empty', 'x.safetensors', 'missing']) {
      expect((await mergeError(() => diff({ inputs: [demo('moe/checkpoint-6000'), join(folder, path)] }))).exitCode).toBe(3);
    }
  });

  test('an abort', async () => {
    const inputs = [demo('moe/checkpoint-5800'), demo('moe/checkpoint-6000')];
    const reason = new Error('enough');
    await expect(diff({ inputs }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
