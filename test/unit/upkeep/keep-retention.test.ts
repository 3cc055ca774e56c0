import { describe, expect, it } from 'vitest';
import { splitMix64 } from '../../../src/base/numbers/random.ts';
import { mostKept, type RetainedWindow, retained, type Spacing, savesWithin, windowsFor } from '../../../src/upkeep/keep/retention.ts';

const NONE: ReadonlySet<number> = new Set();

/**
 * A run of 500 saves in which the plan is applied after each save to what is left: at each save, members of each
 * window counted from its definition, and the most saves that there were.
 */
function simulate(saves: readonly number[], windows: readonly RetainedWindow[], spacing: Spacing, fast = NONE) {
  let left: number[] = [];
  let most = 0;
  const short: string[] = [];
  for (const [n, save] of saves.entries()) {
    left.push(save);
    const kept = retained(left, windows, spacing, fast);
    left = left.filter((_, i) => kept.has(i));
    most = Math.max(most, left.length);
    for (const { length, members } of windows) {
      const from = spacing === 'uniform' ? save - length : save * (1 - length);
      const made = saves.slice(0, n + 1).filter((t) => t > from).length;
      const held = left.filter((t) => t > from).length;
      if (held < Math.min(members, made)) short.push(`save ${n} at ${save}: ${length} holds ${held} of ${members}`);
    }
  }
  return { most, short, left };
}

const even = (count: number, interval: number, from = interval) => Array.from({ length: count }, (_, i) => from + i * interval);

describe('saves that are kept', () => {
  it.each<[readonly number[], number, number]>([
    [[125e9, 500e9], 5, 25e9],
    [[125e9, 250e9, 500e9], 4, 25e9],
    [[125e9, 500e9], 10, 8e9],
    [[100, 1000], 7, 9],
    [[50, 75, 1000, 3000], 4, 10],
    [[1000], 1, 10],
    [[128e9, 500e9], 3, 25e9],
  ])('of 500 hold %j at every save with %d members, a save every %d', (lengths, members, interval) => {
    const windows = windowsFor(lengths, members, 'uniform', interval);
    const saves = even(500, interval);
    const { most, short } = simulate(saves, windows, 'uniform');
    expect(short).toEqual([]);
    // As many as was said beforehand, and not all of them.
    const said = mostKept(saves.slice(0, 1), windows, { spacing: 'uniform', interval, fast: NONE });
    expect(most).toBe(said);
    expect(most).toBeLessThan(saves.length / 2);
  });

  it('are as many at once as was said, of any windows, and hold what these can hold: counted over 600 saves', () => {
    const next = splitMix64(18);
    const upTo = (most: number) => Number(next() % BigInt(most)) + 1;
    for (let round = 0; round < 25; round++) {
      const [interval, start] = [upTo(12), upTo(100)];
      const lengths = [...new Set(Array.from({ length: upTo(3) }, () => interval + upTo(20 * interval)))].sort((a, b) => a - b);
      const saves = even(600, interval, start);
      // What a window holds where nothing is deleted, by its definition, wherever it ends.
      const all = lengths.map((length) =>
        Math.min(...saves.slice(-50).map((end) => saves.filter((t) => t > end - length && t <= end).length)),
      );
      expect(lengths.map((length) => savesWithin(length, interval))).toEqual(all);
      for (const members of [upTo(all[0]!), all[0]!, all.at(-1)!]) {
        const windows = windowsFor(lengths, members, 'uniform', interval);
        const { most, short } = simulate(saves, windows, 'uniform');
        expect(short).toEqual([]);
        expect(windows.map((window) => window.members)).toEqual(all.map((count) => Math.min(count, members)));
        expect({
          lengths,
          interval,
          members,
          most: mostKept(saves.slice(0, 1), windows, { spacing: 'uniform', interval, fast: NONE }),
        }).toEqual({ lengths, interval, members, most });
      }
    }
  });

  it.each([
    ['are rounded to the end of a bucket', [24, 93, 149], 5, 4],
    ['are rounded to the end of a bucket', [81, 112, 153], 8, 4],
    ['come into the same places of their buckets after many windows', [53, 72, 173], 1, 6],
    ['come into the same places of their buckets after many windows', [64, 90, 342], 1, 11],
  ])('are as many as was said where they %s: windows %j', (_, lengths, members, interval) => {
    const windows = windowsFor(lengths, members, 'uniform', interval);
    const saves = even(1500, interval, 7);
    expect(mostKept(saves.slice(0, 1), windows, { spacing: 'uniform', interval, fast: NONE })).toBe(
      simulate(saves, windows, 'uniform').most,
    );
  });

  it('hold windows of uneven saves as well, as long as none is further apart than a bucket', () => {
    const next = splitMix64(7);
    for (let round = 0; round < 30; round++) {
      let at = 0;
      const saves = Array.from({ length: 300 }, () => (at += 1 + Number(next() % 20n)));
      const windows = windowsFor([100, 700], 5, 'uniform', 20);
      expect(simulate(saves, windows, 'uniform').short).toEqual([]);
    }
  });

  it.each([
    [[0.05, 0.2], 5],
    [[0.1], 10],
    [[0.02, 0.1, 0.5], 4],
  ])('at a constant ratio hold shares %j of the training with %d members', (lengths, members) => {
    const windows = windowsFor(lengths, members, 'ratio', 1);
    const { most, short } = simulate(even(500, 1000), windows, 'ratio');
    expect(short).toEqual([]);
    expect(most).toBeLessThan(120);
  });

  it('are the plain grid where windows are multiples: n of the newest, and every so manieth before', () => {
    // Buckets (0, 100], (100, 200] … of the wide window, (0, 25] … of the narrow one.
    const windows = windowsFor([125, 500], 5, 'uniform', 25);
    expect(windows.map(({ bucket }) => bucket)).toEqual([25, 100]);
    const { left } = simulate(even(40, 25), windows, 'uniform');
    expect(left).toEqual([525, 625, 725, 825, 900, 925, 950, 975, 1000]);
  });

  it('never lack what is held fast, nor the newest', () => {
    const windows = windowsFor([100], 1, 'uniform', 10);
    const { left } = simulate(even(50, 10), windows, 'uniform', new Set([30, 70]));
    expect(left).toEqual(expect.arrayContaining([30, 70, 500]));
    expect(left.length).toBeLessThanOrEqual(5);
  });

  it('a plan of what is left is the plan again: nothing more goes, nothing is missed', () => {
    const windows = windowsFor([125, 500], 5, 'uniform', 25);
    const { left } = simulate(even(77, 25), windows, 'uniform');
    expect([...retained(left, windows, 'uniform')].sort((a, b) => a - b)).toEqual(left.map((_, i) => i));
  });
});
