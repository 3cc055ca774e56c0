import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { cosPi } from '../../../src/base/numbers/elementary.ts';
import { splitMix64 } from '../../../src/base/numbers/random.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';
import type { ScheduleContext, ScheduleMember, WeightRequest } from '../../../src/recipe/schedule/types.ts';
import type { PhaseKind } from '../../../src/recipe/select/types.ts';
import { membersAt, membersOf } from '../../support/schedule-members.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'schedule-wsm-'));
});
afterAll(() => rm(folder, { recursive: true }));

const wsm = (members: readonly ScheduleMember[], request: WeightRequest = {}, context?: ScheduleContext) =>
  resolveWeights(members, { method: 'wsm', ...request }, context);
const weightsOf = async (members: readonly ScheduleMember[], request?: WeightRequest) => [...(await wsm(members, request)).weights];
/** w_i of WSM: what the members from i on weigh together. */
const cumulative = (weights: readonly number[]) => weights.map((_, i) => weights.slice(i).reduce((sum, c) => sum + c, 0));
function expectClose(actual: readonly number[], expected: readonly number[], within = 1e-15): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i]!), `weight ${i} is ${value}`).toBeLessThanOrEqual(within);
}

describe('shapes at even spacing', () => {
  it.each([
    ['linear', ['.200', '.200', '.200', '.200', '.200']],
    ['cosine', ['.095', '.250', '.309', '.250', '.095']],
    ['1-sqrt', ['.447', '.185', '.142', '.120', '.106']],
  ] as const)('%s over 5 members is the hand-computed table', async (decay, table) => {
    const weights = await weightsOf(membersOf(5), { decay });
    expect(weights.map((w) => w.toFixed(3).slice(1))).toEqual(table);
  });

  it('a linear decay is the mean', async () => {
    for (let count = 2; count <= 20; count++) expectClose(await weightsOf(membersOf(count)), new Array(count).fill(1 / count));
    expect((await wsm(membersOf(3))).parameters).toEqual({ decay: 'linear', 'decay-floor': 0 });
  });

  it('1-sqrt is Megatron-LM’s minus-sqrt for n = 2 … 32, bit by bit where that subtracts the same numbers', async () => {
    for (let n = 2; n <= 32; n++) {
      const plain = await weightsOf(membersOf(n), { decay: '1-sqrt' });
      expect(await weightsOf(membersOf(n), { decay: 'minus-sqrt' })).toEqual(plain);
      expectClose(
        plain,
        Array.from({ length: n }, (_, i) => Math.sqrt((i + 1) / n) - Math.sqrt(i / n)),
        3e-16,
      );
      // Its own order of operations: s(i/n) − s((i+1)/n) with s(x) = 1 − √x, s((n−1)/n) for the newest; the
      // oldest gets what is left of 1.
      const s = (i: number) => 1 - Math.sqrt(i / n);
      expect(plain.slice(1)).toEqual(Array.from({ length: n - 1 }, (_, i) => (i + 2 === n ? s(n - 1) : s(i + 1) - s(i + 2))));
    }
  });

  it('minus-sqrt is recorded under its other name, so that the records of the same bytes are the same', async () => {
    expect((await wsm(membersOf(4), { decay: 'minus-sqrt' })).parameters).toEqual({ decay: '1-sqrt', 'decay-floor': 0 });
  });

  it('the floor is what the newest update keeps beyond the decay: w = r + (1 − r)·f', async () => {
    // k = 3, r = 0.2, linear: f = 3/4, 1/2, 1/4; w = .8, .6, .4.
    expectClose(await weightsOf(membersOf(4), { decayFloor: 0.2 }), [0.2, 0.2, 0.2, 0.4]);
  });
});

