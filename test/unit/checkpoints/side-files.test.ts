import { mkdirSync, realpathSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
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
  expect(copied[0]).toMatchObject({ name: 'LICENSE', path: join(folder, 'LICENSE'), size: 2 });
  expect(left.map(({ name }) => name)).toEqual(LEFT_NAMES);
  for (const { reason } of left) expect(reason).not.toBe('');
});

test.each([
  'hf_quant_config.json',
  'quantize_config.json',
  'quant_config.json',
  'quant_strategy.json',
  'quantization_config.json',
  'quant_model_description.json',
  'quant_model_description_w8a8.json',
  'quanto_qmap.json',
  'compression_config.json',
  'kv_cache_scales.json',
  'input_scales.json',
  'act_scale.json',
  'modelopt_state.json',
  'modelopt_config.json',
  'torchao_config.json',
  'quark_config.json',
  'gptq_config.json',
  'awq_config.json',
  'bnb_config.json',
  'hqq_config.json',
  'fp8_scales.json',
  'int8_scales.json',
  'scales.json',
  'w8a8_description.json',
])('%s is left where the weights of the merge are plain floats', async (name) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), [name]: '{}', 'config.json': '{}' });
  const checkpoint = await openCheckpoint(folder);
  expect((await sideFiles(checkpoint)).copied.map((file) => file.name)).toContain(name);
  const { copied, left } = await sideFiles(checkpoint, { floats: true });
  expect(copied.map((file) => file.name)).toEqual(['config.json']);
  expect(left).toEqual([{ name, outdated: true, reason: expect.stringContaining('plain floats') }]);
});

test.each([
  ['quant_method', '{"quant_method": "x"}'],
  ['an algorithm inside', '{"producer": {"name": "x"}, "method": {"quant_algo": "FP8"}}'],
  ['scales by tensor', '{"model.layers.0.self_attn.k_scale": 0.5}'],
  ["a cache's", '{"model_type": "llama", "kv_cache": {"dtype": "float8_e4m3fn", "scaling_factor": {"0": {"0": 1.0}}}}'],
])('a file of any name with %s says how weights are quantised', async (_, text) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'deploy.json': text });
  const checkpoint = await openCheckpoint(folder);
  expect((await sideFiles(checkpoint)).copied).toHaveLength(1);
  expect(await sideFiles(checkpoint, { floats: true })).toMatchObject({ copied: [], left: [{ name: 'deploy.json', outdated: true }] });
});

test('vocabularies of any name, versions of a tokenizer and modules of sentence-transformers belong to the model', async () => {
  const names = ['1_Pooling/config.json', 'encoder_vocab.json', 'int8_vocab.json', 'modules.json', 'tokenizer.model.v3'];
  const texts = names.map((name) => [name, name.includes('vocab') ? '{"scale": 0, "step": 1}' : '{}']);
  const folder = folderOf({ 'model.safetensors': smallFile('a'), ...(Object.fromEntries(texts) as Record<string, string>) });
  const { copied } = await sideFiles(await openCheckpoint(folder), { floats: true });
  expect(copied.map(({ name }) => name)).toEqual(names);
});

const OF_TRAINING = [
  'metrics.json',
  'eval.json',
  'eval_loss.json',
  'eval_results_1100.json',
  'state.json',
  'checkpoint_metadata.json',
  'dataloader_state.json',
  'progress.json',
  'train_config.json',
  'training_config.json',
  'train_metrics.jsonl',
  'val_metrics.json',
  'log_history.json',
  'scores.json',
  'file_list.json',
  'hash.json',
  'deepspeed_config.json',
];
test.each(OF_TRAINING)('%s, which tells of the training or of its files, is left with a reason', async (name) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), [name]: '{}' });
  expect(await sideFiles(await openCheckpoint(folder))).toMatchObject({ copied: [], left: [{ name, reason: expect.stringMatching(/./) }] });
});

