import { describe, expect, test } from 'vitest';
import { namesTogether } from '../../../src/checkpoints/sibling-names.ts';

const stepsOf = (...names: string[]) => Object.fromEntries([...namesTogether(names).positions].map(([name, { step }]) => [name, step]));

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
  [
    ['llama.step20', 'llama.step40'],
    [20, 40],
  ],
])('%j share what stands before their steps', (names, steps) => {
  expect(Object.values(stepsOf(...names))).toEqual(steps);
});

test.each([
  [['llama-1b-step20', 'llama-7b-step40']],
  [['v1-checkpoint-10', 'v2-checkpoint-10']],
  [['run-step300', 'logs']],
  [['tmp-checkpoint-10', 'tmp-checkpoint-20']],
  [['llama-3-8b', 'llama-3-70b']],
  [['release_20', 'release_40']],
  [['ablation-batch256', 'ablation-batch512', 'ablation-batch1024']],
  [['sweep-bs256', 'sweep-bs512']],
  [['lr-seed1', 'lr-seed2', 'lr-seed3']],
  [['lora-rank8', 'lora-rank16']],
])('%j say nothing together', (names) => {
  expect(stepsOf(...names)).toEqual({});
  expect(namesTogether(names).epochs.size).toBe(0);
});

test.each([
  ['steps by themselves', ['checkpoint-100', 'best-checkpoint-50', 'best-checkpoint-60'], ['checkpoint-100']],
  ['a beginning', ['llama-step10', 'llama-step20', 'step5'], ['llama-step10', 'llama-step20']],
  ['a beginning beside another', ['seed1-step100', 'seed1-step200', 'seed2-step100'], ['seed1-step100', 'seed1-step200']],
  ['a beginning beside copies', ['a-step1', 'a-step2', 'a-best-step2'], ['a-step1', 'a-step2']],
  ['steps by themselves, as many', ['step1', 'step2', 'a-step1', 'a-step2'], ['step1', 'step2']],
  ['steps beside as many epochs', ['step_1', 'step_2', 'epoch_1', 'epoch_2'], ['step_1', 'step_2']],
])('of several forms the most frequent is read: %s', (_what, names, taken) => {
  const { positions, epochs, apart } = namesTogether(names);
  expect([...positions.keys()]).toEqual(taken);
  expect(epochs.size).toBe(0);
  expect([...apart.keys()]).toEqual(names.filter((name) => !taken.includes(name)));
});

test('of two beginnings that are as frequent none is read, and a pattern names each', () => {
  const { positions, apart } = namesTogether(['v1-checkpoint-10', 'v1-checkpoint-20', 'v2-checkpoint-10', 'v2-checkpoint-30', 'w-step1']);
  expect(positions.size).toBe(0);
  expect([...apart.values()].map(({ patterns }) => patterns)).toEqual(Array(5).fill(['v1-checkpoint-*', 'v2-checkpoint-*']));
});

describe('epochs', () => {
  const epochs = (...names: string[]) => [...namesTogether(names).positions.values()].map(({ stage, epoch, step }) => [stage, epoch, step]);

  test('are part of the order where steps begin anew in each, and only there', () => {
    expect(epochs('epoch_0_step_100', 'epoch_0_step_200', 'epoch_1_step_100')).toEqual([
      [null, 0, 100],
      [null, 0, 200],
      [null, 1, 100],
    ]);
    expect(epochs('sft-epoch_1_step_100', 'sft-epoch_2_step_100').map(([, epoch]) => epoch)).toEqual([1, 2]);
    expect(epochs('stage1-epoch_0_step_9', 'stage1-epoch_1_step_3', 'stage2-epoch_0_step_5').map(([, epoch]) => epoch)).toEqual([
      0,
      1,
      undefined,
    ]);
  });

  test.each([
    [['epoch_0_step_100', 'epoch_1_step_200']],
    [['epoch_0_step_100', 'checkpoint-100']],
    [['epoch_0_step_500', 'epoch_0_step_1000', 'epoch_1_step_1000', 'epoch_1_step_1500']],
  ])('are none of it in %j', (names) => {
    expect(epochs(...names).map(([, epoch]) => epoch)).toEqual(names.map(() => undefined));
  });

  test('take the place of steps where nothing else is counted', () => {
    const alone = (...names: string[]) => [...namesTogether(names).epochs.values()];
    expect(alone('epoch_1', 'epoch-2', 'ep10-hf', 'checkpoint-epoch-3', 'runs')).toEqual([1, 2, 10, 3]);
    expect(alone('llama-epoch1', 'llama-epoch2')).toEqual([1, 2]);
    expect(alone('epoch_0', 'epoch_1', 'epoch_2', 'step_450')).toEqual([0, 1, 2]);
    expect(alone('epoch_1', 'epoch_2', 'checkpoint-100', 'checkpoint-200')).toEqual([]);
    expect(alone('epoch_1', 'logs')).toEqual([]);
  });
});
