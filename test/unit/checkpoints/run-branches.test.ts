import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { abandonedBranch, branchWarnings, type SavedCheckpoint } from '../../../src/checkpoints/run/branches.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);

/** Checkpoints in the order of their steps, saved at these minutes. */
function saved(minutes: Readonly<Record<number, number>>, at: Partial<SavedCheckpoint> = {}): SavedCheckpoint[] {
  return Object.entries(minutes).map(([step, minute]) => ({
    path: `/run/checkpoint-${step}`,
    name: `checkpoint-${step}`,
    stage: null,
    ingredient: null,
    step: Number(step),
    bytes: 1e6,
    savedAt: minute * 60_000,
    ...at,
  }));
}
const stepsOf = async (checkpoints: readonly SavedCheckpoint[]) =>
  (await abandonedBranch(checkpoints)).map(({ path }) => Number(/\d+$/.exec(path)![0])).sort((a, b) => a - b);

describe('a branch that was abandoned', () => {
  test.each<[string, Record<number, number>, number[]]>([
    ['the training went back to 200 and has come to 250', { 100: 0, 200: 60, 250: 80, 300: 40 }, [300]],
    ['all that lies after the way back', { 100: 0, 200: 200, 300: 90, 400: 110, 500: 130 }, [300, 400, 500]],
    ['it has overtaken a part', { 100: 0, 200: 20, 300: 200, 400: 220, 500: 60 }, [500]],
    ['it saves between the old steps', { 1000: 0, 1100: 360, 1200: 120, 1300: 420, 1400: 240 }, [1200, 1400]],
    ['it saves at half the distance', { 1000: 0, 1100: 60, 1150: 300, 1200: 120, 1250: 360, 1300: 180 }, [1200, 1300]],
    [
      'it saves at another distance',
      { 1000: 0, 1200: 120, 1280: 600, 1360: 660, 1400: 240, 1440: 720, 1520: 780, 1600: 360, 1800: 480 },
      [1400, 1600, 1800],
    ],
    ['the steps before the way back were removed', { 1100: 360, 1200: 120, 1300: 420, 1400: 240 }, [1200, 1400]],
  ])('%s', async (_, minutes, expected) => {
    expect(await stepsOf(saved(minutes))).toEqual(expected);
  });
});

describe('nothing is said', () => {
  test.each<[string, Record<number, number>]>([
    ['of a run as its trainer left it', { 100: 0, 200: 20, 300: 40, 400: 60 }],
    ['of a run that overtook its old branch', { 100: 0, 200: 200, 300: 220, 400: 240 }],
    ['where all were written at once', { 100: 5, 200: 5, 300: 5, 400: 5 }],
    ['of a copy in the order of names', { 100: 0, 200: 60, 300: 90, 1000: 30 }],
    ['of a copy in any order, within minutes', { 100: 0, 200: 3, 300: 1, 400: 2 }],
    ['where the oldest file is of a later step', { 100: 30, 200: 60, 300: 0, 400: 15 }],
    ['where times rise and fall', { 100: 0, 200: 90, 300: 150, 400: 30, 500: 120, 600: 60 }],
    ['of a copy by two at once', { 100: 0, 200: 40, 300: 20, 400: 80, 500: 60, 600: 120, 700: 100 }],
    ['of a copy from the newest on', { 100: 90, 200: 60, 300: 30, 400: 0 }],
    ['of two', { 100: 60, 200: 0 }],
  ])('%s', async (_, minutes) => {
    expect(await stepsOf(saved(minutes))).toEqual([]);
  });

  test('of checkpoints so large that a copy takes as long', async () => {
    const minutes = { 100: 0, 200: 60, 250: 80, 300: 40 };
    expect(await stepsOf(saved(minutes, { bytes: 30e9 }))).toEqual([300]);
    expect(await stepsOf(saved(minutes, { bytes: 60e9 }))).toEqual([]);
  });

  test('of stages and ingredients, which are trainings of their own, and of times that nobody knows', async () => {
    const stages = [...saved({ 100: 500, 200: 520, 300: 540 }, { stage: 1 }), ...saved({ 100: 0, 200: 20, 300: 40 }, { stage: 2 })];
    expect(await stepsOf(stages)).toEqual([]);
    expect(await stepsOf(saved({ 100: 0, 200: 60, 250: 80, 300: 40 }, { savedAt: null }))).toEqual([]);
  });
});

describe('training logs decide where both have one', () => {
  type Losses = Readonly<Record<number, number>>;
  const write = (folder: string, minutes: Readonly<Record<number, number>>, losses: Readonly<Record<number, Losses>>) =>
    saved(minutes).map((checkpoint) => {
      const path = join(temporary.path, folder, checkpoint.name);
      mkdirSync(path, { recursive: true });
      const log = Object.entries(losses[checkpoint.step!] ?? {}).map(([step, loss]) => ({ step: Number(step), loss }));
      writeFileSync(join(path, 'trainer_state.json'), JSON.stringify({ global_step: checkpoint.step, log_history: log }));
      return { ...checkpoint, path };
    });
  const one = { 50: 4, 100: 3, 150: 2.5, 200: 2, 250: 1.9 };
  const old = { ...one, 250: 1.95, 300: 1.8 };

  test('for and against what times say', async () => {
    const minutes = { 100: 0, 200: 60, 250: 80, 300: 40 };
    expect(await stepsOf(write('copied', minutes, { 250: one, 300: { ...one, 300: 1.8 } }))).toEqual([]);
    expect(await stepsOf(write('went-back', minutes, { 250: one, 300: old }))).toEqual([300]);
  });

  test('where times say nothing, as of a copy: those that contradict the last step', async () => {
    const at = { 200: 0, 250: 0, 300: 0, 400: 0 };
    const members = write('same-times', at, { 200: one, 250: one, 300: old, 400: { ...old, 350: 1.7 } });
    const found = await abandonedBranch(members);
    expect(found).toEqual(
      [200, 250].map((step) => ({ path: pathOf(members, step), contradicts: [300, 400].map((s) => pathOf(members, s)) })),
    );
    const said = (steps: readonly number[]) =>
      branchWarnings(
        members.filter(({ step }) => steps.includes(step!)),
        found,
      ).map(({ message }) => message);
    expect(said([200, 250, 300])).toEqual([
      'steps 200, 250 are of another branch of the training than step 300: their training logs differ at steps that both have; ' +
        'a mean of two branches is of no training; leave out one branch, with `to` or `steps`',
    ]);
    expect([...said([200, 250]), ...said([300, 400])]).toEqual([]);
  });

  test('of two checkpoints, too', async () => {
    expect(await stepsOf(write('two', { 250: 0, 300: 0 }, { 250: one, 300: old }))).toEqual([250]);
    expect(await stepsOf(write('two-times', { 250: 60, 300: 0 }, { 250: one, 300: old }))).toEqual([300]);
  });

  test('a log that begins anew, has other steps or lacks a value contradicts nothing', async () => {
    const at = { 200: 0, 300: 20, 400: 40 };
    expect(await stepsOf(write('anew', at, { 200: one, 300: { 210: 1.9, 300: 1.8 }, 400: { 50: 4, 310: 1.7 } }))).toEqual([]);
  });
});

const pathOf = (checkpoints: readonly SavedCheckpoint[], step: number) => checkpoints.find((checkpoint) => checkpoint.step === step)!.path;
