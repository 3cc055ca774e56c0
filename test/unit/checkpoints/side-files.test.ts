import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { sideFiles } from '../../../src/checkpoints/side-files.ts';
import { folderOf, indexText, makeFifo, smallFile } from '../../support/safetensors.ts';

const COPIED = [
  'LICENSE',
  'LICENSE.txt',
  'NOTICE',
  'USE_POLICY.md',
  'added_tokens.json',
  'additional_chat_templates/tool_use.jinja',
  'chat_template.jinja',
  'chat_template.json',
  'config.json',
  'configuration_foo.py',
  'generation_config.json',
  'merges.txt',
  'modeling_foo.py',
  'preprocessor_config.json',
  'processor_config.json',
  'quantize_config.json',
  'qwen.tiktoken',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'vocab.json',
  'vocab.txt',
];

const LEFT = [
  '.gitattributes',
  'README.md',
  'adapter_config.json',
  'additional_chat_templates/notes.md',
  'consolidated.safetensors',
  'events.out.tfevents.17',
  'global_step1000/x.pt',
  'latest',
  'merge_provenance.json',
  'merge_recipe.yaml',
  'notes.md',
  'optimizer.bin',
  'optimizer.pt',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
  'random_states_0.pkl',
  'rng_state.pth',
  'rng_state_0.pth',
  'scaler.pt',
  'scheduler.pt',
  'trainer_state.json',
  'training_args.bin',
  'zero_to_fp32.py',
];

/** A folder is left as one, except the one that is looked into. */
const LEFT_NAMES = LEFT.map((name) => (name.startsWith('global_step') ? 'global_step1000' : name)).filter((name) => !name.includes('/'));

test('what belongs to the model is copied, and the rest is left with a reason', async () => {
  const contents = Object.fromEntries([...COPIED, ...LEFT].map((name) => [name, '{}']));
  const folder = folderOf({
    ...contents,
    'model.safetensors.index.json': indexText({ a: 's.safetensors' }),
    's.safetensors': smallFile('a'),
  });
  const { copied, left } = await sideFiles(await openCheckpoint(folder));
  expect(copied.map(({ name }) => name)).toEqual(COPIED);
  expect(copied[0]).toEqual({ name: 'LICENSE', path: join(folder, 'LICENSE'), size: 2 });
  expect(left.map(({ name }) => name)).toEqual(LEFT_NAMES);
  for (const { reason } of left) expect(reason).not.toBe('');
});

test('only regular files, through symbolic links', async () => {
  const folder = folderOf({ 'model/model.safetensors': smallFile('a'), 'blobs/1': '{"x":1}' });
  const model = join(folder, 'model');
  symlinkSync('../blobs/1', join(model, 'config.json'));
  symlinkSync('../blobs/2', join(model, 'tokenizer.json'));
  symlinkSync('/dev/null', join(model, 'vocab.json'));
  mkdirSync(join(model, 'added_tokens.json'));
  makeFifo(join(model, 'generation_config.json'));
  const { copied, left } = await sideFiles(await openCheckpoint(model));
  expect(copied).toEqual([{ name: 'config.json', path: join(model, 'config.json'), size: 7 }]);
  expect(left.map(({ name }) => name)).toEqual(['added_tokens.json', 'generation_config.json', 'tokenizer.json', 'vocab.json']);
});

test('a single file has none', async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'config.json': '{}' });
  expect(await sideFiles(await openCheckpoint(join(folder, 'model.safetensors')))).toEqual({ copied: [], left: [] });
});
