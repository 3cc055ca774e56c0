import { describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { type Arm, type ArtefactInput, concludeArtefact } from '../../../src/search/conclusion/artefact.ts';
import type { Scored } from '../../../src/search/conclusion/difference.ts';

const AXES = [{ kind: 'levels', count: 6 }] as const;

/** A model that is better than the others by so much, on items that all of them share. */
function scored(gain: number, seed: number, items = 400): Scored {
  const [shared, own] = [normalOf(randomOf(1, 1)), normalOf(randomOf(seed, 2))];
  return ofItems(Array.from({ length: items }, () => 2 + shared() + gain + 0.4 * own()));
}

function ofItems(scores: number[], digest = 'd'): Scored {
  const score = scores.reduce((sum, value) => sum + value / scores.length, 0);
  return { score, stderr: null, items: [{ name: '', weight: 1, digest, scores }] };
}

function armsOf(gains: readonly number[]): Arm[] {
  return gains.map((gain, i) => ({ name: `arm-${i}`, point: [i / 5], control: false, score: scored(gain, 10 + i) }));
}

const newest = { name: 'newest', label: 'newest (step 6000)', score: scored(0, 3) };
const uniform = { name: 'uniform', label: 'plain mean', score: scored(0, 4) };
const input = (arms: readonly Arm[], more: Partial<ArtefactInput> = {}): ArtefactInput => ({
  ...{ goal: 'maximize', axes: AXES, arms, references: [newest, uniform] },
  ...more,
});

describe('the best output of a grid', () => {
  it('is better where it is, by less than it scored', () => {
    const found = concludeArtefact(input(armsOf([0, 0.02, 0.3, 0, 0, 0])));
    expect(found).toMatchObject({ gainClaimed: true, chosen: 'arm-2', basis: 'shrunken', candidates: 6, items: 400 });
    const [low, high] = found.interval!;
    expect(low).toBeGreaterThan(0);
    expect(high).toBeGreaterThan(0.3);
    expect(found.gain).toBeGreaterThan(low);
    expect(found.probability).toBeGreaterThan(0.99);
    expect(found.text).toMatch(/^arm-2 is better than the newest \(step 6000\) and the plain mean: by 0\.\d+ over the (newest|plain mean)/);
    expect(found.text).toContain('chosen among 6 outputs');
    expect(found.text).toContain('paired over 400');
  });

  it('is not said to be better where all are equal, and the gain is not the one observed', () => {
    const found = concludeArtefact(input(armsOf([0, 0, 0, 0, 0, 0])));
    expect(found.gainClaimed).toBe(false);
    expect(found.observed).toBeGreaterThan(0);
    expect(found.gain).toBeLessThan(found.observed! / 2);
    expect(found.text).toMatch(/^No evidence of a gain: arm-\d, estimated best/);
    expect(found.text).toContain('partly by luck');
  });

  it('has the same conclusion for losses, of which smaller ones are better', () => {
    const negative = ({ score, items }: Scored): Scored => ({
      ...{ score: -score, stderr: null },
      items: items!.map((list) => ({ ...list, scores: list.scores.map((value) => -value) })),
    });
    const gains = [0, 0.1, 0.05, 0, 0.2, 0];
    const up = concludeArtefact(input(armsOf(gains)));
    const down = concludeArtefact({
      ...input(armsOf(gains).map((arm) => ({ ...arm, score: negative(arm.score!) }))),
      goal: 'minimize',
      references: [newest, uniform].map((reference) => ({ ...reference, score: negative(reference.score) })),
    });
    expect(down.text).toBe(up.text);
    expect(down.interval![0]).toBeCloseTo(up.interval![0], 10);
  });

  it('is never a control, however well that scores', () => {
    const [first, ...others] = armsOf([1, 0, 0, 0, 0, 0]);
    const found = concludeArtefact(input([{ ...first!, control: true }, ...others]));
    expect(found.chosen).not.toBe('arm-0');
    expect(found.candidates).toBe(5);
    expect(found.gainClaimed).toBe(false);
    expect(found.rows[0]).toMatchObject({ name: 'arm-0', control: true, gain: null });
    expect(found.rows[0]!.observed).toBeGreaterThan(0.9);
  });

  it('is not judged by broken ones: they are named, and change nothing', () => {
    const sound = armsOf([0, 0.02, 0.05, 0, 0, 0]);
    const broken = [7, 8].map((i) => ({ ...sound[0]!, name: `broken-${i}`, score: scored(-30, i) }));
    const [alone, beside] = [concludeArtefact(input(sound)), concludeArtefact(input([...sound, ...broken]))];
    expect(beside.gain).toBeCloseTo(alone.gain!, 12);
    expect(beside.interval![0]).toBeCloseTo(alone.interval![0], 12);
    expect(beside.rows.filter(({ farBelow }) => farBelow).map(({ name }) => name)).toEqual(['broken-7', 'broken-8']);
    expect(beside.text).toContain('broken-7 and broken-8 scored so far below');
  });

  it.each([-1e60, -1e100])('is the same beside one that scored %d', (score) => {
    const sound = armsOf([0, 0.02, 0.05, 0, 0, 0]);
    const [alone, beside] = [sound, [...sound, { ...sound[0]!, name: 'broken', score: scored(score, 7) }]].map((arms) =>
      concludeArtefact(input(arms)),
    );
    expect(beside!.gain).toBeCloseTo(alone!.gain!, 12);
    expect(beside!.interval).toEqual(alone!.interval);
    expect(beside!.text).toContain('broken scored so far below');
  });

  it.each([1e200, -1e200, 1e308, Number.MAX_VALUE])('is not judged where one answered an item with %d', (answer) => {
    const sound = armsOf([0, 0.02, 0.05, 0, 0, 0]);
    const items = sound[0]!.score!.items!.map((of) => ({ ...of, scores: of.scores.map((value, i) => (i < 2 ? answer : value)) }));
    for (const stderr of [null, answer > 0 ? answer : 1]) {
      const found = concludeArtefact(input([{ ...sound[0]!, score: { score: answer, stderr, items } }, ...sound.slice(1)]));
      expect(found).toMatchObject({ gainClaimed: false, gain: null, basis: null });
      expect(found.text).toMatch(/^Not judged/);
    }
  });

  it('is another one than a reference that the grid has made again', () => {
    const arms = armsOf([0, 0, 0, 0, 0, 0]);
    const found = concludeArtefact(input([{ ...arms[0]!, name: 'mean-again', score: uniform.score }, ...arms.slice(1)]));
    expect(found.candidates).toBe(5);
    expect(found.rows[0]).toMatchObject({ gain: null, farBelow: false });
  });

  it('weighs tasks as the score does, each with its own items', () => {
    const two = (score: Scored, other: Scored): Scored => ({
      score: 0.75 * score.score + 0.25 * other.score,
      stderr: null,
      items: [
        { ...score.items![0]!, weight: 0.75, digest: 'a' },
        { ...other.items![0]!, weight: 0.25, digest: 'b' },
      ],
    });
    const arm: Arm = { name: 'arm', point: [0], control: false, score: two(scored(0.1, 20), scored(0, 21, 100)) };
    const found = concludeArtefact(input([arm], { references: [{ ...newest, score: two(newest.score, scored(0, 22, 100)) }] }));
    // One arm: nothing was chosen, and nothing pulls it. Items differ by 0.4·√2.
    const error = Math.sqrt(0.75 ** 2 / 400 + 0.25 ** 2 / 100) * 0.4 * Math.SQRT2;
    expect(found.items).toBe(500);
    expect(found.gain).toBeCloseTo(found.observed!, 10);
    expect((found.interval![1] - found.interval![0]) / (2 * 1.96 * error)).toBeCloseTo(1, 0.9);
  });

  it('is judged by standard errors where there are no items, and says so', () => {
    const bare = (score: number) => ({ score, stderr: 0.01, items: null });
    const arms = [0.5, 0.51, 0.6].map((score, i) => ({ name: `arm-${i}`, point: [i / 5], control: false, score: bare(score) }));
    const found = concludeArtefact(input(arms, { references: [{ ...newest, score: bare(0.5) }] }));
    expect(found).toMatchObject({ gainClaimed: true, chosen: 'arm-2', items: null });
    expect(found.text).toContain('Unpaired');
  });

  it('is estimated as likely better as it scored, where another scored nearly the same with a large error', () => {
    const bare = (score: number) => ({ score, stderr: 0.02, items: null });
    const scores = [0.599, 0.6, 0.58, 0.55, 0.55, 0.55];
    const arms = scores.map(
      (score, i): Arm => ({ name: `arm-${i}`, point: [(i % 3) / 2, i < 3 ? 0 : 1], control: false, score: bare(score) }),
    );
    const axes = [{ kind: 'real' }, { kind: 'choice', count: 2 }] as const;
    const found = concludeArtefact(input(arms, { axes, references: [{ ...newest, score: bare(0.5) }] }));
    expect(found.observed).toBeCloseTo(0.1, 12);
    expect(found.gain).toBeGreaterThan(0.06);
    expect(found.gain).toBeLessThan(0.1);
    expect(found.interval![0]).toBeLessThan(0.06);
    // Of two by a hair little is known given that the one was chosen: that is said.
    expect(found.interval![1]).toBe(found.gain);
    expect(found.text).toContain('the interval ends at the estimate');
    expect(found.text).toMatch(/^arm-1 is better than the newest \(step 6000\): by 0\.08/);
  });

  it('is claimed in few of many grids without any gain, with standard errors as well', () => {
    let claimed = 0;
    for (let seed = 0; seed < 100; seed++) {
      const normal = normalOf(randomOf(seed, 5));
      const bare = () => ({ score: 0.5 + 0.02 * normal(), stderr: 0.02, items: null });
      const arms = Array.from({ length: 12 }, (_, i): Arm => ({ name: `arm-${i}`, point: [i / 11], control: false, score: bare() }));
      if (concludeArtefact(input(arms, { references: [{ ...newest, score: bare() }] })).gainClaimed) claimed++;
    }
    expect(claimed).toBeLessThanOrEqual(5);
  });

  it('has an estimate, a probability and an interval that agree, whatever scores lie close together', () => {
    const random = randomOf(7, 1);
    const normal = normalOf(random);
    for (let round = 0; round < 80; round++) {
      const count = 2 + Math.floor(11 * random());
      const [error, tie, level, common] = [0.02, 10 ** (-1 - 6 * random()), 0.04 * normal(), normal()];
      const of = (score: number, noise: number): Scored => {
        if (round % 2 === 0) return { score, stderr: error * (1 + 0.2 * random()), items: null };
        const values = Array.from({ length: 50 }, (_, i) => score + 0.1 * (common + Math.sin(i) + noise * normal()));
        return ofItems(values);
      };
      const noise = 10 ** (-2 * random());
      const arms = Array.from({ length: count }, (_, i): Arm => {
        const score = of(0.5 + level + tie * normal(), noise);
        return { name: `arm-${i}`, point: [i / 11], control: false, score };
      });
      const found = concludeArtefact(input(arms, { references: [{ ...newest, score: of(0.5, noise) }] }));
      const [gain, std, [low, high]] = [found.gain!, found.std!, found.interval!];
      const about = `round ${round}: ${JSON.stringify({ ...found, rows: [] })}`;
      expect(gain, about).toBeGreaterThanOrEqual(low);
      expect(gain, about).toBeLessThanOrEqual(high);
      expect(high - low, about).toBeGreaterThan(std);
      // Means and medians of posteriors that lean to a side are not the same.
      if (Math.abs(gain) > 0.2 * std) expect(found.probability! > 0.5, about).toBe(gain > 0);
      if (found.gainClaimed) expect(low, about).toBeGreaterThan(0);
    }
  });

  it('is not judged where nothing says how scores err', () => {
    const bare = (score: number) => ({ score, stderr: null, items: null });
    const arms = [0.5, 0.6].map((score, i) => ({ name: `arm-${i}`, point: [i / 5], control: false, score: bare(score) }));
    const found = concludeArtefact(input(arms, { references: [{ ...newest, score: bare(0.5) }] }));
    expect(found).toMatchObject({ gainClaimed: false, chosen: 'arm-1', gain: null, interval: null, basis: null });
    expect(found.observed).toBeCloseTo(0.1, 12);
    expect(found.text).toMatch(/^Not judged: arm-1 scored best, 0\.1\d* better than the newest/);
    // Items that differ in number are no pairs.
    const other = concludeArtefact(input([{ ...arms[0]!, score: ofItems([1, 2, 3], 'e') }], { references: [newest] }));
    expect(other.text).toMatch(/^Not judged/);
  });

  it('says what is missing where outputs or references have no score', () => {
    const without = armsOf([0]).map((arm) => ({ ...arm, score: null }));
    expect(concludeArtefact(input(without)).text).toMatch(/^No output has a score/);
    const alone = concludeArtefact(input(armsOf([0, 1]), { references: [{ ...newest, score: null }] }));
    expect(alone.text).toMatch(/^No gain can be told/);
    expect(alone.chosen).toBe('arm-1');
  });

  it('has the headline of the second set where it was scored there', () => {
    const arms = armsOf([0, 0, 0.3, 0, 0, 0]);
    const second = (gain: number) =>
      new Map([
        ['arm-2', scored(gain, 50)],
        ['newest', scored(0, 51)],
        ['uniform', scored(0, 52)],
      ]);
    const gone = concludeArtefact(input(arms, { validation: { command: 'score.sh', scores: second(0) } }));
    expect(gone).toMatchObject({ gainClaimed: false, basis: 'validation', chosen: 'arm-2' });
    expect(gone.text).toContain("on the search's own set is not there");
    const held = concludeArtefact(input(arms, { validation: { command: 'score.sh', scores: second(0.3) } }));
    expect(held).toMatchObject({ gainClaimed: true, basis: 'validation' });
    expect(held.validation!.rows).toHaveLength(3);
  });
});
