import { describe, expect, it } from 'vitest';
import { randomOf } from '../../../src/base/numbers/random.ts';
import { speakTo } from '../../../src/base/option-words.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';
import type { ScheduleMember, WeightRequest } from '../../../src/recipe/schedule/types.ts';
import { spaceOut } from '../../../src/recipe/select/spacing.ts';
import { pairwise, pairwiseChain } from '../../../src/search/space/pairwise.ts';
import type { SpaceRequest } from '../../../src/search/space/request.ts';
import { scheduleSpace } from '../../../src/search/space/schedule.ts';
import type { ScheduleRequest, Settings } from '../../../src/search/space/schedule-parameters.ts';
import { scheduleWeights } from '../../../src/search/space/schedule-weights.ts';
import { spaceOf } from '../../../src/search/space/spaces.ts';
import type { Params, Space } from '../../../src/search/space/types.ts';
import { ilr, ilrInverse, weightsSpace } from '../../../src/search/space/weights.ts';
import { mergeError } from '../../support/safetensors.ts';

const pool = (count: number): ScheduleMember[] =>
  Array.from({ length: count }, (_, i) => ({ path: `/run/step${(i + 1) * 100}`, step: (i + 1) * 100, tokens: null }));

const candidateAt = (space: Space, point: readonly number[]) => space.candidate(space.decode(point));
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Points everywhere in a cube, its corners among them. */
function points(space: Space, count: number): number[][] {
  const random = randomOf(7);
  const inside = Array.from({ length: count }, () => space.axes.map(() => random()));
  return [space.axes.map(() => 0), space.axes.map(() => 1), space.axes.map(() => 0.5), ...inside];
}

const rich: ScheduleRequest = {
  parameters: {
    window: { from: 2, to: 10 },
    spacing: [2, 1],
    skip: { from: 0, to: 3 },
    method: ['sma', 'wma', 'ema', 'ema-normalized', 'wsm', 'extrapolate'],
    alpha: { from: 0.05, to: 0.5, log: true },
    decay: ['linear', 'cosine', '1-sqrt'],
    'decay-floor': [0, 0.1, 0.5],
    gamma: { from: -0.5, to: 1 },
  },
  fixed: { lag: 2 },
  roles: { routers: { window: { from: 1, to: 5 }, method: 'ema', 'half-life': { from: 0.5, to: 8, log: true } } },
};