describe('true positions', () => {
  const T = [0, 10, 20, 30, 80];

  it('a hole is carried by the checkpoint before it, and the plan says so', async () => {
    const { weights, notes } = await wsm(membersAt(T));
    expectClose([...weights], [0.1, 0.1, 0.1, 0.5, 0.2]);
    expect(notes).toEqual([expect.stringContaining('step 30 weighs 0.5')]);
    expect(notes[0]).toContain('50 steps later');
  });

  it('tokens come before steps where all members have them', async () => {
    const even = [0, 1, 2, 3, 4];
    expectClose(
      await weightsOf(
        membersAt(
          even,
          T.map((t) => t * 1e9),
        ),
      ),
      [0.1, 0.1, 0.1, 0.5, 0.2],
    );
    expectClose(await weightsOf(membersAt(even, [0, 1e9, null, 3e9, 8e9])), [0.2, 0.2, 0.2, 0.2, 0.2]);
  });

  it('only distances count: shifted or stretched positions give the same weights', async () => {
    const base = await weightsOf(membersAt(T), { decay: 'cosine' });
    expectClose(await weightsOf(membersAt(T.map((t) => 4096 * t + 1_000_000)), { decay: 'cosine' }), base);
  });

  it('even spacing gives u = i/(k + 1) to the last bit, whatever the distance', async () => {
    for (const distance of [1, 7, 1000, 4_194_304_000]) {
      const members = membersAt(Array.from({ length: 10 }, (_, i) => (i + 3) * distance));
      expect(await weightsOf(members, { decay: '1-sqrt' })).toEqual(await weightsOf(membersOf(10), { decay: '1-sqrt' }));
    }
  });

  it('decay-end sets where the decay ends, in steps or tokens', async () => {
    // u = 10/100, 20/100, 30/100, 80/100.
    expectClose(await weightsOf(membersAt(T), { decayEnd: 100 }), [0.1, 0.1, 0.1, 0.5, 0.2]);
    expectClose(await weightsOf(membersAt(T), { decayEnd: 160 }), [0.0625, 0.0625, 0.0625, 0.3125, 0.5]);
    expect(await weightsOf(membersAt(T), { decayEnd: 80 })).toEqual([0.125, 0.125, 0.125, 0.625, 0]);
    const tokens = T.map((t) => t * 1e9);
    expectClose(await weightsOf(membersAt([0, 1, 2, 3, 4], tokens), { decayEnd: '160B' }), [0.0625, 0.0625, 0.0625, 0.3125, 0.5]);
    await expect(wsm(membersAt(T), { decayEnd: 79 })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('79') });
    await expect(wsm(membersAt(T), { decayEnd: '2T' })).rejects.toMatchObject({ code: 'E_NO_POSITION' });
  });

  it('without steps or tokens the members count as evenly spaced, with a warning', async () => {
    const { weights, warnings } = await wsm(membersAt([null, null, 3000]));
    expectClose([...weights], [1 / 3, 1 / 3, 1 / 3]);
    expect(warnings.map((w) => w.code)).toEqual(['W_SPACING_ASSUMED']);
  });

  it('positions that do not rise are refused, except token counts too coarse to tell the steps apart', async () => {
    await expect(wsm(membersAt([1000, 2000, 500]))).rejects.toMatchObject({ code: 'E_ORDER' });
    expectClose(await weightsOf(membersAt([150, 600, 1050], [1e9, 3e9, 3e9])), [1 / 3, 1 / 3, 1 / 3]);
  });
});

test('the oldest weighing most is noted', async () => {
  expect((await wsm(membersOf(16), { decay: '1-sqrt' })).notes).toEqual([expect.stringContaining('step 1000) weighs most, 0.25')]);
  expect((await wsm(membersOf(16), { decay: 'cosine' })).notes).toEqual([]);
  expect((await wsm(membersOf(16))).notes).toEqual([]);
});

test("the ten weights of the paper's figure 2, by the decay that it draws and as an ema", async () => {
  const figure = [0.126, 0.033, 0.041, 0.052, 0.065, 0.082, 0.103, 0.13, 0.163, 0.206];
  // The decay 1 − 0.1^(1−t), at t = i/(k + 1) with k = 9.
  const file = join(folder, 'figure-2.json');
  await writeFile(file, JSON.stringify(Array.from({ length: 9 }, (_, i) => 1 - 0.1 ** (1 - (i + 1) / 10))));
  expectClose(await weightsOf(membersOf(10), { decayFile: file }), figure, 5e-4);
  const ema = await resolveWeights(membersOf(10), { method: 'ema', alpha: 0.20567 });
  expectClose([...ema.weights], figure, 5e-4);
});

test('cumulative sums give back the decay, for 300 random windows', async () => {
  const next = splitMix64(42);
  const below = (limit: number) => Number(next() % BigInt(limit));
  const f = {
    linear: (u: number) => 1 - u,
    cosine: (u: number) => 0.5 + 0.5 * Math.cos(Math.PI * u),
    '1-sqrt': (u: number) => 1 - Math.sqrt(u),
  };
  for (let round = 0; round < 300; round++) {
    const steps = [below(1000)];
    for (let i = below(20) + 1; i > 0; i--) steps.push(steps.at(-1)! + 1 + below(5000));
    const decay = (['linear', 'cosine', '1-sqrt'] as const)[round % 3]!;
    const decayFloor = round % 2 === 0 ? 0 : below(100) / 100;
    const weights = await weightsOf(membersAt(steps), { decay, decayFloor });
    const [first, last] = [steps[0]!, steps.at(-1)!];
    const h = (last - first) / (steps.length - 1);
    const w = steps.map((t) => decayFloor + (1 - decayFloor) * f[decay]((t - first) / (last - first + h)));
    expectClose(cumulative(weights), [1, ...w.slice(1)], 2e-15);
    expect(weights.every((c) => c >= 0)).toBe(true);
  }
});