test.each([
  ['{"step": 1100, "timestamp": "2026"}', false],
  ['{"global_step": 5, "anything": {}}', false],
  ['{"eval_loss": 2.5}', false],
  ['{"step": "by step"}', true],
  ['{"labels": ["loss", "step"]}', true],
  ['{"schema": {"step": 1, "epoch": 2}, "a": 1}', true],
  ['[1, 2]', true],
  ['not JSON', true],
])("a JSON file of the user's own, %s, is copied: %s", async (text, copied) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'labels.json': text });
  const found = await sideFiles(await openCheckpoint(folder));
  expect([found.copied.length, found.left.length]).toEqual(copied ? [1, 0] : [0, 1]);
});

test.each([
  'checksums.json',
  'MANIFEST.json',
  'manifest.json',
  'sha256.json',
  'SHA256SUMS',
  'model.safetensors.sha256',
  'file_hashes.json',
  'model.sig',
  'config.json.md5',
  'model.sigstore.json',
])('%s, which speaks of other files, is left', async (name) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), [name]: '{}' });
  expect((await sideFiles(await openCheckpoint(folder))).left).toEqual([{ name, reason: 'checksums of other files' }]);
});

test.each([
  ['integrity.json', '{"algorithm": "sha256", "files": {".metadata": "943ea855", "__0_0.distcp": "8c3a3361"}}', 'checksums of other files'],
  ['metadata.json', '{"sharded_backend": "torch_dist", "sharded_backend_version": 1}', 'says how the checkpoint was stored'],
])('%s of Megatron is left: it tells of the checkpoint that it lies in', async (name, text, reason) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), [name]: text });
  expect((await sideFiles(await openCheckpoint(folder))).left).toEqual([{ name, reason }]);
});

test("names with values that only look like checksums are the model's own", async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'my_map.json': '{"tokens": {"deadbeef": "cafebabe"}, "n": 1}' });
  expect((await sideFiles(await openCheckpoint(folder))).copied.map(({ name }) => name)).toEqual(['my_map.json']);
});

/** What stands in the place of a file that belongs with the model and is none that can be had. */
const FAULTS: Readonly<Record<string, readonly [make: (path: string) => void, says: string]>> = {
  'a link to nothing': [(path) => symlinkSync('gone', path), 'a link that leads to nothing (gone)'],
  'a link to itself': [(path) => symlinkSync(basename(path), path), 'symbolic links run in a circle'],
  'a hole of 4 GiB': [(path) => [writeFileSync(path, ''), truncateSync(path, 2 ** 32 + 1)], 'more than any file beside the weights'],
  'a FIFO': [makeFifo, 'is a FIFO, not a regular file'],
  'a link to a FIFO': [(path) => [makeFifo(join(dirname(path), '.fifo')), symlinkSync('.fifo', path)], 'is a FIFO, not a regular file'],
};

test.each(
  Object.keys(FAULTS).flatMap((fault) =>
    ['config.json', 'tokenizer.json', 'modeling_x.py', 'LICENSE'].map((name) => [fault, name] as const),
  ),
)('%s in the place of %s is a fault that names it', async (fault, name) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a') });
  const [make, says] = FAULTS[fault]!;
  make(join(folder, name));
  const { copied, left, faults } = await sideFiles(await openCheckpoint(folder));
  expect(faults).toMatchObject([{ code: 'E_NOT_READABLE', message: expect.stringContaining(says), details: { file: join(folder, name) } }]);
  expect(faults[0]!.message).toContain('the merge would have to do without it');
  expect(copied).toEqual([]);
  expect(left.filter((file) => file.name === name)).toEqual([]);
});

test('a folder with the name of a file is left, but for config.json', async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a') });
  for (const name of ['config.json', 'added_tokens.json']) mkdirSync(join(folder, name));
  const { left, faults } = await sideFiles(await openCheckpoint(folder));
  expect(left).toEqual([{ name: 'added_tokens.json', reason: 'a folder' }]);
  expect(faults.map(({ message }) => message)).toEqual([expect.stringContaining(`${join(folder, 'config.json')}: is a folder`)]);
});

test('a known folder that leads to nothing is a fault, and one of which nothing is known is left', async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'empty/x.md': '' });
  const templates = join(folder, 'additional_chat_templates');
  symlinkSync('gone', templates);
  const { faults } = await sideFiles(await openCheckpoint(folder));
  expect(faults).toMatchObject([{ code: 'E_NOT_READABLE', details: { file: templates } }]);
  rmSync(templates);
  symlinkSync('empty', templates);
  expect(await sideFiles(await openCheckpoint(folder))).toMatchObject({
    copied: [],
    left: [{ name: 'additional_chat_templates' }, { name: 'empty', reason: 'a folder' }],
    faults: [],
  });
});