describe('pairwise', () => {
  const members = pool(2);

  it('gives the newer lambda, its bounds exactly', async () => {
    const space = pairwise(members);
    expect(space.initial).toEqual([[0], [1], [0.5]]);
    const tried = space.initial.map((point) => space.decode(point));
    expect(tried).toEqual([{ lambda: 0.5 }, { lambda: 1 }, { lambda: 0.75 }]);
    expect(await Promise.all(tried.map((params) => space.candidate(params)))).toEqual([
      { weights: [0.5, 0.5], parts: [] },
      { weights: [0, 1], parts: [] },
      { weights: [0.25, 0.75], parts: [] },
    ]);
    const sma = await resolveWeights(members, { method: 'sma' });
    expect((await space.candidate({ lambda: 0.5 })).weights).toEqual([...sma.weights]);
    expect(Object.is((await space.candidate({ lambda: 1 })).weights[0], 0)).toBe(true);
  });

  it('begins at alpha, and what is below it lies outside', () => {
    const space = pairwise(members, { alpha: 0.7 });
    expect(space.decode([0])).toEqual({ lambda: 0.7 });
    expect(space.encode({ lambda: 0.69 })).toBeNull();
    expect(space.encode({ lambda: 1.01 })).toBeNull();
    expect(space.encode({ lambda: 0.7 })).toEqual([0]);
    expect(space.encode({ lambda: 1 })).toEqual([1]);
    expect(space.encode({ lambda: 0.85 })![0]).toBeCloseTo(0.5, 12);
  });

  it('finds the baselines of a pair, and only those within bounds', async () => {
    const space = pairwise(members);
    expect(await space.locate({ weights: [0.5, 0.5], parts: [] })).toEqual({ lambda: 0.5 });
    expect(await space.locate({ weights: [0, 1], parts: [] })).toEqual({ lambda: 1 });
    expect(await space.locate({ weights: [1, 0], parts: [] })).toBeNull();
    expect(await space.locate({ weights: [0.2, 0.9], parts: [] })).toBeNull();
    expect(await space.locate({ weights: [0, 1], parts: [{ role: 'routers', weights: [1, 0] }] })).toBeNull();
    expect(await pairwise(members, { alpha: 0.6 }).locate({ weights: [0.5, 0.5], parts: [] })).toBeNull();
  });

  it('gives roles a lambda of their own', async () => {
    const space = pairwise(members, { separate: ['routers'] });
    expect({ name: space.name, parameters: space.parameters }).toEqual({
      name: 'pairwise',
      parameters: [
        { name: 'lambda', kind: 'real', low: 0.5, high: 1 },
        { name: 'routers.lambda', kind: 'real', low: 0.5, high: 1 },
      ],
    });
    expect(await space.candidate({ lambda: 0.75, 'routers.lambda': 1 })).toEqual({
      weights: [0.25, 0.75],
      parts: [{ role: 'routers', weights: [0, 1] }],
    });
    expect(space.initial).toEqual([
      [0, 0],
      [1, 1],
      [0.5, 0.5],
    ]);
    expect(await space.locate({ weights: [0, 1], parts: [] })).toEqual({ lambda: 1, 'routers.lambda': 1 });
    const apart = { weights: [0.5, 0.5], parts: [{ role: 'routers', weights: [0, 1] }] };
    expect(await space.locate(apart)).toEqual({ lambda: 0.5, 'routers.lambda': 1 });
  });

  it.each([
    [3, {}, 'between two checkpoints, and there are 3'],
    [1, {}, 'between two checkpoints, and there is 1'],
    [2, { alpha: 1 }, 'nothing to search'],
    [2, { alpha: 1.2 }, 'at least 0 and below 1, not 1.2'],
    [2, { alpha: -0.1 }, 'not -0.1'],
    [2, { alpha: Number.NaN }, 'not NaN'],
    [2, { separate: ['routr'] }, 'did you mean `router`'],
    [2, { separate: ['norms', 'norms'] }, 'is there twice'],
    [2, { separate: ['routers', 'router'] }, 'is part of routers'],
  ])('refuses %i members with %j', (count, options, message) => {
    expect(() => pairwise(pool(count), options)).toThrow(
      expect.objectContaining({ code: 'E_SPACE', message: expect.stringContaining(message) }),
    );
  });

  it('chains every pair of neighbours, each by itself', async () => {
    const members = pool(4);
    const chain = pairwiseChain(members, { alpha: 0.6 });
    expect(chain.map((space) => space.members.map(({ step }) => step))).toEqual([
      [100, 200],
      [200, 300],
      [300, 400],
    ]);
    expect(chain.every((space) => space.name === 'pairwise-chain' && space.parameters.length === 1)).toBe(true);
    expect((await chain[1]!.candidate({ lambda: 0.6 })).weights).toEqual([0.4, 0.6]);
    expect(() => pairwiseChain(pool(1))).toThrow(/at least two checkpoints/);
  });
});

