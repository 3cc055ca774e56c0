import { expect, test } from 'vitest';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { selectMembers } from '../../../src/recipe/select/select.ts';
import type { Selected, Selection } from '../../../src/recipe/select/types.ts';
import { checkpointAt, logOfRates, runOf, runOfSteps, stepsFrom } from '../../support/run-objects.ts';

const namesOf = ({ members }: Selected) => members.map(({ name }) => name);
const reasonsOf = ({ excluded }: Selected) => Object.fromEntries(excluded.map(({ path, reason }) => [path.replace(/.*\//, ''), reason]));
const select = (run: Run, selection: Selection) => selectMembers([run], selection);

/**
 * As OLMo 2: one long stage, then three anneals over the same data in other orders. Every stage counts its
 * steps anew.
 */
const OLMO = runOf([
  ...[1000, 2000].map((step) => checkpointAt({ stage: 1, step, tokens: step * 4e6 })),
  ...[1, 2, 3].flatMap((ingredient) => [100, 200].map((step) => checkpointAt({ stage: 2, ingredient, step, tokens: step * 4e6 }))),
]);

test('one member of each ingredient: its last', () => {
  const selected = select(OLMO, { eachIngredient: 'last' });
  expect(namesOf(selected)).toEqual(['stage2-ingredient1-step200', 'stage2-ingredient2-step200', 'stage2-ingredient3-step200']);
  expect(selected).toMatchObject({ siblings: true, phase: { kind: 'unknown' }, notes: ['3 siblings, one member each'] });
  expect(reasonsOf(selected)).toMatchObject({
    'stage1-step2000': 'of no ingredient',
    'stage2-ingredient1-step100': 'older than stage 2, ingredient 1, step 200 of the same training',
  });
});

test('conditions come first: the last of each that meets them', () => {
  expect(namesOf(select(OLMO, { eachIngredient: 'last', before: 200 }))).toEqual([1, 2, 3].map((i) => `stage2-ingredient${i}-step100`));
  expect(namesOf(select(OLMO, { eachIngredient: 'last', steps: [100] }))).toEqual([1, 2, 3].map((i) => `stage2-ingredient${i}-step100`));
});

test('an ingredient of which nothing is left is noted, and counts for minMembers', () => {
  const run = runOf([...OLMO.checkpoints, checkpointAt({ stage: 2, ingredient: 4, step: 300 })]);
  const selected = select(run, { eachIngredient: 'last', to: 200 });
  expect(selected.members).toHaveLength(3);
  expect(selected.notes).toContain('ingredient 4 has no checkpoint that fits');
  expect(() => select(run, { eachIngredient: 'last', to: 200, minMembers: 4 })).toThrow(
    expect.objectContaining({ code: 'E_TOO_FEW_MEMBERS' }),
  );
});

test('ingredients are not moments in time: without the option they are refused, and the help names it', () => {
  const refused = expect.objectContaining({
    code: 'E_SIBLINGS',
    exitCode: 2,
    message: expect.stringContaining('ingredients 1, 2, 3'),
    help: expect.stringContaining('`eachIngredient` last'),
  });
  expect(() => select(OLMO, {})).toThrow(refused);
  expect(() => select(OLMO, { last: 3 })).toThrow(refused);
  expect(() => select(OLMO, { stage: 2 })).toThrow(refused);
  expect(namesOf(select(OLMO, { stage: 1 }))).toEqual(['stage1-step1000', 'stage1-step2000']);
});

test('a single ingredient is a continuation like any other', () => {
  const run = runOf(OLMO.checkpoints.filter(({ ingredient }) => ingredient === null || ingredient === 1));
  expect(select(run, { last: 3 })).toMatchObject({
    siblings: false,
    phase: { text: 'learning rate unknown: the members are of several stages' },
  });
});

test('a run without ingredients has no siblings', () => {
  expect(() => select(runOfSteps([1, 2]), { eachIngredient: 'last' })).toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining('no ingredients') }),
  );
});

const ANNEALS = ['a', 'b', 'c'].map((name, i) => {
  const run = runOfSteps([100, 200, 300 + i], undefined, {
    path: `/anneals/${name}`,
    excluded: [{ path: `/anneals/${name}/tmp`, step: null, reason: 'temporary' }],
  });
  return { ...run, checkpoints: run.checkpoints.map((checkpoint) => ({ ...checkpoint, path: `/anneals/${name}/${checkpoint.name}` })) };
});

test('several runs are siblings: the last of each, in the order given', () => {
  const [a, b, c] = ANNEALS;
  const selected = selectMembers([c!, a!, b!], {});
  expect(selected.members.map(({ path }) => path)).toEqual(['/anneals/c/step302', '/anneals/a/step300', '/anneals/b/step301']);
  expect(selected.siblings).toBe(true);
  expect(selected.excluded.map(({ path }) => path)).toEqual(
    [c, a, b].flatMap((run) => ['tmp', 'step100', 'step200'].map((name) => `${run!.path}/${name}`)),
  );
  expect(namesOf(selectMembers(ANNEALS, { to: 250 }))).toEqual(['step200', 'step200', 'step200']);
  expect(namesOf(selectMembers(ANNEALS, { steps: [100], eachIngredient: 'last' }))).toEqual(['step100', 'step100', 'step100']);
  expect(namesOf(selectMembers(ANNEALS, { beforeSpike: 300, margin: 0 }))).toEqual(['step200', 'step200', 'step200']);
});

test('a sibling that has nothing to give is an error that names it', () => {
  expect(() => selectMembers(ANNEALS, { from: 302 })).toThrow(
    expect.objectContaining({ code: 'E_NO_MEMBERS', details: expect.objectContaining({ file: '/anneals/a' }) }),
  );
  expect(() => selectMembers(ANNEALS, { steps: [301] })).toThrow(/^\/anneals\/a: there is no step 301/);
});

test('several runs that have ingredients give one member of each', () => {
  const other = runOf([checkpointAt({ stage: 1, step: 5 }), checkpointAt({ stage: 2, ingredient: 7, step: 6 })], { path: '/other' });
  expect(namesOf(selectMembers([OLMO, other], {}))).toEqual([
    ...[1, 2, 3].map((i) => `stage2-ingredient${i}-step200`),
    'stage2-ingredient7-step6',
  ]);
});

test.each<[Selection, RegExp]>([
  [{ last: 2 }, /^last has no meaning over 3 runs/],
  [{ every: '8B' }, /^every has no meaning over 3 runs/],
  [{ minInterval: 5 }, /^minInterval has no meaning over 3 runs/],
  [{ steps: [100, 200] }, /^steps may name one step only/],
  [{ beforeSpike: 'auto' }, /^beforeSpike auto looks at one log/],
])('%j makes no sense for siblings', (selection, message) => {
  expect(() => selectMembers(ANNEALS, selection)).toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(message) }),
  );
});

