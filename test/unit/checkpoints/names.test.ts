import { expect, test } from 'vitest';
import { placeFromPath, positionFromName, reasonAgainstName, stepMentioned } from '../../../src/checkpoints/names.ts';

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
  // As converters and trainers of several forms call them.
  ['global_step20_hf', { step: 20 }],
  ['step20-hf', { step: 20 }],
  ['iter_0000020_hf', { step: 20 }],
  ['hf_converted_checkpoint-20', { step: 20 }],
  ['step1000-unsharded-hf', { step: 1000 }],
  ['checkpoint-20-bf16', { step: 20 }],
  ['ba20', { step: 20 }],
  ['ep0-ba20', { step: 20 }],
  ['epoch_0_step_20', { step: 20 }],
  ['checkpoint-epoch-3-step-100', { step: 100 }],
  ['iter-1000-ckpt', { step: 1000 }],
  ['20_steps', { step: 20 }],
  ['0012_hf', { step: 12 }],
  ['step0', { step: 0 }],
  ['step-20k', { step: 20_000 }],
  ['checkpoint-20K', { step: 20_000 }],
  ['step-1M', { step: 1_000_000 }],
  ['ep0-ba100-rank0', { step: 100 }],
] as const)('%s stands at %o', (name, position) => {
  expect(positionFromName(name)).toEqual({ stage: null, ingredient: null, tokens: null, ...position });
});

test.each([
  'step1000-merged',
  'best-checkpoint-1000',
  'checkpoint-last',
  'checkpoint-1e3',
  'checkpoint--1',
  'checkpoint-100M',
  'checkpoint-1.3k',
  'ep0-ba100-rank1',
  'llama-1b-step20',
  'checkpoint-1000.tmp',
  ' checkpoint-1',
  'checkpoint-1\n',
  'checkpoint-99999999999999999999',
  'step1000-tokens',
  'step1000-tokens4',
  'llama-3-8b',
  'llama-2-hf',
  'epoch_3',
  'epoch_3-1000',
  'step-100-iter-200',
  'model-1000',
  'best-100',
  'hf',
  'checkpoint',
  'checkpoint-epoch-3',
  'model-00001-of-00003',
  'step1000-final',
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

test.each([
  ['/runs/epoch_0_step_20/model/consolidated', 20, 'epoch_0_step_20'],
  ['/runs/global_step_20/actor/huggingface', 20, 'global_step_20'],
  ['/runs/checkpoint-20/hf_converted_checkpoint-20', 20, 'hf_converted_checkpoint-20'],
  ['/runs/step-10/again/step-20', 20, 'step-20'],
  ['/runs/iter_0000020/export/mine', 20, 'iter_0000020'],
  ['/runs/20/hf', 20, '20'],
])('%s stands at step %i, by %s', (path, step, name) => {
  expect(placeFromPath(path)).toMatchObject({ position: { step }, name });
});

test.each(['/scratch/2024/final', '/step-10/merged', '/step-10/.x/model', '/step-10/a/b/c/d', '/', '/runs/final/model'])(
  '%s names no step',
  (path) => {
    expect(placeFromPath(path)).toBeNull();
  },
);