describe('log-ratios', () => {
  it('are those of the formula', () => {
    expect(ilr([0.8, 0.2])[0]).toBeCloseTo(Math.SQRT1_2 * Math.log(4), 14);
    // By numpy, from the formula.
    const known = [0.20342194425645413, 0.44850658873134774, 0.9174251172252536];
    for (const [i, z] of ilr([0.4, 0.3, 0.2, 0.1]).entries()) expect(z).toBeCloseTo(known[i]!, 12);
  });

  it('keep the distances of logarithms, and come back', () => {
    const random = randomOf(3);
    for (let n = 2; n <= 8; n++) {
      const draw = () => {
        const shares = Array.from({ length: n }, () => Math.exp(6 * random() - 3));
        return shares.map((share) => share / sum(shares));
      };
      const [a, b] = [draw(), draw()];
      const centred = (w: number[]) => w.map((x) => Math.log(x) - sum(w.map(Math.log)) / n);
      const aitchison = Math.hypot(...centred(a).map((x, i) => x - centred(b)[i]!));
      expect(Math.hypot(...ilr(a).map((z, i) => z - ilr(b)[i]!))).toBeCloseTo(aitchison, 12);
      for (const [i, w] of ilrInverse(ilr(a)).entries()) expect(w).toBeCloseTo(a[i]!, 13);
    }
  });

  it('do not overflow', () => {
    expect(ilrInverse([2000, -2000]).every(Number.isFinite)).toBe(true);
    expect(sum(ilrInverse([-2000, 2000]))).toBeCloseTo(1, 12);
  });
});

describe('weights', () => {
  it.each([2, 3, 5, 6, 7, 8])('of %i members have the mean of all in the centre, to the last bit', async (n) => {
    const space = weightsSpace(pool(n));
    expect(space.parameters.map(({ name }) => name)).toEqual(Array.from({ length: n - 1 }, (_, i) => `ilr-${i + 1}`));
    const { weights } = await candidateAt(space, space.initial[0]!);
    expect(weights).toEqual(new Array(n).fill(1 / n));
    expect(space.initial[0]).toEqual(new Array(n - 1).fill(0.5));
    for (const point of points(space, 50)) {
      const { weights } = await candidateAt(space, point);
      expect(weights).toHaveLength(n);
      expect(Math.abs(sum(weights) - 1)).toBeLessThan(1e-12);
      expect(weights.every((weight) => weight > 0)).toBe(true);
      const back = space.encode(space.decode(point))!;
      for (const [k, coordinate] of back.entries()) expect(coordinate).toBeCloseTo(point[k]!, 12);
    }
  });

  it('have coordinates by a normal distribution cut off at three standard deviations', () => {
    const space = weightsSpace(pool(2));
    // Python's statistics.NormalDist: 1.2 * inv_cdf(a + u * (1 - 2 * a)) with a = cdf(-3).
    for (const [u, z] of [
      [0.75, 0.8068407540756707],
      [0.9, 1.530506668161094],
      [0.01, -2.735229452524669],
    ] as const) {
      expect(space.decode([u])['ilr-1']).toBeCloseTo(z, 10);
      expect(space.decode([1 - u])['ilr-1']).toBeCloseTo(-z, 10);
    }
    expect(space.decode([1])).toEqual({ 'ilr-1': space.parameters[0]!.high });
    expect(space.decode([0])).toEqual({ 'ilr-1': space.parameters[0]!.low });
    expect(space.encode({ 'ilr-1': 3.7 })).toBeNull();
  });

  it('reach the newest two alone, but for a hundredth', async () => {
    for (const n of [2, 4, 8]) {
      const space = weightsSpace(pool(n));
      const ones = (first: number) => space.axes.map((_, k) => (k === 0 ? first : 1));
      expect((await candidateAt(space, ones(1))).weights.at(-1)).toBeGreaterThan(0.99);
      expect((await candidateAt(space, ones(0))).weights.at(-2)).toBeGreaterThan(0.99);
    }
    const space = weightsSpace(pool(8));
    const oldest = space.axes.map((_, k) => (k === 6 ? 0 : 0.5));
    expect((await candidateAt(space, oldest)).weights[0]).toBeCloseTo(0.87, 2);
  });

  it('begin with schedules that a person would try', async () => {
    const space = weightsSpace(pool(4));
    const tried = await Promise.all(space.initial.map((point) => candidateAt(space, point)));
    expect(tried).toHaveLength(3);
    for (const [i, weight] of [0.1, 0.2, 0.3, 0.4].entries()) expect(tried[1]!.weights[i]).toBeCloseTo(weight, 12);
    for (const [i, weight] of [1, 2, 4, 8].entries()) expect(tried[2]!.weights[i]).toBeCloseTo(weight / 15, 12);
  });

  it('find a baseline, unless a member takes no part in it', async () => {
    const space = weightsSpace(pool(3), { separate: ['norms'] });
    const params = await space.locate({ weights: [1 / 3, 1 / 3, 1 / 3], parts: [] });
    const found = await space.candidate(params!);
    for (const weight of [...found.weights, ...found.parts[0]!.weights]) expect(weight).toBeCloseTo(1 / 3, 14);
    expect(await space.locate({ weights: [0, 0.5, 0.5], parts: [] })).toBeNull();
    expect(await space.locate({ weights: [1e-9, 0.5, 0.5], parts: [] })).toBeNull();
  });

  it('are of two to eight members', () => {
    expect(() => weightsSpace(pool(9))).toThrow(
      expect.objectContaining({ code: 'E_SPACE', message: expect.stringContaining('space: schedule') }),
    );
    expect(() => weightsSpace(pool(1))).toThrow(/at least two/);
  });
});

