import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import type { ScheduleMember } from '../../../src/recipe/schedule/types.ts';
import { boundsOf } from '../../../src/search/conclusion/bounds.ts';
import { pairwise } from '../../../src/search/space/pairwise.ts';
import { scheduleSpace } from '../../../src/search/space/schedule.ts';
import type { ScheduleRequest } from '../../../src/search/space/schedule-parameters.ts';
import type { Params } from '../../../src/search/space/types.ts';
import { weightsSpace } from '../../../src/search/space/weights.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

const pool = (count: number): ScheduleMember[] =>
  Array.from({ length: count }, (_, i) => ({ path: `step-${i}`, step: 100 * (i + 1), tokens: null }) as ScheduleMember);
const schedule = async (request: ScheduleRequest, params: Params, members = 6) =>
  boundsOf(await scheduleSpace(pool(members), request), params);

describe('boundsOf, pairwise', () => {
  it('advises a smaller alpha where lambda is at it, down to 0', () => {
    const at = (alpha: number, lambda: number) => boundsOf(pairwise(pool(2), { alpha }), { lambda });
    expect(at(0.5, 0.5)).toEqual([{ parameter: 'lambda', side: 'low', text: expect.stringContaining('--alpha 0.3') }]);
    expect(at(0.5, 0.504)).toHaveLength(1); // within a hundredth of the axis
    expect(at(0.5, 0.51)).toEqual([]);
    expect(at(0.1, 0.1)[0]!.text).toContain('--alpha 0.');
    expect(at(0.1, 0.1)[0]!.text).not.toContain('--alpha -');
    expect(at(0, 0)[0]!.text).toContain('the older checkpoint alone');
    expect(at(0, 0)[0]!.text).not.toContain('--alpha');
  });

  it('says of lambda = 1 that only extrapolation lies beyond', () => {
    const [bound] = boundsOf(pairwise(pool(2)), { lambda: 1 });
    expect(bound).toMatchObject({ parameter: 'lambda', side: 'high', text: expect.stringContaining('extrapolat') });
    expect(bound!.text).not.toContain('--alpha');
  });

  it('says nothing inside, outside the space, and of recipes without parameters', () => {
    const space = pairwise(pool(2));
    expect(boundsOf(space, { lambda: 0.75 })).toEqual([]);
    expect(boundsOf(space, { lambda: 0.4 })).toEqual([]);
    expect(boundsOf(space, null)).toEqual([]);
  });

  it('looks at the parameters of roles by themselves', () => {
    const space = pairwise(pool(2), { separate: ['router'] });
    expect(boundsOf(space, { lambda: 0.75, 'router.lambda': 0.5 }).map(({ parameter }) => parameter)).toEqual(['router.lambda']);
  });
});

describe('boundsOf, schedule', () => {
  it('advises from and to where more lies beyond', async () => {
    const request = { parameters: { window: { from: 2, to: 4 }, 'half-life': { from: 0.5, to: 8, log: true } }, fixed: { method: 'ema' } };
    expect(await schedule(request, { window: 4, 'half-life': 8 })).toEqual([
      { parameter: 'window', side: 'high', text: expect.stringContaining('`to`') },
      { parameter: 'half-life', side: 'high', text: expect.stringContaining('`to`') },
    ]);
    expect(await schedule(request, { window: 2, 'half-life': 0.5 })).toEqual([
      { parameter: 'window', side: 'low', text: expect.stringContaining('`from`') },
      { parameter: 'half-life', side: 'low', text: expect.stringContaining('`from`') },
    ]);
    expect(await schedule(request, { window: 3, 'half-life': 2 })).toEqual([]);
  });

  it('asks for more checkpoints where the window has all, and for none where it has one', async () => {
    const request = { parameters: { window: { from: 1, to: 6 } } };
    const [all] = await schedule(request, { window: 6 });
    expect(all!.text).toMatch(/all 6 checkpoints.*older ones/);
    const [one] = await schedule(request, { window: 1 });
    expect(one!.text).toContain('a single checkpoint');
  });

  it('says nothing of natural limits: nothing skipped, every checkpoint taken, an alpha of 1', async () => {
    const request = {
      parameters: { skip: { from: 0, to: 2 }, spacing: [1, 2, 3], alpha: { from: 0.2, to: 1 } },
      fixed: { method: 'ema', window: 1 },
    };
    expect(await schedule(request, { skip: 0, spacing: 1, alpha: 1 })).toEqual([]);
    const others = await schedule(request, { skip: 2, spacing: 3, alpha: 0.2 });
    expect(others.map(({ parameter, side }) => [parameter, side])).toEqual([
      ['spacing', 'high'],
      ['skip', 'high'],
      ['alpha', 'low'],
    ]);
    expect(others[0]!.text).toContain('larger values to its list');
  });

  it('says nothing of two values, of words, and of parameters that the best method does not have', async () => {
    const request = { parameters: { window: [2, 4], method: ['sma', 'wma', 'ema'], alpha: { from: 0.1, to: 0.5 } } };
    expect(await schedule(request, { window: 4, method: 'sma', alpha: 0.5 })).toEqual([]);
    expect((await schedule(request, { window: 4, method: 'ema', alpha: 0.5 })).map(({ parameter }) => parameter)).toEqual(['alpha']);
  });
});

describe('boundsOf, weights', () => {
  it('says that the best leans on few checkpoints', () => {
    const space = weightsSpace(pool(3));
    const params = space.decode([1, 0.5]);
    expect(boundsOf(space, params)).toEqual([{ parameter: 'ilr-1', side: 'high', text: expect.stringContaining('leans on few') }]);
  });
});
