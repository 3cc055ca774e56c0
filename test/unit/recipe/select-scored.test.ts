import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { readMemberScores } from '../../../src/recipe/select/scored.ts';
import { selectMembers } from '../../../src/recipe/select/select.ts';
import type { Selection } from '../../../src/recipe/select/types.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { checkpointAt, runOf, runOfSteps, stepsFrom } from '../../support/run-objects.ts';
import { mergeError } from '../../support/safetensors.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const RUN = runOfSteps(stepsFrom(11_000, 1000, 6), 1e6);
async function best(scores: string, selection: Selection = {}, run: Run = RUN) {
  const path = join(folder.path, 'scores.csv');
  writeFileSync(path, scores);
  const select = { members: 'top:3', scores: path, goal: 'maximize' as const, ...selection };
  return selectMembers([run], select, { scores: await readMemberScores(select) });
}
const steps = async (...given: Parameters<typeof best>) => (await best(...given)).members.map(({ step }) => step);
const ALL = '11000,0.1\n12000,0.9\n13000,0.5\n14000,0.7\n15000,0.2\n16000,0.3\n';

describe('the best by their scores', () => {
  it('are members, oldest first, whichever way is better', async () => {
    expect(await steps(ALL)).toEqual([12_000, 13_000, 14_000]);
    expect(await steps(ALL, { goal: 'minimize' })).toEqual([11_000, 15_000, 16_000]);
    expect(await steps(ALL, { members: 'top:1' })).toEqual([12_000]);
  });

  it('are of what the other conditions leave', async () => {
    expect(await steps(ALL, { last: 4, members: 'top:2' })).toEqual([13_000, 14_000]);
    expect(await steps(ALL, { from: 14_000, every: '2000steps', members: 'top:1' })).toEqual([14_000]);
    expect(await steps(ALL, { steps: [11_000, 15_000], members: 'top:1' })).toEqual([15_000]);
  });

  it('always warn that the merge is flattered by the same items', async () => {
    const { warnings, notes, excluded } = await best(ALL);
    expect(warnings).toMatchObject([
      { code: 'W_SELECTED_BY_SCORE', message: expect.stringContaining('the 3 members were chosen by score in scores.csv') },
    ]);
    expect(notes).toContain('by score in scores.csv (higher is better) the best 3 of 6: step 12000 0.9 to step 13000 0.5');
    expect(excluded.find(({ step }) => step === 11_000)!.reason).toBe('its score 0.1 is not among the best 3');
  });

  it('have their scores, in the order of the members, and so has what was left out for them', async () => {
    const { scores, excluded, members } = await best(ALL, { last: 5 });
    expect([members.map(({ step }) => step), scores]).toEqual([
      [12_000, 13_000, 14_000],
      [0.9, 0.5, 0.7],
    ]);
    expect(excluded.map(({ step, score }) => [step, score])).toEqual([
      [11_000, undefined],
      [15_000, 0.2],
      [16_000, 0.3],
    ]);
  });

  it('are not warned of for lying far apart, as others are', async () => {
    const early = runOf([1, 2, 3, 4].map((i) => checkpointAt({ step: i * 1000 })));
    const codes = (selection: Selection, scores: Awaited<ReturnType<typeof readMemberScores>>) =>
      selectMembers([early], selection, { scores }).warnings.map(({ code }) => code);
    const path = join(folder.path, 'early.csv');
    writeFileSync(path, '1000,1\n2000,2\n3000,0\n4000,3\n');
    const select = { members: 'top:3', scores: path, goal: 'maximize' as const };
    expect(codes({ steps: [1000, 2000, 4000] }, null)).toContain('W_WINDOW_WIDE');
    expect(codes(select, await readMemberScores(select))).toEqual(['W_SELECTED_BY_SCORE']);
  });

  it('of equal ones at the end the newer is taken, and it is said', async () => {
    const { members, notes } = await best('11000,1\n12000,0.5\n13000,0.5\n14000,0.5\n15000,1\n16000,0\n');
    expect(members.map(({ step }) => step)).toEqual([11_000, 14_000, 15_000]);
    expect(notes).toContain('step 14000 0.5 ties with step 13000 0.5 for the last place: the newer is taken');
  });

  it('checkpoints without a score, scores of nobody, and NaN are told', async () => {
    const { members, warnings } = await best('11000,1\n12000,2\n13000,nan\n14000,3\n99000,5\n');
    expect(members.map(({ step }) => step)).toEqual([11_000, 12_000, 14_000]);
    expect(warnings[0]).toMatchObject({ code: 'W_SCORES' });
    const [, ...lines] = warnings[0]!.message.split('\n');
    expect(lines).toEqual([
      '2 checkpoints have no score, and cannot be among the best: steps 15000, 16000',
      'step 13000: line 3: score is NaN or infinite in scores.csv',
      '1 score is of a step that the run does not hold: step 99000',
    ]);
  });

  it('fewer than asked for are a warning, as with last', async () => {
    const { members, warnings, report } = await best('11000,1\n12000,2\n');
    expect(members).toHaveLength(2);
    expect(report).toMatchObject({ asked: 3, found: 2 });
    expect(warnings.map(({ code }) => code)).toEqual(['W_LEFT_OUT_MEMBERS', 'W_SCORES', 'W_SELECTED_BY_SCORE']);
    expect(await mergeError(() => best('11000,1\n', { minMembers: 2 }))).toMatchObject({ code: 'E_TOO_FEW_MEMBERS' });
  });

  it('a broken checkpoint that would be among the best is left out, one that would not is nobody’s loss', async () => {
    const broken = (step: number) => [
      { path: `/run/step${step}`, name: `step${step}`, stage: null, ingredient: null, step, tokens: null, reason: 'a shard is missing' },
    ];
    const run = (step: number) => ({ ...RUN, checkpoints: RUN.checkpoints.filter((c) => c.step !== step), broken: broken(step) });
    expect((await best(ALL, {}, run(12_000))).report).toMatchObject({ asked: 3, found: 3, leftOut: [{ name: 'step12000' }] });
    expect((await best(ALL, {}, run(11_000))).report).toMatchObject({ asked: 3, found: 3, leftOut: [] });
  });

  it('are refused where no score is of a checkpoint that is there, or a step is there twice', async () => {
    expect(await mergeError(() => best('1,1\n2,2\n'))).toMatchObject({
      code: 'E_SCORES',
      message: expect.stringContaining('has no score of any checkpoint that is left (steps 11000, 12000'),
    });
    const stages = runOf([checkpointAt({ stage: 1, step: 1000 }), checkpointAt({ stage: 2, step: 1000 })]);
    expect(await mergeError(() => best('1000,1\n', {}, stages))).toMatchObject({
      code: 'E_SCORES',
      help: expect.stringContaining('stage'),
    });
    expect(await mergeError(() => best(ALL, { goal: undefined }))).toMatchObject({ code: 'E_GOAL' });
  });

  it.each<[string, Selection, string]>([
    ['no number', { members: 'best' }, "members takes top:K with a whole number of at least 1, as top:32, not 'best'"],
    ['none', { members: 'top:0' }, 'members takes top:K'],
    ['no scores', { members: 'top:3', scores: undefined }, 'members top:3 needs scores'],
    ['scores alone', { members: undefined }, 'scores has a meaning only with members'],
    ['ingredients', { eachIngredient: 'last' }, 'members cannot be used together with eachIngredient'],
    ['more than there can be', { minMembers: 4 }, 'minMembers 4 cannot be reached with members top:3'],
  ])('contradictions are refused: %s', async (_, selection, message) => {
    const error = await mergeError(() => best(ALL, selection));
    expect(error.code).toBe('E_OPTION');
    expect([error.message, ...(error.details.conflicts ?? []).map((conflict) => conflict.message)].join('\n')).toContain(message);
  });
});