describe('weights of a schedule over a pool', () => {
  const ten = pool(10);
  const asGiven: readonly (readonly [Settings, readonly number[], WeightRequest])[] = [
    [{}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { method: 'sma' }],
    [{ window: 4 }, [6, 7, 8, 9], { method: 'sma' }],
    [{ window: 3, spacing: 3, skip: 1, method: 'wma' }, [2, 5, 8], { method: 'wma' }],
    [{ window: 6, method: 'ema', alpha: 0.3, decay: 'cosine', gamma: 2 }, [4, 5, 6, 7, 8, 9], { method: 'ema', alpha: 0.3 }],
    [{ window: 6, method: 'ema' }, [4, 5, 6, 7, 8, 9], { method: 'ema' }],
    [{ window: 5, method: 'ema', 'half-life': 3 }, [5, 6, 7, 8, 9], { method: 'ema', halfLife: '3ckpt' }],
    [{ window: 3, method: 'ema', 'half-life-fraction': 0.1 }, [7, 8, 9], { method: 'ema', halfLifeFraction: 0.1 }],
    [
      { window: 3, method: 'ema', 'half-life-fraction': 0.1, origin: '50steps' },
      [7, 8, 9],
      { method: 'ema', halfLifeFraction: 0.1, origin: '50steps' },
    ],
    [{ window: 3, method: 'sma', 'half-life-fraction': 0.1, origin: 50 }, [7, 8, 9], { method: 'sma' }],
    [{ window: 5, method: 'ema-normalized', alpha: 0.1 }, [5, 6, 7, 8, 9], { method: 'ema-normalized', alpha: 0.1 }],
    [
      { window: 5, spacing: 2, method: 'wsm', decay: '1-sqrt', 'decay-floor': 0.1 },
      [1, 3, 5, 7, 9],
      { method: 'wsm', decay: '1-sqrt', decayFloor: 0.1 },
    ],
    [{ window: 2, lag: 3, method: 'extrapolate', gamma: 0.5 }, [5, 6, 7, 8, 9], { method: 'extrapolate', gamma: 0.5, window: 2, lag: 3 }],
    [
      { window: 9, lag: 3, method: 'extrapolate', gamma: 1 },
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      { method: 'extrapolate', gamma: 1, window: 7, lag: 3 },
    ],
    [{ window: 8, spacing: 4 }, [1, 5, 9], { method: 'sma' }],
    [{ window: 1, method: 'wsm' }, [9], { method: 'sma' }],
  ];

  it.each(asGiven)('%j are those of merge average for the members %j, to the last bit', async (settings, indices, request) => {
    const { weights } = await resolveWeights(
      indices.map((i) => ten[i]!),
      request,
    );
    const expected = ten.map((_, i) => weights[indices.indexOf(i)] ?? 0);
    expect(await scheduleWeights(ten, settings, {})).toEqual(expected);
  });

  it('take the members that --every and --last take', async () => {
    for (const spacing of [1, 2, 3, 4, 9]) {
      for (const window of [1, 2, 3, 5]) {
        const positions = ten.map((_, i) => i);
        const taken = spaceOut(positions, spacing).taken.slice(0, window);
        const row = await scheduleWeights(ten, { window, spacing }, {});
        expect(row.flatMap((weight, i) => (weight === 0 ? [] : [i]))).toEqual(taken.toReversed());
      }
    }
  });
});

