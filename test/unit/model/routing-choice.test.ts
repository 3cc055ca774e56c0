import { describe, expect, it } from 'vitest';
import { averagedLogits, layerChoice, loadOf, type RouterLogits, routerLogits } from '../../../src/model/routing/choice.ts';
import { routingFunction } from '../../../src/model/routing/functions.ts';
import { gaussianProbes, ln, normsAddOne, probeCount, throughNorm, tokenCount } from '../../../src/model/routing/probes.ts';
import { route } from '../../../src/model/routing/route.ts';
import type { RouterInputs, RouterWeights } from '../../../src/model/routing/types.ts';

const TOP2 = routingFunction({ model_type: 'olmoe', num_experts_per_tok: 2, norm_topk_prob: true })!;
const GROUPED = routingFunction({ model_type: 'deepseek_v3', num_experts_per_tok: 2, n_group: 4, topk_group: 2 })!;
const REAL = { tokens: 2, synthetic: false };

const plain = (logits: readonly number[]): RouterLogits => ({ logits: Float64Array.from(logits), correctionBias: null });

describe('choice of one layer', () => {
  it('is what one counts by hand', () => {
    // Two tokens, four experts. The mean of both members chooses {0, 1} and {2, 0}.
    const a = plain([4, 2, 0, -9, 3, 0, 2, -9]);
    const b = plain([4, 0.5, 1, -9, 0, 0, 6, -9]);
    const choice = layerChoice(TOP2, 7, 4, REAL, [a, b], [0.5, 0.5]);
    const [first, second] = choice.members;
    expect(choice).toMatchObject({ layer: 7, tokens: 2, synthetic: false });
    expect([...route(TOP2, averagedLogits([a, b], [0.5, 0.5]).logits, 4).experts]).toEqual([0, 1, 2, 0]);
    expect(first!.overlap).toEqual({ mean: 1, standardError: 0 });
    expect(first!.top1.mean).toBe(0.5);
    // The second member chooses {0, 2} and, of two equal experts, the lower one: {2, 0}. Overlaps 1/2 and 1:
    // standard error 0.25.
    expect(second!.overlap).toEqual({ mean: 0.75, standardError: 0.25 });
    expect(second!.top1).toEqual({ mean: 1, standardError: 0 });
    const p = (zs: readonly number[], chosen: readonly number[]) => {
      const e = zs.map(Math.exp);
      return chosen.reduce((sum, i) => sum + e[i]!, 0) / e.reduce((x, y) => x + y);
    };
    expect(second!.mass.mean).toBeCloseTo((p([4, 1.25, 0.5, -9], [0, 2]) + p([1.5, 0, 4, -9], [2, 0])) / 2, 12);
    // Averaged: 0, 1, 2, 0 of four experts.
    expect(choice.load).toEqual({ maxOverMean: 2, entropy: (0.5 * Math.log(2) + 0.5 * Math.log(4)) / Math.log(4), dead: 1 });
  });

  it('of identical members is the same in every way', () => {
    const inputs = gaussianProbes(50, 16, 3);
    const router = { rows: gaussianProbes(8, 16, 4).data, logitBias: null, correctionBias: gaussianProbes(1, 8, 5).data };
    for (const fn of [TOP2, GROUPED]) {
      const logits = routerLogits(inputs, router);
      const { members, load } = layerChoice(fn, 0, 8, inputs, [logits, logits], [0.25, 0.75]);
      for (const member of members) {
        expect(member.overlap).toEqual({ mean: 1, standardError: 0 });
        expect(member.top1.mean).toBe(1);
        expect(member).toMatchObject({ flippable: 0, load: null });
      }
      expect(load).toBeNull();
    }
  });

  it('falls as routers move apart, and no choice changes that could not flip', () => {
    const inputs = gaussianProbes(400, 16, 1);
    const base = gaussianProbes(16, 16, 2).data;
    const noise = gaussianProbes(16, 16, 3).data;
    for (const fn of [TOP2, GROUPED]) {
      const overlaps = [0, 0.05, 0.3, 1, 5].map((size) => {
        const moved = routerLogits(inputs, { rows: base.map((w, i) => w + size * noise[i]!), logitBias: null, correctionBias: null });
        const still = routerLogits(inputs, { rows: base, logitBias: null, correctionBias: null });
        const [member] = layerChoice(fn, 0, 16, inputs, [still, moved], [0, 1]).members;
        const k = 2;
        const chosen = [still, moved].map(({ logits }) => route(fn, logits, 16).experts);
        const changed = Array.from({ length: 400 }, (_, t) => t).filter((t) => {
          const [before, after] = chosen.map((experts) => [...experts.subarray(t * k, t * k + k)].sort().join());
          return before !== after;
        });
        expect(changed.length / 400).toBeLessThanOrEqual(member!.flippable);
        return member!.overlap.mean;
      });
      expect(overlaps[0]).toBe(1);
      expect(overlaps.toSorted((x, y) => y - x)).toEqual(overlaps);
      expect(overlaps[1]).toBeGreaterThan(0.9);
      expect(overlaps[4]).toBeLessThan(0.5);
    }
  });

  it('knows that logits average as routers do, biases too', () => {
    const inputs: RouterInputs = gaussianProbes(20, 9, 1);
    const weights = [0.7, 0.5, -0.2];
    const members = weights.map(
      (_, m): RouterWeights => ({
        rows: gaussianProbes(6, 9, 10 + m).data,
        logitBias: gaussianProbes(1, 6, 20 + m).data,
        correctionBias: gaussianProbes(1, 6, 30 + m).data,
      }),
    );
    const mean = (key: 'rows' | 'logitBias' | 'correctionBias') =>
      members[0]![key]!.map((_, i) => weights.reduce((sum, w, m) => sum + w * members[m]![key]![i]!, 0));
    const direct = routerLogits(inputs, { rows: mean('rows'), logitBias: mean('logitBias'), correctionBias: mean('correctionBias') });
    const averaged = averagedLogits(
      members.map((m) => routerLogits(inputs, m)),
      weights,
    );
    expect(averaged.logits.every((z, i) => Math.abs(z - direct.logits[i]!) < 1e-12)).toBe(true);
    expect(averaged.correctionBias!.every((z, i) => Math.abs(z - direct.correctionBias![i]!) < 1e-12)).toBe(true);
  });

  it('is refused where the groups of the configuration do not divide the experts', () => {
    const logits = plain(Array(10).fill(0));
    expect(() => layerChoice(GROUPED, 3, 10, { tokens: 1, synthetic: true }, [logits], [1])).toThrow(
      'into which the 10 of layer 3 cannot be divided',
    );
  });

  it('adds the learned bias before the score', () => {
    const inputs: RouterInputs = { data: Float64Array.of(1, 0), tokens: 1, width: 2, synthetic: true };
    const { logits } = routerLogits(inputs, {
      rows: Float64Array.of(1, 9, 2, 9, 3, 9),
      logitBias: Float64Array.of(10, 0, -10),
      correctionBias: null,
    });
    expect([...logits]).toEqual([11, 2, -7]);
  });
});