describe('decay file', () => {
  const write = async (text: string) => {
    const path = join(folder, 'factors.txt');
    await writeFile(path, text);
    return path;
  };

  it.each([
    ['comma-separated', '0.75,0.5,0.25'],
    ['white space, comments, empty lines', '# my decay\n0.75  0.5 # half\n\n.25\n'],
    ['a JSON list', '[\n  0.75,\n  5e-1,\n  0.25\n]\n'],
    ['a column, with a byte order mark and CRLF', '\uFEFF0.75\r\n0.5\r\n0.25\r\n'],
  ])('%s', async (_, text) => {
    const { weights, parameters } = await wsm(membersOf(4), { decayFile: await write(text) });
    expect([...weights]).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(parameters).toEqual({ 'decay-file': 'factors.txt' });
  });

  it('a factor that stays gives its checkpoint no part', async () => {
    expect(await weightsOf(membersOf(4), { decayFile: await write('1 0.5 0.5') })).toEqual([0, 0.5, 0, 0.5]);
  });

  it.each<[string, string, string]>([
    ['rises', '0.75\n0.5\n0.6', 'line 3: 0.6 is more than the 0.5 before it'],
    ['above 1', '1.2 0.5 0.2', 'line 1: 1.2 is outside [0, 1]'],
    ['below 0', '0.75\n0.5\n-0.1', 'line 3: -0.1 is outside [0, 1]'],
    ['no number', '0.75\nhalf\n0.25', 'line 2 is no number'],
    ['NaN', '0.75 nan 0.25', 'line 1: "nan" is no number'],
    ['an empty cell', '0.75,,0.25', 'there are 2 factors for 4 members'],
    ['too few', '0.75 0.5', 'there are 2 factors for 4 members'],
    ['too many', '0.9 0.75 0.5 0.25', 'there are 4 factors for 4 members'],
    ['empty', '# nothing yet\n', 'there are 0 factors for 4 members'],
  ])('%s is refused', async (_, text, problem) => {
    const path = await write(text);
    await expect(wsm(membersOf(4), { decayFile: path })).rejects.toMatchObject({
      code: 'E_DECAY',
      message: expect.stringContaining(problem),
      details: { file: path },
    });
  });

  it('all problems are told at once', async () => {
    const error = await wsm(membersOf(4), { decayFile: await write('2\n0.5 x 0.7') }).catch((e: unknown) => e);
    const { conflicts } = (error as { details: { conflicts: { message: string }[] } }).details;
    expect(conflicts.map((c) => c.message.replace(/.*factors.txt: /, ''))).toEqual([
      'line 1: 2 is outside [0, 1]',
      'line 2: "x" is no number',
      expect.stringContaining('line 2: 0.7'),
      expect.stringContaining('4 factors for 4 members'),
    ]);
  });

  it('a missing file, a folder and a checkpoint are no lists', async () => {
    await expect(wsm(membersOf(4), { decayFile: join(folder, 'none') })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    await expect(wsm(membersOf(4), { decayFile: folder })).rejects.toMatchObject({ code: 'E_NOT_READABLE' });
  });
});

describe('learning-rate phase', () => {
  const phase = (kind: PhaseKind) => ({ phase: { kind, lowest: 1e-4, highest: 3e-3, text: `rate is ${kind}` } });

  it.each(['warm-up', 'decaying'] as const)('%s is not what the theorem is about', async (kind) => {
    const { warnings } = await wsm(membersOf(4), {}, phase(kind));
    expect(warnings).toEqual([{ code: 'W_LR_PHASE', message: expect.stringContaining(`rate is ${kind}`) }]);
    expect((await resolveWeights(membersOf(4), { method: 'sma' }, phase(kind))).warnings).toEqual([]);
  });

  it.each(['constant', 'unknown'] as const)('%s is no reason to warn', async (kind) => {
    expect((await wsm(membersOf(4), {}, phase(kind))).warnings).toEqual([]);
  });
});

test('cos(πu) without the engine’s cosine: exact where it can be, within 2 ulp of 1 elsewhere', () => {
  expect([0, 0.5, 1].map(cosPi)).toEqual([1, 0, -1]);
  for (let i = 0; i < 512; i++) {
    expect(Math.abs(cosPi(i / 1024) - Math.cos((Math.PI * i) / 1024))).toBeLessThanOrEqual(4.5e-16);
    expect(cosPi(1 - i / 1024)).toBe(-cosPi(i / 1024));
  }
});
