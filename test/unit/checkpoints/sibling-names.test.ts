import { expect, test } from 'vitest';
import { epochsAmong, positionsAmong } from '../../../src/checkpoints/sibling-names.ts';

const stepsOf = (...names: string[]) => Object.fromEntries([...positionsAmong(names)].map(([name, { step }]) => [name, step]));

test.each([
  [
    ['llama-1b-step20', 'llama-1b-step100'],
    [20, 100],
  ],
  [
    ['run-step300', 'run-step1000', 'logs'],
    [300, 1000],
  ],
  [
    ['v1-checkpoint-10', 'v1-checkpoint-20'],
    [10, 20],
  ],
  [
    ['main_step5', 'main_step10', 'config'],
    [5, 10],
  ],
  [
    ['2024-01-05-step20', '2024-01-05-step40'],
    [20, 40],
  ],
  [
    ['exp-epoch_0_step_20', 'exp-epoch_1_step_40'],
    [20, 40],
  ],
])('%j share what stands before their steps', (names, steps) => {
  expect(Object.values(stepsOf(...names))).toEqual(steps);
});

test.each([
  [['llama-1b-step20', 'llama-7b-step40']],
  [['v1-checkpoint-10', 'v2-checkpoint-10']],
  [['seed1-step100', 'seed1-step200', 'seed2-step100']],
  [['run-step300', 'logs']],
  [['tmp-checkpoint-10', 'tmp-checkpoint-20']],
  [['llama-3-8b', 'llama-3-70b']],
  [['release_20', 'release_40']],
])('%j say nothing together', (names) => {
  expect(stepsOf(...names)).toEqual({});
});

test('beside a name that is the name of a step no other is read', () => {
  expect(stepsOf('checkpoint-100', 'best-checkpoint-50', 'best-checkpoint-60')).toEqual({ 'checkpoint-100': 100 });
});

test('epochs are stages where steps begin anew in each, and only there', () => {
  const stages = (...names: string[]) => [...positionsAmong(names).values()].map(({ stage, step }) => [stage, step]);
  expect(stages('epoch_0_step_100', 'epoch_0_step_200', 'epoch_1_step_100')).toEqual([
    [1, 100],
    [1, 200],
    [2, 100],
  ]);
  expect(stages('epoch_0_step_100', 'epoch_1_step_200')).toEqual([
    [null, 100],
    [null, 200],
  ]);
  expect(stages('epoch_0_step_100', 'checkpoint-100')).toEqual([
    [null, 100],
    [null, 100],
  ]);
});

test('epochs take the place of steps where nothing else is counted', () => {
  expect([...epochsAmong(['epoch_1', 'epoch-2', 'ep10-hf', 'checkpoint-epoch-3', 'runs'])].map(([, epoch]) => epoch)).toEqual([
    1, 2, 10, 3,
  ]);
  expect(epochsAmong(['epoch_1', 'epoch_2', 'checkpoint-100']).size).toBe(0);
  expect(epochsAmong(['epoch_1', 'logs']).size).toBe(0);
});