test('the same run twice is no pair of siblings', () => {
  expect(() => selectMembers([ANNEALS[0]!, ANNEALS[0]!], {})).toThrow(/given twice/);
});

/** Two stages; steps begin anew in the second, whose log the run has. */
const STAGED = runOf(
  [
    ...stepsFrom(100, 100, 5).map((step) => checkpointAt({ stage: 1, step, tokens: step * 1e6 })),
    ...stepsFrom(100, 100, 3).map((step) => checkpointAt({ stage: 2, step, tokens: step * 1e6 })),
  ],
  { log: logOfRates([0.3, 0.2, 0.1], 100) },
);

test('members of several stages are said to be, and refused by the plan and not here', () => {
  const selected = select(STAGED, { last: 4 });
  expect(namesOf(selected)).toEqual(['stage1-step500', 'stage2-step100', 'stage2-step200', 'stage2-step300']);
  expect(selected.notes).toEqual(['the run has stages 1, 2; the members are of stage 1, 2']);
  expect(select(STAGED, { last: 2 }).notes).toEqual(['spacing: 100 steps', 'the run has stages 1, 2; the members are of stage 2']);
  expect(select(STAGED, { last: 2, stage: 2 }).notes).toEqual(['spacing: 100 steps']);
});

test('a stage that is not there is answered with those that are', () => {
  expect(() => select(STAGED, { stage: 3 })).toThrow(
    expect.objectContaining({ code: 'E_NO_MEMBERS', message: '/run: there is no stage 3: it has stage 1, 2' }),
  );
  expect(() => select(runOfSteps([1]), { stage: 3 })).toThrow(/its checkpoints have no stages/);
  expect(reasonsOf(select(STAGED, { stage: 2 }))['stage1-step100']).toBe('of stage 1');
});

