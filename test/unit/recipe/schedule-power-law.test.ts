import { describe, expect, it, test } from 'vitest';
import { logOfRatio } from '../../../src/base/numbers/elementary.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';
import type { ScheduleMember, WeightRequest } from '../../../src/recipe/schedule/types.ts';
import { membersAt } from '../../support/schedule-members.ts';

const resolve = (members: readonly ScheduleMember[], request: WeightRequest) => resolveWeights(members, { method: 'ema', ...request });
async function weightsOf(steps: readonly number[], request: WeightRequest): Promise<number[]> {
  return [...(await resolve(membersAt(steps), request)).weights];
}
/** The closed form, by another way than the code's recursion. */
function closed(T: readonly number[], fraction: number): number[] {
  const cumulative = T.map((t) => (t / T.at(-1)!) ** (Math.LN2 / fraction));
  return cumulative.map((share, i) => share - (cumulative[i - 1] ?? 0));
}
const near = (actual: readonly number[], expected: readonly number[], within: number) => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, w] of actual.entries()) expect(Math.abs(w - expected[i]!), `weight ${i} is ${w}`).toBeLessThanOrEqual(within);
};

describe('a half-life that is a share of the training', () => {
  it.each([0.05, 0.02, 0.5, 1])('is the average in training at every update, of 100,000 with f = %d', async (fraction) => {
    // β_t = 2^(−1/(f·t)): what the trainer multiplies the old average by after update t. The weight of what
    // came up to a save is what all later updates left of it.
    const [last, saves] = [100_000, [40_000, 55_000, 61_000, 80_000, 92_000, 99_000, 100_000]];
    const left = new Float64Array(last + 1).fill(1);
    for (let t = last; t > 0; t--) left[t - 1] = left[t]! * 2 ** (-1 / (fraction * t));
    const dense = saves.map((save, i) => left[save]! - (i === 0 ? 0 : left[saves[i - 1]!]!));
    near(await weightsOf(saves, { halfLifeFraction: fraction }), dense, 2e-5);
  });

  it('is (T_i/T_N)^κ − (T_(i−1)/T_N)^κ with κ = ln 2 / f, whatever the spacing, and sums to 1', async () => {
    for (const T of [
      [1000, 2000, 4000],
      [7, 900, 901, 30_000, 30_001],
      [5000],
      Array.from({ length: 200 }, (_, i) => 600_000 + 37 * i * i),
    ]) {
      for (const fraction of [0.003, 0.05, 1]) {
        const weights = await weightsOf(T, { halfLifeFraction: fraction });
        near(weights, closed(T, fraction), 1e-12);
        expect(Math.abs(weights.reduce((sum, w) => sum + w, 0) - 1)).toBeLessThan(1e-12);
        expect(Math.min(...weights)).toBeGreaterThanOrEqual(0);
      }
    }
  });

  it('stands for the decay 1 − (s/T)^κ of wsm: what lies before each update weighs what that leaves', async () => {
    const T = [2000, 2500, 3100, 3500, 4000];
    const weights = await weightsOf(T, { halfLifeFraction: 0.1 });
    // WSM: w_i = Σ_(j ≥ i) c_j is the factor of the updates between the members i − 1 and i.
    const factors = T.slice(1).map((_, i) => weights.slice(i + 1).reduce((sum, c) => sum + c, 0));
    near(
      factors,
      T.slice(0, -1).map((t) => 1 - (t / 4000) ** (Math.LN2 / 0.1)),
      1e-15,
    );
  });

  it('has half of its weight in the last 1 − e^(−f) of the training', async () => {
    const T = Array.from({ length: 10_000 }, (_, i) => i + 1);
    const weights = await weightsOf(T, { halfLifeFraction: 0.05 });
    const recent = weights.slice(Math.round(10_000 * Math.exp(-0.05))).reduce((sum, w) => sum + w, 0);
    expect(recent).toBeCloseTo(0.5, 3);
  });

  it('goes by tokens or steps from the origin; the unit changes nothing where they go together', async () => {
    const T = [1000, 1500, 2000];
    const tokens = membersAt(
      [1, 2, 3],
      T.map((t) => t * 1e9),
    );
    near([...(await resolve(tokens, { halfLifeFraction: 0.2 })).weights], closed(T, 0.2), 1e-14);
    const later = await resolve(tokens, { halfLifeFraction: 0.2, origin: '500B' });
    near([...later.weights], closed([500, 1000, 1500], 0.2), 1e-14);
    expect(later.parameters).toEqual({ 'half-life-fraction': 0.2, origin: '500B' });
    near(await weightsOf(T, { halfLifeFraction: 0.2, origin: 500 }), closed([500, 1000, 1500], 0.2), 1e-14);
    expect(await weightsOf(T, { halfLifeFraction: 0.2, origin: 0 })).toEqual(await weightsOf(T, { halfLifeFraction: 0.2 }));
  });

  it('says what the oldest keeps, and warns above a tenth', async () => {
    const fine = await resolve(membersAt([8000, 9000, 10_000]), { halfLifeFraction: 0.05 });
    // 0.8^13.863 = 0.0453
    expect(fine.notes).toEqual([expect.stringContaining('step 8000) stands for all of the training up to it')]);
    expect(fine.notes[0]).toContain('= 4.53 %');
    expect(fine.warnings).toEqual([]);
    const short = await resolve(membersAt([9000, 10_000]), { halfLifeFraction: 0.05 });
    expect(short.warnings).toMatchObject([{ code: 'W_WINDOW_SHORT', message: expect.stringContaining('= 23.2 %') }]);
    expect(short.notes).toEqual([]);
    expect((await resolve(membersAt([9000]), { halfLifeFraction: 0.05 })).warnings).toEqual([]);
  });
});

