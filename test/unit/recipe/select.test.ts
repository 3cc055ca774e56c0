import { expect, test } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { selectMembers } from '../../../src/recipe/select/select.ts';
import type { Selected, Selection } from '../../../src/recipe/select/types.ts';
import { checkpointAt, logOfRates, randomFrom, runOf, runOfSteps, stepsFrom } from '../../support/run-objects.ts';

const stepsOf = ({ members }: Selected) => members.map(({ step }) => step);
const select = (run: Run, selection: Selection) => selectMembers([run], selection);
const reasonsOf = ({ excluded }: Selected) => Object.fromEntries(excluded.map(({ step, reason }) => [step, reason]));

function errorOf(run: () => unknown): MergeError {
  try {
    run();
  } catch (error) {
    if (error instanceof MergeError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** 1000, 1200 … 3000. */
const RUN = runOfSteps(stepsFrom(1000, 200, 11), 1e6);
/** The same steps late in a training. */
const LATE = runOfSteps(stepsFrom(11_000, 200, 11), 1e6);

test('without conditions everything is a member', () => {
  const selected = select(LATE, {});
  expect(stepsOf(selected)).toEqual(stepsFrom(11_000, 200, 11));
  expect(selected).toMatchObject({ excluded: [], siblings: false, spike: null, notes: ['spacing: 200 steps'], warnings: [] });
});

test("what the run leaves out comes before what the selection does, and the run's warnings are passed on", () => {
  const excluded = [{ path: '/run/checkpoint-3200', step: 3200, reason: 'a shard is missing' }];
  const warnings = [{ code: 'W_TRAINER_STATE', message: 'w' }] as const;
  const selected = select({ ...LATE, excluded, warnings }, { last: 10 });
  expect(selected.excluded).toEqual([...excluded, { path: '/run/step11000', step: 11_000, reason: 'older than the newest 10' }]);
  expect(selected.warnings).toEqual(warnings);
});

test('last takes the newest', () => {
  expect(stepsOf(select(RUN, { last: 3 }))).toEqual([2600, 2800, 3000]);
  expect(stepsOf(select(RUN, { last: 1 }))).toEqual([3000]);
});

test('fewer than last is a note, and an error only with minMembers', () => {
  const selected = select(RUN, { last: 20 });
  expect(selected.members).toHaveLength(11);
  expect(selected.notes).toContain('11 checkpoints fit, and 20 were asked for');
  expect(select(RUN, { minMembers: 11 }).members).toHaveLength(11);
  expect(errorOf(() => select(RUN, { last: 20, minMembers: 12 }))).toMatchObject({
    code: 'E_TOO_FEW_MEMBERS',
    exitCode: 3,
    message: '/run: there are 11 members, and 12 are asked for',
  });
});

test.each<[Selection, number, number]>([
  [{ from: 2000 }, 2000, 3000],
  [{ from: 1999, to: '2401steps' }, 2000, 2400],
  [{ to: '2.2B' }, 1000, 2200],
  [{ from: '2.1B', to: '2.6B' }, 2200, 2600],
  [{ before: 2400 }, 1000, 2200],
  [{ before: '2401000000tokens' }, 1000, 2400],
  [{ from: '1.4B', before: 2000 }, 1400, 1800],
  [{ from: 1400, to: 2000, before: '1.6B' }, 1400, 1400],
  [{ from: 0 }, 1000, 3000],
])('the window %j is %d to %d, ends as documented', (window, first, last) => {
  expect(stepsOf(select(RUN, window))).toEqual(stepsFrom(first, 200, (last - first) / 200 + 1));
});

test('what lies outside a window is left out with the reason', () => {
  expect(reasonsOf(select(RUN, { from: 1200, to: '2.7B', before: 2600 }))).toEqual({
    1000: 'before the window, which begins at step 1200',
    2600: 'not before step 2600',
    2800: 'after the window, which ends at 2.7B tokens',
    3000: 'after the window, which ends at 2.7B tokens',
  });
});

test('an empty window names what is nearest', () => {
  expect(errorOf(() => select(RUN, { from: 2010, to: 2190 }))).toMatchObject({
    code: 'E_NO_MEMBERS',
    exitCode: 3,
    message:
      '/run: no checkpoint lies from step 2010 on and up to step 2190; there are 11, step 1000 (1B tokens) to step 3000 (3B tokens); ' +
      'nearest: step 2000 (2B tokens) and step 2200 (2.2B tokens)',
    details: { nearest: ['/run/step2000', '/run/step2200'] },
  });
  expect(errorOf(() => select(RUN, { from: '8B' })).message).toMatch(
    /lies from 8B tokens on; .* nearest: step 2800 \(2.8B tokens\) and step 3000/,
  );
  expect(errorOf(() => select(RUN, { before: 1000 })).message).toMatch(/lies before step 1000; .* nearest: step 1000 .* and step 1200/);
});

test('a condition in tokens needs tokens; checkpoints without take no part', () => {
  for (const selection of [{ every: '8B' }, { from: '8B' }, { minInterval: '8B' }]) {
    expect(errorOf(() => select(runOfSteps([1, 2, 3]), selection))).toMatchObject({
      code: 'E_NO_TOKENS',
      help: expect.stringMatching(/tokensPerStep.*batchSchedule.*tokensFile/),
    });
  }
  const some = runOf([checkpointAt({ step: 1 }), checkpointAt({ step: 2, tokens: 20 }), checkpointAt({ step: 3, tokens: 30 })]);
  const selected = select(some, { from: '1tokens' });
  expect(stepsOf(selected)).toEqual([2, 3]);
  expect(reasonsOf(selected)).toEqual({ 1: 'its token count is not known' });
  expect(selected.notes[0]).toBe('1 of 3 checkpoints left out: the token count is not known');
});

test('steps are taken exactly', () => {
  const selected = select(RUN, { steps: [2600, 1000, 1400] });
  expect(stepsOf(selected)).toEqual([1000, 1400, 2600]);
  expect(reasonsOf(selected)[1200]).toBe('not among the steps named');
  expect(selected.notes).toEqual(['spacing is uneven: 400 steps to 1200 steps']);
});

test('all steps that are missing are named at once, with what is nearest or why they are left out', () => {
  const run = { ...RUN, excluded: [{ path: '/run/checkpoint-3200', step: 3200, reason: 'a shard is missing' }] };
  const error = errorOf(() => select(run, { steps: [1000, 1300, 3200, 9000] }));
  expect(error).toMatchObject({ code: 'E_NO_MEMBERS', message: '/run: 3 of the 4 steps named cannot be members' });
  expect(error.details.conflicts?.map(({ message }) => message)).toEqual([
    'there is no step 1300; nearest: step 1200 and step 1400',
    'step 3200 is left out: a shard is missing',
    'there is no step 9000; nearest: step 2800 and step 3000',
  ]);
  expect(errorOf(() => select(run, { steps: [1300] })).message).toBe('/run: there is no step 1300; nearest: step 1200 and step 1400');
});

test('every takes what lies on the spacing, counted back from the newest', () => {
  expect(stepsOf(select(RUN, { every: '400steps' }))).toEqual([1000, 1400, 1800, 2200, 2600, 3000]);
  expect(stepsOf(select(RUN, { every: 600 }))).toEqual([1200, 1800, 2400, 3000]);
  expect(stepsOf(select(RUN, { every: '0.6B', last: 2 }))).toEqual([2400, 3000]);
  expect(stepsOf(select(RUN, { every: '3ckpt' }))).toEqual([1200, 1800, 2400, 3000]);
  expect(stepsOf(select(RUN, { every: 600, to: 2950 }))).toEqual([1000, 1600, 2200, 2800]);
  expect(stepsOf(select(RUN, { every: 5000 }))).toEqual([3000]);
});

test('every takes the nearest within a quarter, both sides included, the newer of two equally near, and says why not the others', () => {
  const run = runOfSteps([100, 380, 460, 675, 700, 725, 900, 1000]);
  const selected = select(run, { every: 300 });
  // Targets 1000, 700, 400, 100.
  expect(stepsOf(selected)).toEqual([100, 380, 700, 1000]);
  expect(reasonsOf(selected)).toEqual({
    460: 'the spacing takes step 380 instead',
    675: 'the spacing takes step 700 instead',
    725: 'the spacing takes step 700 instead',
    900: 'between spacings: 100 steps off, and 75 steps would do',
  });
  expect(selected.notes).toEqual(['spacing is uneven: 280 steps to 320 steps (asked for: 300 steps)']);
  expect(stepsOf(select(runOfSteps([625, 775, 1000]), { every: 300 }))).toEqual([775, 1000]);
  expect(stepsOf(select(runOfSteps([624, 776, 1000]), { every: 300 }))).toEqual([1000]);
});

test('a hole is noted and does not end the walk, nor count as a member', () => {
  const run = runOfSteps([100, 200, 300, 600, 700, 1000], 1e7);
  const selected = select(run, { every: '1B', last: 4 });
  expect(stepsOf(selected)).toEqual([300, 600, 700, 1000]);
  expect(selected.notes).toEqual([
    'hole at 9B tokens: the nearest checkpoint is step 1000 at 10B tokens; 1 more before it',
    'hole at 5B tokens: the nearest checkpoint is step 600 at 6B tokens; 1 more before it',
    'spacing is uneven: 1B tokens to 3B tokens (asked for: 1B tokens)',
  ]);
  // The holes before step 700 belong to members that were not asked for.
  expect(select(run, { every: '1B', last: 2 }).notes.filter((note) => note.startsWith('hole'))).toHaveLength(1);
});

test('a hole after the last member is one, and before the beginning of the run there is none', () => {
  const holes = (steps: number[]) => select(runOfSteps(steps), { every: 300 }).notes.filter((note) => note.startsWith('hole'));
  expect(holes([280, 700, 1000])).toEqual(['hole at step 400: the nearest checkpoint is step 280']);
  expect(holes([500, 700, 1000])).toEqual([]);
  expect(holes([700, 1000])).toEqual([]);
});

test('a spacing longer than the run leaves the newest alone, and that is said', () => {
  const selected = select(RUN, { every: '8B', last: 10 });
  expect(stepsOf(selected)).toEqual([3000]);
  expect(selected.notes).toEqual([
    'only one member: the checkpoints span 2B tokens, less than the spacing of 8B tokens',
    '1 checkpoint fits, and 10 were asked for',
  ]);
  expect(reasonsOf(selected)).toMatchObject({ 1000: 'the spacing takes step 3000 instead' });
});

test('of many holes three are noted one by one, and a spacing of one step over a trillion is no work', () => {
  const run = runOfSteps(stepsFrom(1e9, 1e9, 1000));
  const selected = select(run, { every: 1 });
  expect(selected.members).toHaveLength(1000);
  expect(selected.notes.slice(0, 4)).toEqual([
    'hole at step 999999999999: the nearest checkpoint is step 1000000000000; 999999998 more before it',
    'hole at step 998999999999: the nearest checkpoint is step 999000000000; 999999998 more before it',
    'hole at step 997999999999: the nearest checkpoint is step 998000000000; 999999998 more before it',
    'and holes at 996 more places',
  ]);
});

test('every agrees with a search for each target, and never takes a checkpoint twice', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomFrom(seed);
    const steps = [...new Set(Array.from({ length: 1 + Math.floor(random() * 40) }, () => Math.floor(random() * 3000)))].sort(
      (a, b) => a - b,
    );
    const every = 1 + Math.floor(random() * 700);
    const newest = steps.at(-1)!;
    const wanted = new Set<number>();
    for (let target = newest; target >= steps[0]! - every; target -= every) {
      const off = (step: number) => Math.abs(step - target);
      const near = steps.filter((step) => off(step) <= every / 4).sort((a, b) => off(a) - off(b) || b - a);
      if (near.length > 0) wanted.add(near[0]!);
    }
    const selected = select(runOfSteps(steps), { every });
    expect(stepsOf(selected), `seed ${seed}`).toEqual([...wanted].sort((a, b) => a - b));
    expect(selected.members.length + selected.excluded.length).toBe(steps.length);
  }
});

test("minInterval walks back as Megatron-LM's tool does", () => {
  const run = runOfSteps([100, 450, 500, 899, 900, 1300, 1700]);
  expect(stepsOf(select(run, { minInterval: 400 }))).toEqual([100, 500, 900, 1300, 1700]);
  expect(stepsOf(select(run, { minInterval: 401 }))).toEqual([450, 900, 1700]);
  expect(stepsOf(select(run, { minInterval: '2ckpt' }))).toEqual([100, 500, 900, 1700]);
  const selected = select(run, { minInterval: 400, last: 2 });
  expect(stepsOf(selected)).toEqual([1300, 1700]);
  expect(selected.notes).toEqual(['spacing: 400 steps (asked for: at least 400 steps)']);
  expect(reasonsOf(selected)[899]).toBe('less than 400 steps from the next member');
});

test('spacing counts as even within 1 %, and within what names round', () => {
  const spacing = (run: Run, every?: string) => select(run, { every }).notes.at(-1);
  expect(spacing(runOfSteps([1000, 2000, 3009]))).toBe('spacing: 1000 steps to 1009 steps');
  expect(spacing(runOfSteps([1000, 2000, 3011]))).toBe('spacing is uneven: 1000 steps to 1011 steps');
  expect(spacing(runOfSteps([10, 31, 111]), '2ckpt')).toBe('spacing: 101 steps (asked for: 2 checkpoints)');
  // OLMo's names: 4.194B tokens a thousand steps, cut off.
  const named = runOf(
    [4, 8, 12, 16, 20, 25].map((billions, i) => checkpointAt({ step: 1000 * (i + 1), tokens: billions * 1e9, tokensFrom: 'name' })),
  );
  expect(spacing(named, '4B')).toBe('spacing: 4B tokens to 5B tokens (asked for: 4B tokens)');
  expect(spacing(runOfSteps([21, 101, 181], 1e8), '8B')).toBe('spacing: 8B tokens (asked for: 8B tokens)');
});

test('the phase is that of the window from the oldest to the newest member', () => {
  const log = logOfRates([0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.2, 0.1], 100);
  const run = runOfSteps(stepsFrom(100, 100, 8), undefined, { log });
  expect(select(run, {}).phase.kind).toBe('unknown');
  expect(select(run, { from: 300, to: 600 }).phase).toMatchObject({ kind: 'constant', lowest: 0.3, highest: 0.3 });
  expect(select(run, { last: 3 }).phase.kind).toBe('decaying');
  expect(select(run, { to: 300 }).phase.kind).toBe('warm-up');
  expect(select(runOfSteps([100]), {}).phase).toMatchObject({ kind: 'unknown', text: 'learning rate unknown: no learning rate is logged' });
});

test('a checkpoint without a step has a place in the order and nothing else', () => {
  const run = runOf([checkpointAt({ name: 'start' }), checkpointAt({ step: 100 }), checkpointAt({ step: 200 })]);
  expect(select(run, { last: 3 }).phase.text).toBe('learning rate unknown: the steps of the members are not known');
  expect(stepsOf(select(run, { every: 100 }))).toEqual([100, 200]);
  expect(errorOf(() => select(runOf([checkpointAt({ name: 'start' })]), { every: 100 }))).toMatchObject({ code: 'E_NO_POSITION' });
});

test.each<[Selection, RegExp]>([
  [{ last: 0 }, /^last takes a whole number of at least 1, not 0$/],
  [{ last: 1.5 }, /^last/],
  [{ last: Number.NaN }, /^last/],
  [{ minMembers: -1 }, /^minMembers/],
  [{ stage: 0.5 }, /^stage/],
  [{ steps: [] }, /^steps names no step$/],
  [{ steps: [-1] }, /^steps takes a whole number/],
  [{ steps: [1000, 2000, 1000] }, /^steps names 1000 twice$/],
  [{ every: 0 }, /^every takes a distance over 0/],
  [{ every: '-8B' }, /^every takes tokens/],
  [{ every: Number.NaN }, /^every takes tokens/],
  [{ minInterval: '0B' }, /^minInterval takes a distance over 0/],
  [{ from: '3ckpt' }, /^from takes a step or a token count, not 3ckpt$/],
  [{ before: 'noon' }, /^before takes/],
  [{ beforeSpike: -5 }, /^beforeSpike takes auto or a whole number/],
  [{ margin: 100 }, /^margin has a meaning only with beforeSpike$/],
  [{ beforeSpike: 'auto', margin: 'wide' }, /^margin takes/],
  [{ steps: [1000], last: 2 }, /^steps cannot be used together with last/],
  [{ steps: [1000], every: '8B', from: 1 }, /^steps cannot be used together with every, from/],
  [{ every: 400, minInterval: 400 }, /^every cannot be used together with minInterval/],
  [{ eachIngredient: 'last', last: 3 }, /^eachIngredient cannot be used together with last/],
  [{ last: 3, minMembers: 4 }, /^minMembers 4 cannot be reached with last 3$/],
  [{ from: 2000, to: 1000 }, /^nothing lies from 2000 on and up to 1000$/],
  [{ from: '8B', before: '8B' }, /^nothing lies from 8B on and before 8B$/],
])('%j is refused, by name', (selection, message) => {
  expect(errorOf(() => select(RUN, selection))).toMatchObject({ code: 'E_OPTION', exitCode: 2, message: expect.stringMatching(message) });
});

test('all that is wrong with a selection is reported at once', () => {
  const error = errorOf(() => select(RUN, { last: 0, every: 'x', minInterval: 5, margin: 7 }));
  expect(error.message).toBe('the selection has 4 problems');
  expect(error.details.conflicts).toHaveLength(4);
});

test('a run without checkpoints, and no run', () => {
  expect(errorOf(() => select(runOf([]), {}))).toMatchObject({ code: 'E_NO_MEMBERS' });
  expect(errorOf(() => selectMembers([], {}))).toMatchObject({ code: 'E_OPTION' });
});

test('2,000 checkpoints and 20,000 log lines are no work', () => {
  const log = logOfRates(new Array<number>(20_000).fill(3e-4)).map((entry, i) => ({ ...entry, loss: 2 + 0.1 * Math.sin(i) }));
  const run = runOfSteps(stepsFrom(100, 100, 2000), 1e6, { log });
  expect(select(run, { every: '1B', last: 10 }).members).toHaveLength(10);
  expect(errorOf(() => select(run, { beforeSpike: 'auto', last: 3 }))).toMatchObject({ code: 'E_NO_SPIKE' });
});
