import { describe, expect, test } from 'vitest';
import type { Axis, Point } from '../../../src/search/gaussian-process/cube.ts';
import { fitProcess } from '../../../src/search/gaussian-process/fit.ts';
import { avoiding, gpSampler, HEDGED, hedgeProbabilities } from '../../../src/search/sampler/gp-sampler.ts';
import type { History, Observed } from '../../../src/search/sampler/types.ts';

const LINE: readonly Axis[] = [{ kind: 'real' }];
const PLANE: readonly Axis[] = [{ kind: 'real' }, { kind: 'real' }];
const INITIAL: readonly Point[] = [[0], [1], [0.5]];

const trial = (id: number, point: Point, value: number | null, more: Partial<Observed> = {}): Observed => ({
  ...{ id, point, value, variance: null, by: null, proposals: null },
  ...more,
});
const historyOf = (observed: readonly Observed[], more: Partial<History> = {}): History => ({
  observed,
  pending: [],
  proposed: observed.length,
  isTaken: async (point) =>
    [...observed.map((other) => other.point), ...(more.pending ?? [])].some((other) => String(other) === String(point)),
  ...more,
});
/** Seven trials of a smooth hump at 0.3. */
const hump = (x: number) => Math.exp(-(((x - 0.3) / 0.2) ** 2));
const SEVEN = [0, 1, 0.5, 0.2, 0.8, 0.35, 0.65].map((x, id) => trial(id, [x], hump(x)));

describe('the first trials', () => {
  test('are the initial points, then points in the widest gaps between them', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const proposals = await gpSampler({ axes: LINE, initial: INITIAL, seed }).propose(historyOf([]), 7);
      expect(proposals.map(({ by }) => by)).toEqual(['initial', 'initial', 'initial', 'sobol', 'sobol', 'sobol', 'sobol']);
      expect(proposals.slice(0, 3).map(({ point }) => point)).toEqual(INITIAL);
      const sorted = proposals.map(({ point }) => point[0]!).sort((a, b) => a - b);
      expect(Math.max(...sorted.slice(1).map((x, i) => x - sorted[i]!))).toBeLessThan(0.33);
    }
  });

  test('pass over initial points that baselines stood for', async () => {
    const baselines = [trial(0, [1], 0.5), trial(1, [0], 0.4)];
    const proposals = await gpSampler({ axes: LINE, initial: INITIAL, seed: 0 }).propose(historyOf(baselines, { proposed: 0 }), 5);
    expect(proposals.map(({ point }) => point)[0]).toEqual([0.5]);
    expect(proposals.slice(1).every(({ by }) => by === 'sobol')).toBe(true);
  });

  test('go on where all have failed, or are still to come', async () => {
    const failed = Array.from({ length: 9 }, (_, id) => trial(id, [id / 8], null));
    const [next] = await gpSampler({ axes: LINE, initial: INITIAL, seed: 0 }).propose(historyOf(failed), 1);
    expect(next!.by).toBe('sobol');
    const pending = { pending: Array.from({ length: 9 }, (_, i) => [i / 8]) };
    const [other] = await gpSampler({ axes: LINE, initial: INITIAL, seed: 0 }).propose(historyOf([], pending), 1);
    expect(other!.by).toBe('sobol');
  });

  test('are counted by their points: scoring one again is no exploration', async () => {
    const repeated = [0, 1, 2, 3, 4, 5, 6].map((id) => trial(id, INITIAL[id % 3]!, id % 3));
    const [next] = await gpSampler({ axes: LINE, initial: INITIAL, seed: 0 }).propose(historyOf(repeated), 1);
    expect(next!.by).toBe('sobol');
  });
});

describe('the model', () => {
  test('finds the top of a hump in five trials', async () => {
    for (const acquisition of ['hedge', 'logei', 'ei'] as const) {
      const observed = [...SEVEN];
      while (observed.length < 12) {
        const [next] = await gpSampler({ axes: LINE, initial: INITIAL, seed: 2, acquisition }).propose(historyOf(observed), 1);
        const { point, by, proposals = null } = next!;
        observed.push(trial(observed.length, point, hump(point[0]!), { by, proposals }));
      }
      expect(Math.max(...observed.map(({ value }) => value!))).toBeGreaterThan(0.9999);
    }
  });

  test('names what chose, and keeps what each function of the hedge proposed', async () => {
    const [hedged] = await gpSampler({ axes: LINE, initial: INITIAL, seed: 0 }).propose(historyOf(SEVEN), 1);
    expect(Object.keys(hedged!.proposals!)).toEqual([...HEDGED]);
    expect(HEDGED).toContain(hedged!.by);
    expect(hedged!.point).toEqual(hedged!.proposals![hedged!.by]);
    const single = await gpSampler({ axes: PLANE, initial: [], seed: 0 }).propose(historyOf([trial(0, [0.5, 0.5], 1)]), 1);
    expect(single).toEqual([{ point: expect.any(Array), by: 'logei' }]);
    const asked = await gpSampler({ axes: LINE, initial: [], seed: 0, acquisition: 'pi' }).propose(historyOf(SEVEN), 1);
    expect(asked).toEqual([{ point: expect.any(Array), by: 'pi' }]);
  });

  test('gives way to the next best where the best is taken', async () => {
    const sampler = gpSampler({ axes: LINE, initial: INITIAL, seed: 0, acquisition: 'logei' });
    const [best] = await sampler.propose(historyOf(SEVEN), 1);
    const isTaken = async ([x]: Point) => [0, 0.5, 1].includes(x!) || Math.abs(x! - best!.point[0]!) < 0.01;
    const [second] = await sampler.propose(historyOf(SEVEN, { isTaken }), 1);
    expect(Math.abs(second!.point[0]! - best!.point[0]!)).toBeGreaterThanOrEqual(0.01);
    expect(Math.abs(second!.point[0]! - best!.point[0]!)).toBeLessThan(0.03);
  });

  test('does not propose beside what is still to come, nor several of a batch beside each other', async () => {
    const sampler = gpSampler({ axes: LINE, initial: INITIAL, seed: 0, acquisition: 'logei' });
    const flat = [0, 1, 0.5, 0.25].map((x, id) => trial(id, [x], Math.sin(3 * x) + x));
    const enough = [...flat, trial(4, [0.12], Math.sin(0.36) + 0.12), trial(5, [0.88], 1), trial(6, [0.4], 1.3)];
    const [alone] = await sampler.propose(historyOf(enough), 1);
    const [beside] = await sampler.propose(historyOf(enough, { pending: [alone!.point] }), 1);
    expect(Math.abs(beside!.point[0]! - alone!.point[0]!)).toBeGreaterThan(0.02);
    const batch = await sampler.propose(historyOf(enough), 3);
    expect(batch[0]).toEqual(alone);
    expect(batch[1]!.point).toEqual(beside!.point);
  });

  test('is of ordered units: scores of any scale and offset lead to the same trials', async () => {
    const scaled = SEVEN.map((one) => ({ ...one, value: 1024 * one.value! - 4096 }));
    const sampler = gpSampler({ axes: LINE, initial: INITIAL, seed: 3 });
    const [one, other] = [await sampler.propose(historyOf(SEVEN), 1), await sampler.propose(historyOf(scaled), 1)];
    expect(other[0]!.by).toBe(one[0]!.by);
    expect(other[0]!.point[0]).toBeCloseTo(one[0]!.point[0]!, 2);
  });
});