describe('is refused', () => {
  it.each<[string, ScheduleMember[], WeightRequest, string, string]>([
    ['an unknown step', membersAt([1000, null, 3000]), {}, 'E_NO_POSITION', '1 of 3 have none'],
    ['tokens of some, and no steps', membersAt([null, null], [1e9, null]), {}, 'E_NO_POSITION', 'needs the steps of every member'],
    ['an origin in tokens, of members with steps', membersAt([1000, 2000]), { origin: '1B' }, 'E_NO_POSITION', 'needs the tokens'],
    ['a member at the origin', membersAt([0, 1000]), {}, 'E_OPTION', 'step 0 does not lie after 0steps'],
    ['a member before the origin', membersAt([1000, 2000]), { origin: 1500 }, 'E_OPTION', 'step 1000 does not lie after 1500steps'],
    ['steps that fall', membersAt([2000, 1000]), {}, 'E_ORDER', 'rise'],
  ])('%s', async (_, members, request, code, message) => {
    await expect(resolve(members, { halfLifeFraction: 0.05, ...request })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it.each<[string, WeightRequest, string]>([
    ['beside alpha', { alpha: 0.2, halfLifeFraction: 0.05 }, 'alpha and halfLifeFraction cannot be used together'],
    ['beside a half-life', { halfLife: '2B', halfLifeFraction: 0.05 }, 'halfLife and halfLifeFraction cannot be used together'],
    ['over 1', { halfLifeFraction: 5 }, 'halfLifeFraction must be a number over 0 and at most 1, not 5'],
    ['0', { halfLifeFraction: 0 }, 'halfLifeFraction must be a number over 0'],
    ['with another method', { method: 'wma', halfLifeFraction: 0.05 }, 'halfLifeFraction has no meaning for method wma'],
    ['an origin alone', { origin: '1T' }, 'origin has no meaning without halfLifeFraction'],
    ['an origin in checkpoints', { halfLifeFraction: 0.05, origin: '3ckpt' }, 'origin must be a step or a token count'],
  ])('%s', async (_, request, message) => {
    const refused = resolve(membersAt([1000, 2000]), request);
    await expect(refused).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(message) });
  });
});

test('ln of a ratio is within 2 ulp of the logarithm, and exact where both are the same', () => {
  expect(logOfRatio(3, 3)).toBe(0);
  for (const [from, to] of [
    [1, 2],
    [1, 1.5],
    [1, 3],
    [999_999, 1_000_000],
    [1, 1e15],
    [7, 1e6],
    [2 ** 40, 2 ** 40 + 1],
  ] as const) {
    const expected = to / from < 1.1 ? Math.log1p((to - from) / from) : Math.log(to / from);
    expect(Math.abs(logOfRatio(from, to) - expected)).toBeLessThanOrEqual(4.5e-16 * Math.max(expected, Number.MIN_VALUE));
  }
});