describe('a schedule', () => {
  const ten = pool(10);

  it('takes the origin of a share of the training, and leaves it out where a role has another share', async () => {
    const space = await scheduleSpace(ten, {
      parameters: { method: ['ema', 'sma'] },
      fixed: { 'half-life-fraction': 0.2, origin: '50steps' },
      roles: { routers: { alpha: 0.3 } },
    });
    const place = space.encode({ method: 'ema' })!;
    const { weights, parts } = await space.candidate(space.decode(place));
    const by = async (request: WeightRequest) => [...(await resolveWeights(ten, request)).weights];
    expect(weights).toEqual(await by({ method: 'ema', halfLifeFraction: 0.2, origin: '50steps' }));
    expect(weights).not.toEqual(await by({ method: 'ema', halfLifeFraction: 0.2 }));
    expect(parts).toEqual([{ role: 'routers', weights: await by({ method: 'ema', alpha: 0.3 }) }]);
    expect((await space.candidate(space.decode(space.encode({ method: 'sma' })!))).weights).toEqual(await by({ method: 'sma' }));
  });

  it('has a parameter an axis, roles after the rest', async () => {
    const space = await scheduleSpace(ten, rich);
    expect(space.parameters.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      'window integer',
      'spacing choice',
      'skip integer',
      'method choice',
      'alpha real',
      'decay choice',
      'decay-floor choice',
      'gamma real',
      'routers.window integer',
      'routers.half-life real',
    ]);
    expect(space.axes.map((axis) => (axis.kind === 'real' ? 'real' : `${axis.kind} ${axis.count}`))).toEqual([
      'levels 9',
      'levels 2',
      'levels 4',
      'choice 6',
      'real',
      'choice 3',
      'levels 3',
      'real',
      'levels 5',
      'real',
    ]);
    expect(space.parameters[1]).toEqual({ name: 'spacing', kind: 'choice', values: [1, 2] });
  });

  it('has points whose parameters come back, whole numbers and words exactly', async () => {
    const space = await scheduleSpace(ten, rich);
    for (const point of points(space, 300)) {
      const params = space.decode(point);
      const back = space.encode(params)!;
      const again = space.decode(back);
      for (const [k, { name, kind }] of space.parameters.entries()) {
        if (kind === 'real') {
          expect(again[name]).toBeCloseTo(Number(params[name]), 12);
          expect(back[k]).toBeCloseTo(point[k]!, 12);
        } else {
          expect(again[name]).toBe(params[name]);
          expect(Math.abs(back[k]! - point[k]!)).toBeLessThanOrEqual(0.5 / ((space.axes[k] as { count: number }).count - 1) + 1e-12);
        }
      }
      const { weights, parts } = await space.candidate(params);
      expect(sum(weights)).toBeCloseTo(1, 12);
      expect(parts.map(({ role }) => role)).toEqual(['routers']);
      expect(sum(parts[0]!.weights)).toBeCloseTo(1, 12);
    }
  });

  it('spreads a logarithmic range evenly over its factors, and meets its bounds', async () => {
    const space = await scheduleSpace(ten, { parameters: { alpha: { from: 0.01, to: 1, log: true } }, fixed: { method: 'ema' } });
    expect([0, 0.5, 1].map((u) => space.decode([u]).alpha)).toEqual([0.01, expect.closeTo(0.1, 12), 1]);
    expect(space.encode({ alpha: 0.01 })).toEqual([0]);
    expect(space.encode({ alpha: 1 })).toEqual([1]);
    expect(space.encode({ alpha: 0.0099 })).toBeNull();
  });

  it('passes what is not said of a role on from the rest', async () => {
    const space = await scheduleSpace(ten, {
      parameters: { window: { from: 2, to: 10 }, alpha: { from: 0.1, to: 0.5 } },
      fixed: { method: 'ema' },
      roles: { routers: { window: 3 }, norms: { method: 'sma' }, embeddings: { 'half-life': 2 } },
    });
    const { weights, parts } = await space.candidate({ window: 4, alpha: 0.3 });
    const rows = await Promise.all(
      [
        { window: 4, method: 'ema', alpha: 0.3 },
        { window: 3, method: 'ema', alpha: 0.3 },
        { window: 4, method: 'sma' },
        { window: 4, method: 'ema', 'half-life': 2 },
      ].map((settings) => scheduleWeights(ten, settings as Settings, {})),
    );
    expect([weights, ...parts.map((part) => part.weights)]).toEqual(rows);
  });

  it('begins with the middle, the mean of all and each method, at most four points', async () => {
    const space = await scheduleSpace(ten, {
      parameters: { window: { from: 2, to: 10 }, spacing: [1, 2], method: ['sma', 'wma', 'ema'] },
    });
    expect(space.initial.map((point) => space.decode(point))).toEqual([
      { window: 6, spacing: 1, method: 'wma' },
      { window: 10, spacing: 1, method: 'sma' },
      { window: 6, spacing: 1, method: 'sma' },
      { window: 6, spacing: 1, method: 'ema' },
    ]);
    // Levels stand where they are rounded to.
    for (const point of space.initial) expect(space.encode(space.decode(point))).toEqual(point);
  });

  it('finds means of the newest members, and nothing that it cannot make', async () => {
    const space = await scheduleSpace(ten, rich);
    const row = (from: number, to: number) => ten.map((_, i) => (i >= from && i <= to ? 1 / (to - from + 1) : 0));
    const located = async (weights: number[], of: Space = space) => of.locate({ weights, parts: [] });
    const plain = await scheduleSpace(ten, { parameters: { window: { from: 1, to: 10 }, method: ['sma', 'wma'] } });
    for (const [from, to] of [
      [9, 9],
      [0, 9],
      [4, 9],
    ] as const) {
      const params = await located(row(from, to), plain);
      expect((await plain.candidate(params!)).weights).toEqual(row(from, to));
    }
    expect(await located(row(3, 7), plain)).toBeNull();
    expect(
      await located(
        ten.map((_, i) => (i > 7 ? i - 7 : 0) / 3),
        plain,
      ),
    ).toBeNull();
    expect(
      await located(
        ten.map(() => 0),
        plain,
      ),
    ).toBeNull();
    // Routers are averaged by ema there, so that no mean of all tensors is in the space.
    expect(await located(row(4, 9))).toBeNull();
    const skipping = await scheduleSpace(ten, { parameters: { window: { from: 1, to: 5 }, skip: { from: 0, to: 5 } } });
    expect(await located(row(3, 7), skipping)).toEqual({ window: 5, skip: 2 });
    expect(await located(row(2, 7), skipping)).toBeNull();
    const exponential = await scheduleSpace(ten, {
      parameters: { window: { from: 1, to: 5 }, alpha: { from: 0.1, to: 0.9 }, method: ['ema', 'ema-normalized'] },
    });
    expect(await located(row(9, 9), exponential)).toMatchObject({ window: 1 });
    expect(await located(row(8, 9), exponential)).toBeNull();
  });

  it('searches window and shape where nothing is said', async () => {
    const space = await scheduleSpace(ten);
    expect(space.parameters.map(({ name }) => name)).toEqual(['window', 'method', 'alpha']);
    const wsm = await space.candidate({ window: 5, method: 'wsm', alpha: 0.1 });
    const { weights } = await resolveWeights(ten.slice(5), { method: 'wsm', decay: '1-sqrt' });
    expect(wsm.weights.slice(5)).toEqual([...weights]);
    expect((await scheduleSpace(pool(2))).parameters.map(({ name }) => name)).toEqual(['method', 'alpha']);
  });

  it('says at once what these members do not allow', async () => {
    const same = [...pool(3), pool(3)[2]!];
    await expect(scheduleSpace(same, { parameters: { method: ['sma', 'ema'] } })).rejects.toMatchObject({ code: 'E_ORDER' });
    await expect(scheduleSpace(same, { parameters: { window: { from: 1, to: 3 } } })).resolves.toMatchObject({ name: 'schedule' });
    await expect(scheduleSpace(ten, { parameters: { method: ['sma', 'wma'] } }, { siblings: true })).rejects.toMatchObject({
      code: 'E_ORDER',
    });
  });
});