describe('load', () => {
  it('is even at 1 and 1, and all on one expert at E and 0', () => {
    expect(loadOf(Int32Array.of(0, 1, 2, 3), 4)).toEqual({ maxOverMean: 1, entropy: 1, dead: 0 });
    const one = loadOf(Int32Array.of(2, 2, 2), 4);
    expect(one.maxOverMean).toBe(4);
    expect(one.entropy).toBeCloseTo(0, 12);
    expect(one.dead).toBe(3);
    expect(loadOf(Int32Array.of(0, 0), 1)).toEqual({ maxOverMean: 1, entropy: 1, dead: 0 });
  });
});

describe('probes', () => {
  it('are normal numbers', () => {
    const width = 4096;
    const { data } = gaussianProbes(20, width, 42);
    const moment = (p: number) => data.reduce((sum, x) => sum + x ** p, 0) / data.length;
    // Standard errors over 81,920 numbers: 0.0035, 0.0085 and 0.034.
    expect(Math.abs(moment(1))).toBeLessThan(0.015);
    expect(moment(2)).toBeCloseTo(1, 10);
    expect(Math.abs(moment(3))).toBeLessThan(0.045);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.15);
    const within = data.filter((x) => Math.abs(x) < 1).length / data.length;
    expect(Math.abs(within - 0.6827)).toBeLessThan(0.007);
    // Both of a pair, and neighbouring probes, are independent.
    const product = (lag: number) => data.slice(lag).reduce((sum, x, i) => sum + x * data[i]!, 0) / data.length;
    for (const lag of [1, 2, width]) expect(Math.abs(product(lag))).toBeLessThan(0.015);
  });

  it('have root mean square 1 each, an odd width too, and are decided by the seed', () => {
    const probes = gaussianProbes(3, 7, 5);
    for (let t = 0; t < 3; t++) {
      const row = probes.data.subarray(7 * t, 7 * t + 7);
      expect(row.reduce((sum, x) => sum + x * x, 0) / 7).toBeCloseTo(1, 12);
    }
    expect(gaussianProbes(3, 7, 5).data).toEqual(probes.data);
    expect(gaussianProbes(3, 7, 6).data).not.toEqual(probes.data);
    expect(probes.synthetic).toBe(true);
  });

  it('begin with the same numbers for ever', () => {
    // From Python: SplitMix64 from seed 1, then math.sqrt(-2 * math.log(u)) * cos / sin(2 * math.pi * v),
    // over the root mean square.
    const expected = [-0.0516804031363557, -1.949452907378477, -0.4169585377680128, 0.15201340607863253];
    gaussianProbes(1, 4, 1).data.forEach((x, i) => {
      expect(x).toBeCloseTo(expected[i]!, 13);
    });
  });

  it('have a logarithm of their own that is right', () => {
    for (let x = 2 ** -53; x <= 1; x *= 1.37)
      expect(Math.abs(ln(x) - Math.log(x))).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(Math.log(x))));
    expect(ln(1)).toBe(0);
  });

  it('go through the norm: times its weight, or 1 more than that', () => {
    const probes = gaussianProbes(2, 2, 1);
    const norm = Float64Array.of(3, -1);
    expect([...throughNorm(probes, norm, false).data]).toEqual([...probes.data].map((x, i) => x * norm[i % 2]!));
    expect([...throughNorm(probes, norm, true).data]).toEqual([...probes.data].map((x, i) => x * (norm[i % 2]! + 1)));
    expect(throughNorm(probes, null, true)).toBe(probes);
    expect(normsAddOne({ model_type: 'qwen3_5_moe', text_config: { model_type: 'qwen3_5_moe_text' } })).toBe(true);
    expect(normsAddOne({ model_type: 'qwen3_moe' })).toBe(false);
    expect(normsAddOne(null)).toBe(false);
  });

  it('are as many as the work allows', () => {
    expect(probeCount(1)).toBe(512);
    expect(probeCount(60 * 10 * 256 * 7168)).toBe(18);
    expect(probeCount(1e12)).toBe(16);
    expect(probeCount(100e6)).toBe(200);
    // Of real tokens more: the demo's two layers of ten members take any text, a large model some minutes.
    expect(tokenCount(2 * 10 * 8 * 64, 64)).toBe(262144);
    expect(tokenCount(1e6, 4096)).toBe(4096);
    expect(tokenCount(60 * 10 * 256 * 7168, 7168)).toBe(512);
  });
});