test('a name that is no UTF-8 cannot be opened, and is left', async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a') });
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/vocab-`), Buffer.from([0xe9]), Buffer.from('.json')]), '{}');
  expect(await sideFiles(await openCheckpoint(folder))).toMatchObject({
    copied: [],
    left: [{ reason: 'its name is no UTF-8' }],
    faults: [],
  });
});

test('what stays behind anyway may be anything', async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a') });
  makeFifo(join(folder, 'trainer_state.json'));
  symlinkSync('/gone', join(folder, 'optimizer.pt'));
  const { left, faults } = await sideFiles(await openCheckpoint(folder));
  expect(left.map(({ name, leadsTo }) => [name, leadsTo])).toEqual([
    ['optimizer.pt', undefined],
    ['trainer_state.json', undefined],
  ]);
  expect(faults).toEqual([]);
});

describe('a link', () => {
  const WEIGHTS = smallFile('a');
  /** A folder with a secret, and in it a run of two checkpoints with a shared tokenizer and a code folder. */
  const world = () =>
    folderOf({
      secret: 'secret',
      'private/x.jinja': 'secret',
      'run/checkpoint-1/model.safetensors': WEIGHTS,
      'run/checkpoint-1/tokenizer.json': 'one',
      'run/checkpoint-2/model.safetensors': WEIGHTS,
      'run/checkpoint-2/inner/own': 'own',
      'run/shared/tokenizer.json': 'shared',
      'run/shared/templates/x.jinja': 'shared',
    });
  const found = async (folder: string, options = {}) => {
    const { copied, left } = await sideFiles(await openCheckpoint(folder), options);
    return { copied: copied.map(({ name }) => name), left: left.flatMap(({ name, leadsTo }) => (leadsTo === undefined ? [] : [name])) };
  };

  test.each([
    ['a file of the checkpoint', 'inner/own', true],
    ['another checkpoint of the run', '../checkpoint-1/tokenizer.json', true],
    ['a folder of the run', '../shared/tokenizer.json', true],
    ['outside', '../../secret', false],
  ])('that leads to %s is the file (%s): %s', async (_, target, copies) => {
    for (const name of ['config.json', 'tokenizer.json', 'modeling_x.py', 'chat_template.jinja', 'LICENSE']) {
      const root = world();
      const checkpoint = join(root, 'run/checkpoint-2');
      symlinkSync(target, join(checkpoint, name));
      expect(await found(checkpoint)).toEqual(copies ? { copied: [name], left: [] } : { copied: [], left: [name] });
      expect(await found(checkpoint, { followLinks: true })).toEqual({ copied: [name], left: [] });
      // The same by an absolute path, and over a second link that lies in the run.
      for (const way of [join(checkpoint, target), '../shared/on']) {
        rmSync(join(checkpoint, name));
        symlinkSync(way, join(checkpoint, name));
        if (way === '../shared/on') symlinkSync(join(checkpoint, target), join(root, 'run/shared/on'));
        expect(await found(checkpoint)).toEqual(copies ? { copied: [name], left: [] } : { copied: [], left: [name] });
      }
    }
  });

  test('that is a folder on the way counts, and a folder outside is not listed', async () => {
    const root = world();
    const templates = join(root, 'run/checkpoint-2/additional_chat_templates');
    symlinkSync('../shared/templates', templates);
    expect(await found(dirname(templates))).toEqual({ copied: ['additional_chat_templates/x.jinja'], left: [] });
    rmSync(templates);
    symlinkSync(join(root, 'private'), templates);
    expect(await found(dirname(templates))).toEqual({ copied: [], left: ['additional_chat_templates'] });
    const { left } = await sideFiles(await openCheckpoint(dirname(templates)));
    expect(left).toContainEqual({
      name: 'additional_chat_templates',
      leadsTo: realpathSync(join(root, 'private')),
      reason: 'leads outside the checkpoint and its run',
    });
    expect(await found(dirname(templates), { followLinks: true })).toEqual({ copied: ['additional_chat_templates/x.jinja'], left: [] });
  });

  test('of a checkpoint that is a link itself is judged by where the checkpoint lies, and by where it is named', async () => {
    const root = world();
    const linked = join(root, 'linked');
    symlinkSync('run/checkpoint-2', linked);
    symlinkSync('../shared/tokenizer.json', join(linked, 'tokenizer.json'));
    symlinkSync('../../secret', join(linked, 'config.json'));
    expect(await found(linked)).toEqual({ copied: ['tokenizer.json'], left: ['config.json'] });
  });

  test('into the folder around a checkpoint leads outside, unless that is the folder of a run', async () => {
    const root = folderOf({
      'secret.json': '{}',
      '2023/taxes.json': '{}',
      '2024/taxes.json': '{}',
      'ckpt/model.safetensors': WEIGHTS,
    });
    symlinkSync('../secret.json', join(root, 'ckpt/tokenizer.json'));
    expect(await found(join(root, 'ckpt'))).toEqual({ copied: [], left: ['tokenizer.json'] });
    // One checkpoint alone makes no run.
    mkdirSync(join(root, 'step1'));
    writeFileSync(join(root, 'step1/model.safetensors'), WEIGHTS);
    expect(await found(join(root, 'ckpt'))).toEqual({ copied: [], left: ['tokenizer.json'] });
    mkdirSync(join(root, 'step2'));
    writeFileSync(join(root, 'step2/model.safetensors'), WEIGHTS);
    expect(await found(join(root, 'ckpt'))).toEqual({ copied: ['tokenizer.json'], left: [] });
  });

  test.each(['HOME', 'TMPDIR'])('into %s, or a folder that contains it, leads outside whatever lies there', async (variable) => {
    const root = world();
    symlinkSync('../shared/tokenizer.json', join(root, 'run/checkpoint-2/tokenizer.json'));
    mkdirSync(join(root, 'run/ann'));
    for (const wide of ['run', 'run/ann']) {
      vi.stubEnv(variable, join(root, wide));
      expect(await found(join(root, 'run/checkpoint-2'))).toEqual({ copied: [], left: ['tokenizer.json'] });
      vi.unstubAllEnvs();
    }
  });

  test('into the blobs of the same repository in the Hub cache is the file, and into others is not', async () => {
    const root = folderOf({
      'models--org--name/blobs/aaa': 'blob',
      'models--org--name/refs/main': 'r1',
      'models--org--name/snapshots/r1/model.safetensors': WEIGHTS,
      'models--org--name/snapshots/r1/sub/model.safetensors': WEIGHTS,
      'models--org--other/blobs/bbb': 'other',
    });
    const snapshot = join(root, 'models--org--name/snapshots/r1');
    symlinkSync('../../blobs/aaa', join(snapshot, 'config.json'));
    symlinkSync('../../../models--org--other/blobs/bbb', join(snapshot, 'tokenizer.json'));
    symlinkSync('../../refs/main', join(snapshot, 'vocab.json'));
    expect(await found(snapshot)).toEqual({ copied: ['config.json'], left: ['tokenizer.json', 'vocab.json'] });
    symlinkSync('../../../blobs/aaa', join(snapshot, 'sub/config.json'));
    expect(await found(join(snapshot, 'sub'))).toEqual({ copied: ['config.json'], left: [] });
    // Blobs that are a link, or hold one, are not what the Hub's client makes.
    writeFileSync(join(root, 'secret'), 'secret');
    rmSync(join(root, 'models--org--name/blobs/aaa'));
    symlinkSync('../../secret', join(root, 'models--org--name/blobs/aaa'));
    expect((await found(snapshot)).left).toContain('config.json');
    rmSync(join(root, 'models--org--name/blobs'), { recursive: true });
    mkdirSync(join(root, 'elsewhere'));
    writeFileSync(join(root, 'elsewhere/aaa'), 'secret');
    symlinkSync('../elsewhere', join(root, 'models--org--name/blobs'));
    expect((await found(snapshot)).left).toContain('config.json');
  });
});

test('a single file has none', async () => {
  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'config.json': '{}' });
  expect(await sideFiles(await openCheckpoint(join(folder, 'model.safetensors')))).toEqual({ copied: [], left: [], faults: [] });
});