describe('parameters from outside', () => {
  const space = () => scheduleSpace(pool(10), { parameters: { window: { from: 2, to: 10 }, method: ['sma', 'wma'], spacing: [1, 2] } });
  const good: Params = { window: 3, method: 'sma', spacing: 2 };

  it('are refused by name, all at once', async () => {
    const wrong = { window: 2.5, methd: 'sma', spacing: '2' } as Params;
    const of = await space();
    expect(() => of.encode(wrong)).toThrow(
      expect.objectContaining({
        code: 'E_PARAMS',
        message:
          'parameters that do not fit the space: "methd" unknown; method missing; window must be a whole number, not 2.5; spacing must be one of 1, 2, not "2"',
        help: expect.stringContaining('window, spacing, method'),
      }),
    );
    for (const junk of [
      { ...good, window: Number.NaN },
      { ...good, window: null as never },
      JSON.parse('{"__proto__": 1}') as Params,
      {},
    ]) {
      expect(() => of.encode(junk)).toThrow(expect.objectContaining({ code: 'E_PARAMS' }));
    }
  });

  it('lie outside where they are of the right kind', async () => {
    const of = await space();
    expect(of.encode(good)).toEqual([1 / 8, 1, 0]);
    expect(of.encode({ ...good, window: 11 })).toBeNull();
    expect(of.encode({ ...good, window: 1 })).toBeNull();
    expect(of.encode({ ...good, method: 'ema' })).toBeNull();
    expect(of.encode({ ...good, spacing: 3 })).toBeNull();
  });
});

describe('what is wrong with a space that options ask for', () => {
  it.each([
    [
      'library',
      'take two (`last` 2), every pair (`pairwiseChain`), or space: schedule',
      'separate has no meaning for schedule',
      'space: FILE',
    ],
    [
      'command line',
      'take two (--last 2), every pair (--pairwise-chain), or --space schedule',
      '--separate has no meaning for schedule',
      '--space FILE',
    ],
  ] as const)('is said as its reader writes options: %s', async (reader, pair, separate, file) => {
    const members = Array.from({ length: 9 }, (_, i) => ({ path: `c${i}`, step: i, tokens: null }));
    speakTo(reader);
    try {
      const refused = async (request: SpaceRequest) => (await mergeError(() => spaceOf(request, members))).message;
      expect(await refused({ space: 'pairwise' })).toContain(pair);
      expect(await refused({ space: 'weights' })).toContain(`or search ${reader === 'library' ? 'space: schedule' : '--space schedule'}`);
      const message = await refused({ space: 'schedule', separate: ['routers'] });
      expect(message).toContain(separate);
      expect(message).toContain(`\`roles\` in the file of such a space (${file})`);
    } finally {
      speakTo('library');
    }
  });
});