describe('failed trials', () => {
  test('keep their neighbourhood from being proposed, and nothing else', async () => {
    const sampler = gpSampler({ axes: LINE, initial: INITIAL, seed: 0, acquisition: 'logei' });
    const [best] = await sampler.propose(historyOf(SEVEN), 1);
    const failed = [...SEVEN, trial(7, best!.point, null)];
    const [next] = await sampler.propose(historyOf(failed), 1);
    expect(Math.abs(next!.point[0]! - best!.point[0]!)).toBeGreaterThan(0.05);
  });

  test('weigh on the prediction by a bell of a tenth of the cube, from the worst score to the model', () => {
    const process = fitProcess({ points: SEVEN.map(({ point }) => point), values: SEVEN.map(({ value }) => value!) }, LINE);
    const wary = avoiding(process, [[0.3], [0.9]], -2);
    const at = [[0.3], [0.4], [0.6], [0.9]];
    const [plain, shown] = [process.predict(at), wary.predict(at)];
    expect([shown.mean[0], shown.std[0], shown.mean[3], shown.std[3]]).toEqual([-2, 0, -2, 0]);
    const near = Math.exp(-0.5);
    expect(shown.mean[1]).toBeCloseTo((1 - near) * plain.mean[1]! - 2 * near, 12);
    expect(shown.std[1]).toBeCloseTo((1 - near) * plain.std[1]!, 12);
    expect(shown.mean[2]).toBeCloseTo(plain.mean[2]!, 0);
    expect(avoiding(process, [], -2)).toBe(process);
  });
});

describe('GP-Hedge', () => {
  const process = fitProcess({ points: SEVEN.map(({ point }) => point), values: SEVEN.map(({ value }) => value!) }, LINE);
  const standardised = (x: number) => (process.predict([[x]]).mean[0]! - process.standard.mean) / process.standard.scale;
  const round = (ei: number, pi: number, ucb: number) => trial(9, [0.1], 0, { proposals: { ei: [ei], pi: [pi], ucb: [ucb] } });

  test('begins with equal chances', () => {
    expect(hedgeProbabilities(process, SEVEN)).toEqual([1 / 3, 1 / 3, 1 / 3]);
  });

  test('draws by the means of all that each function proposed, under the present model', () => {
    const gains = [standardised(0.3) + standardised(0.4), standardised(0.9) + standardised(0.6), 2 * standardised(0.5)];
    const weights = gains.map(Math.exp);
    const total = weights.reduce((a, b) => a + b);
    const probabilities = hedgeProbabilities(process, [...SEVEN, round(0.3, 0.9, 0.5), round(0.4, 0.6, 0.5)]);
    for (const [j, p] of probabilities.entries()) expect(p).toBeCloseTo(weights[j]! / total, 12);
    expect(probabilities[0]).toBeGreaterThan(0.9);
  });

  test('does not overflow after many rounds, nor counts proposals of other acquisition functions', () => {
    const many = Array.from({ length: 5000 }, () => round(0.3, 0.9, 0.3));
    expect(hedgeProbabilities(process, many)).toEqual([0.5, 0, 0.5]);
    expect(hedgeProbabilities(process, [trial(9, [0.1], 0, { proposals: { logei: [0.2] } })])).toEqual([1 / 3, 1 / 3, 1 / 3]);
  });

  test('draws each function about as often as its probability says', async () => {
    const history = historyOf([...SEVEN, round(0.3, 0.55, 0.3)]);
    const expected = hedgeProbabilities(
      fitProcess({ points: history.observed.map(({ point }) => point), values: history.observed.map(({ value }) => value!) }, LINE),
      history.observed,
    );
    const drawn = { ei: 0, pi: 0, ucb: 0 };
    for (let seed = 0; seed < 90; seed++) {
      const [next] = await gpSampler({ axes: LINE, initial: INITIAL, seed }).propose(history, 1);
      drawn[next!.by as keyof typeof drawn]++;
    }
    for (const [j, name] of HEDGED.entries()) expect(Math.abs(drawn[name] / 90 - expected[j]!)).toBeLessThan(0.16);
  });
});
