import { describe, expect, test } from 'vitest';
import type { BrokenCheckpoint, Run } from '../../../src/checkpoints/run/types.ts';
import { selectMembers } from '../../../src/recipe/select/select.ts';
import type { Selection } from '../../../src/recipe/select/types.ts';
import { checkpointAt, runOf, runOfSteps } from '../../support/run-objects.ts';

function broken(step: number, at: Partial<BrokenCheckpoint> = {}): BrokenCheckpoint {
  const name = at.name ?? `step${step}`;
  return { path: `/run/${name}`, name, stage: null, ingredient: null, step, tokens: null, reason: 'incomplete: a shard is missing', ...at };
}
/** Of these steps, late in a training, those in the second list broken. */
const run = (sound: readonly number[], lost: readonly number[], rest: Partial<Run> = {}): Run =>
  runOfSteps(sound, 1e6, { broken: lost.map((step) => broken(step)), ...rest });

/**
 * What is said of a selection: members, left out ones with whether they are newer, asked for, and the
 * warnings' codes.
 */
function found(runs: Run | readonly Run[], selection: Selection, options = {}) {
  const { members, report, warnings } = selectMembers([runs].flat() as Run[], selection, options);
  return {
    members: members.map(({ step }) => step),
    leftOut: report.leftOut.map(({ step, newer }) => (newer ? `${step} newer` : step)),
    asked: [report.found, report.asked],
    codes: warnings.map(({ code }) => code),
    text: warnings[0]?.message ?? '',
  };
}
const CODES = ['W_LEFT_OUT_MEMBERS'];

describe('what would have been a member and is broken', () => {
  test('newer than the newest: first and plainly, with the number asked for', () => {
    const { text, ...rest } = found(run([9000, 9100], [9200, 9300, 9400]), { last: 4 });
    expect(rest).toEqual({ members: [9000, 9100], leftOut: ['9200 newer', '9300 newer', '9400 newer'], asked: [2, 4], codes: CODES });
    expect(text.split('\n')).toEqual([
      '/run: 3 checkpoints are newer than the newest member, step 9100, and are left out; there are 2 members, 2 of 4 asked for',
      'step9200: incomplete: a shard is missing',
      'step9300: incomplete: a shard is missing',
      'step9400: incomplete: a shard is missing',
      'mend them, or wait for a save to end, or select without them; minMembers and strict refuse such a merge',
    ]);
  });

  test('an older one in its place does not make it one less', () => {
    const { text, ...rest } = found(run([8800, 8900, 9000, 9200], [9100]), { last: 3 });
    expect(rest).toEqual({ members: [8900, 9000, 9200], leftOut: [9100], asked: [3, 3], codes: CODES });
    expect(text).toMatch(/^\/run: step9100 is left out; there are 3 members, with an older one in its place\n/);
  });

  test('a save is waited for only where one may be in progress, and one is one', () => {
    const advice = (...reasons: string[]) => {
      const lost = reasons.map((reason, i) => ({ ...broken(9200 + 100 * i), reason }));
      return found(runOf(run([9000, 9100], []).checkpoints, { broken: lost }), { last: 4 })
        .text.split('\n')
        .at(-1);
    };
    expect(advice('a copy that was put aside, by its name')).toMatch(/^mend it, or select without it; /);
    expect(advice('incomplete: a shard is missing')).toMatch(/^mend it, or wait for a save to end, or select without it; /);
    expect(advice('not usable: x', 'incomplete: y')).toMatch(/^mend them, or wait for a save to end, or select without them; /);
  });

  test('the newer ones come before what lies among the members', () => {
    const { text } = found(run([9000, 9200], [9100, 9300]), {});
    expect(text).toMatch(
      /^\/run: step9300 is newer than .*; step9100 is left out; there are 2 members, 2 of 4 that would be there\nstep9300: .*\nstep9100: /,
    );
  });

  test.each<[string, Selection, (number | string)[]]>([
    ['last: one that is older than the members', { last: 3 }, []],
    ['a window before it', { to: 9200 }, [8700]],
    ['a window after it', { from: 8800 }, ['9500 newer']],
    ['steps', { steps: [9000, 9100] }, []],
    ['before a spike', { beforeSpike: 9250, last: 2 }, []],
    ['a spacing that passes it by', { every: 200, to: 9200, last: 2 }, []],
    ['a spacing that it lies on', { every: 200, to: 9100 }, [8700]],
    ['tokens, which it would have had', { from: '8.8B', to: '9.4B' }, []],
    ['tokens up to where it would have had them', { from: '8.8B', to: '9.5B' }, ['9500 newer']],
  ])('is only what the conditions ask for: %s', (_, selection, expected) => {
    const all = run([8600, 8800, 8900, 9000, 9100, 9200, 9300, 9400], selection.last === 3 ? [8700] : [8700, 9500]);
    expect(found(all, selection).leftOut).toEqual(expected);
  });

  test('of siblings each has its own: by run, and by ingredient', () => {
    const [a, b] = [
      { ...run([9000], [9100]), path: '/a' },
      { ...run([9000, 9100], [8900]), path: '/b' },
    ];
    expect(found([a, b], {})).toMatchObject({ members: [9000, 9100], leftOut: ['9100 newer'], asked: [2, 2], codes: CODES });
    expect(found([a, b], {}).text).toMatch(/^\/a, \/b: a\/step9100 is newer than the member of its run/);
    const ingredients = runOf([checkpointAt({ ingredient: 1, step: 5 }), checkpointAt({ ingredient: 2, step: 9 })], {
      broken: [broken(7, { ingredient: 1 }), broken(7, { ingredient: 2 })],
    });
    expect(found(ingredients, { eachIngredient: 'last' })).toMatchObject({ members: [5, 9], leftOut: ['7 newer'] });
  });

  test('many are named up to twenty', () => {
    const lost = Array.from({ length: 30 }, (_, i) => 9001 + i);
    expect(found(run([9000], lost), {}).text.split('\n')).toHaveLength(1 + 20 + 1 + 1);
    expect(found(run([9000], lost), {}).text).toContain('\nand 10 more\n');
  });
});

