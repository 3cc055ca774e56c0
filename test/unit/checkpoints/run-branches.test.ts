import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { abandonedBranch, type SavedCheckpoint } from '../../../src/checkpoints/run/branches.ts';
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
  (await abandonedBranch(checkpoints)).map((path) => Number(/\d+$/.exec(path)![0]));

describe('a branch that was abandoned', () => {
  test.each<[string, Record<number, number>, number[]]>([
    ['the training went back to 200 and has come to 250', { 100: 0, 200: 60, 250: 80, 300: 40 }, [300]],
    ['all that lies after the way back', { 100: 0, 200: 200, 300: 90, 400: 110, 500: 130 }, [300, 400, 500]],
    ['it has overtaken a part', { 100: 0, 200: 20, 300: 200, 400: 220, 500: 60 }, [500]],
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
    ['where times rise and fall', { 100: 0, 200: 90, 300: 30, 400: 120, 500: 60, 600: 150 }],
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

test('training logs decide where both have one', async () => {
  const minutes = { 100: 0, 200: 60, 250: 80, 300: 40 };
  const write = (folder: string, losses: Record<number, Record<number, number>>) =>
    saved(minutes).map((checkpoint) => {
      const path = join(temporary.path, folder, checkpoint.name);
      mkdirSync(path, { recursive: true });
      const log = Object.entries(losses[checkpoint.step!] ?? {}).map(([step, loss]) => ({ step: Number(step), loss }));
      writeFileSync(join(path, 'trainer_state.json'), JSON.stringify({ global_step: checkpoint.step, log_history: log }));
      return { ...checkpoint, path };
    });
  const one = { 50: 4, 100: 3, 150: 2.5, 200: 2, 250: 1.9 };
  expect(await stepsOf(write('copied', { 250: one, 300: { ...one, 300: 1.8 } }))).toEqual([]);
  expect(await stepsOf(write('went-back', { 250: one, 300: { ...one, 250: 1.95, 300: 1.8 } }))).toEqual([300]);
});