test('distances are not measured across stages that count anew', () => {
  for (const selection of [{ every: 100 }, { every: '0.1B' }, { minInterval: 100 }]) {
    expect(() => select(STAGED, selection)).toThrow(expect.objectContaining({ code: 'E_ORDER', help: expect.stringContaining('`stage`') }));
    expect(select(STAGED, { ...selection, stage: 1 }).members).toHaveLength(5);
  }
  // Stages that count on can be measured.
  const through = runOf([1, 1, 2, 2].map((stage, i) => checkpointAt({ stage, step: 100 * (i + 1) })));
  expect(select(through, { every: 100 }).members).toHaveLength(4);
});

test('a step that two stages have must be told apart', () => {
  expect(() => select(STAGED, { steps: [100] })).toThrow(/step 100 is in stages 1 and 2: say which with stage/);
  expect(namesOf(select(STAGED, { steps: [100], stage: 2 }))).toEqual(['stage2-step100']);
  expect(namesOf(select(STAGED, { steps: [500] }))).toEqual(['stage1-step500']);
});

test("the phase is known for the stage that the run's log is about", () => {
  expect(select(STAGED, { stage: 2 }).phase.kind).toBe('decaying');
  expect(select(STAGED, { stage: 1 }).phase.text).toBe('learning rate unknown: the log is that of another stage');
});

test('of several runs it is said how many checkpoints are not merged', () => {
  const one = runOfSteps([100, 200, 300]);
  expect(selectMembers([one, runOf([checkpointAt({ step: 300 })], { path: '/other' })], {}).notes).toEqual([
    '2 siblings, one member each: 2 other checkpoints of these runs are not merged; name checkpoints one by one to merge several of a run',
  ]);
  expect(selectMembers([runOfSteps([100]), runOf([checkpointAt({ step: 100 })], { path: '/other' })], {}).notes).toEqual([
    '2 siblings, one member each',
  ]);
});

test.each<[string, number, number, number]>([
  ['one was annealed', 3e-4, 0, 1],
  ['both were annealed, to rates of which one is many times the other', 1e-9, 0, 0],
  ['both are at their peak', 3e-4, 2.9e-4, 0],
])('siblings at other learning rates are told: %s', (_, a, b, count) => {
  const runs = [a, b].map((last, i) => {
    const rates = [3e-4, 3e-4, last];
    return runOf([{ ...checkpointAt({ step: 30 }), path: `/run-${i}/step30`, learningRate: last }], {
      path: `/run-${i}`,
      log: logOfRates(rates),
    });
  });
  const { warnings } = selectMembers(runs, {});
  expect(warnings.map(({ code }) => code)).toEqual(Array.from({ length: count }, () => 'W_LR_PHASE'));
  if (count > 0) expect(warnings[0]!.message).toContain('/run-1/step30 at 0, /run-0/step30 at 0.0003');
});

test('a rate is measured by the highest of its own training', () => {
  const ran = (...rates: number[]) =>
    runOf([{ ...checkpointAt({ step: 10 * rates.length }), learningRate: rates.at(-1)! }], {
      log: logOfRates(rates),
      path: `/${rates.join()}`,
    });
  const codes = (...runs: Run[]) => selectMembers(runs, {}).warnings.map(({ code }) => code);
  expect(codes(ran(1e-3, 1e-3), ran(3e-4, 3e-4), ran(1e-4, 1e-4))).toEqual([]);
  expect(codes(ran(1e-3, 1e-3), ran(1e-4, 0))).toEqual(['W_LR_PHASE']);
});