describe('fewer than asked for', () => {
  test('last, and last with a spacing', () => {
    expect(found(run([9000, 9100, 9200], []), { last: 10 })).toMatchObject({ asked: [3, 10], codes: CODES });
    expect(found(run([9000, 9100, 9200], []), { last: 10 }).text).toMatch(/there are 3 members, 3 of 10 asked for: no more are there\n/);
    const one = found(run([9000, 9100, 9200], []), { last: 3, every: '7B' });
    expect(one).toMatchObject({ members: [9200], asked: [1, 3], codes: CODES });
    expect(one.text).toMatch(/1 of 3 asked for: no more lie on a spacing of 7B; a merge of it is a copy of step 9200\n/);
    expect(found(run([9000, 9100, 9200], []), { last: 3, from: 9100 }).text).toContain('no more meet the conditions');
  });

  test('is no fault of a window of a watch, or of a preset', () => {
    expect(found(run([9000, 9100], []), { last: 10 }, { exact: false })).toMatchObject({ asked: [2, 2], codes: [] });
    expect(found(run([9000, 9100], [9050]), { last: 10 }, { exact: false })).toMatchObject({ asked: [2, 3], codes: CODES });
  });
});

test('one member alone is said to be a copy, unless one was asked for', () => {
  const all = run([9000, 9100, 9200], []);
  expect(found(all, { from: 9150 })).toMatchObject({ members: [9200], codes: ['W_ONE_MEMBER'] });
  expect(found(all, { from: 9150 }).text).toBe(
    '/run: one checkpoint takes part (no more meet the conditions), and a merge of it is a copy of step 9200',
  );
  expect(found(run([9000], []), {}).codes).toEqual(['W_ONE_MEMBER']);
  expect(found(all, { last: 1 }).codes).toEqual([]);
  expect(found(all, { steps: [9100] }).codes).toEqual([]);
});

describe('what has no token count, where tokens choose', () => {
  const tokens = (step: number, of: number | null) => checkpointAt({ step, tokens: of });
  const known = [1000, 2000, 3000, 4000].map((step) => tokens(step, step * 4096));

  test('is told as what is broken, with what to do', () => {
    const { text, ...rest } = found(runOf([...known, tokens(4500, null)]), { last: 3, every: '4M' });
    expect(rest).toEqual({ members: [2000, 3000, 4000], leftOut: ['4500 newer'], asked: [3, 3], codes: [...CODES, 'W_WINDOW_WIDE'] });
    expect(text.split('\n').slice(1)).toEqual([
      'step4500: its token count is not known',
      'say where tokens come from (tokensPerStep, batchSchedule or tokensFile), or select without it; minMembers and strict refuse such a merge',
    ]);
  });

  test.each<[string, (number | null)[], Selection, (string | number)[]]>([
    ['too few counts to tell where the others are', [4_000_000, null, null], { every: '4M' }, ['2000 newer', '3000 newer']],
    ['between members', [4_000_000, null, 12_000_000], { from: '1M' }, [2000]],
    ['outside the window, by its neighbours', [null, 8_000_000, 12_000_000, 16_000_000], { from: '8M' }, []],
    ['where tokens choose nothing', [4_000_000, 8_000_000, null], { last: 2 }, []],
  ])('%s', (_, counts, selection, expected) => {
    const run = runOf(counts.map((of, i) => tokens(1000 * (i + 1), of)));
    expect(found(run, selection).leftOut).toEqual(expected);
  });

  test('so is what is broken and cannot be placed', () => {
    const lost = [broken(2000)];
    expect(found(runOf([tokens(1000, 4_000_000)], { broken: lost }), { from: '1M' }).leftOut).toEqual(['2000 newer']);
  });
});
