import { expect, test } from 'vitest';
import { positionFromName, reasonAgainstName, stepMentioned } from '../../../src/checkpoints/names.ts';

test.each([
  ['checkpoint-1000', { step: 1000 }],
  ['checkpoint_1000', { step: 1000 }],
  ['checkpoint-14750step', { step: 14750 }],
  ['iter_0001000', { step: 1000 }],
  ['iter_12345678', { step: 12_345_678 }],
  ['pretrain_iter_0373000', { stage: 1, step: 373_000 }],
  ['anneal_iter_0023000', { stage: 2, step: 23_000 }],
  ['step-1000', { step: 1000 }],
  ['step1000', { step: 1000 }],
  ['step_1000', { step: 1000 }],
  ['global_step1000', { step: 1000 }],
  ['global_step_1000', { step: 1000 }],
  ['step1000-tokens4B', { step: 1000, tokens: 4e9 }],
  ['step1750000-tokens7652B', { step: 1_750_000, tokens: 7652e9 }],
  ['stage1-step1000000-tokens2098B', { stage: 1, step: 1_000_000, tokens: 2098e9 }],
  ['stage2-ingredient3-step12000-tokens26B', { stage: 2, ingredient: 3, step: 12_000, tokens: 26e9 }],
  ['stage1-step-40000', { stage: 1, step: 40_000 }],
  ['step-001000-2BT', { step: 1000, tokens: 2e9 }],
  ['step-100000-1TT', { step: 100_000, tokens: 1e12 }],
  ['ckpt_358', { step: 358 }],
  ['epoch=0-step=1000', { step: 1000 }],
  ['0012', { step: 12 }],
  ['step0', { step: 0 }],
] as const)('%s stands at %o', (name, position) => {
  expect(positionFromName(name)).toEqual({ stage: null, ingredient: null, tokens: null, ...position });
});

test.each([
  'step1000-merged',
  'best-checkpoint-1000',
  'checkpoint-last',
  'checkpoint-1e3',
  'checkpoint--1',
  'checkpoint-1000.tmp',
  ' checkpoint-1',
  'checkpoint-1\n',
  'checkpoint-99999999999999999999',
  'step1000-tokens',
  'step1000-tokens4',
  'llama-3-8b',
  'main',
  '',
])('%j is the name of no step', (name) => {
  expect(positionFromName(name)).toBeNull();
});

test.each([
  ['checkpoint-last', 'newest'],
  ['epoch=3-last', 'newest'],
  ['step1000-merged', 'merge'],
  ['merged-10', 'merge'],
  ['step1000-ema', 'EMA'],
  ['ema_0.9999', 'EMA'],
  ['tmp-checkpoint-500', 'temporary'],
  ['checkpoint-500.partial', 'temporary'],
  ['.checkpoint-500.partial-1f2e', 'temporary'],
  ['.ipynb_checkpoints', 'hidden'],
])('%s is left out: %s', (name, reason) => {
  expect(reasonAgainstName(name)).toContain(reason);
});

test.each(['checkpoint-1000', 'schema', 'template', 'blast', 'emanuel', 'submerge-run', 'final'])('nothing is said against %s', (name) => {
  expect(reasonAgainstName(name)).toBeNull();
});

test('a step is read off a name that is none, for people', () => {
  expect(stepMentioned('tmp-checkpoint-500')).toBe(500);
  expect(stepMentioned('step1000-merged')).toBe(1000);
  expect(stepMentioned('final')).toBeNull();
});
