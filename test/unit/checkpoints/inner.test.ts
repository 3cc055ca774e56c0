import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { discoverRun, isRunFolder } from '../../../src/checkpoints/run/discover.ts';
import { pin, pinName } from '../../../src/upkeep/watch/pins.ts';
import { signatureOf } from '../../../src/upkeep/watch/settle.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { type RunEntry, writeHubCache, writeRun, writeTree } from '../../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const runOf = (...entries: readonly (string | RunEntry)[]) =>
  writeRun(
    join(folder.path, 'run'),
    entries.map((entry) => (typeof entry === 'string' ? { name: entry } : entry)),
  );

async function errorOf(work: Promise<unknown>): Promise<MergeError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
}

/** Where trainers and converters put what transformers loads; STEP stands for the step. */
const LAYOUTS: readonly (readonly [trainer: string, inside: string, outside: string, beside: Readonly<Record<string, string>>])[] = [
  [
    'NeMo AutoModel',
    'epoch_0_step_STEP',
    'model/consolidated',
    { 'model/shard-00001-model-00001-of-00001.safetensors': '', 'optim/.metadata': '', 'optim/__0_0.distcp': '', 'step_scheduler.pt': '' },
  ],
  ['fms-hf-tuning', 'checkpoint-STEP', 'hf_converted_checkpoint-STEP', { 'pytorch_model_fsdp_0/.metadata': '', 'optimizer.pt': '' }],
  [
    'verl',
    'global_step_STEP',
    'actor/huggingface',
    { 'actor/model_world_size_8_rank_0.pt': '', 'critic/huggingface/model.safetensors': '' },
  ],
  ['Megatron with a converter', 'iter_00000STEP', 'hf', { 'common.pt': '', 'metadata.json': '{"sharded_backend":"torch_dist"}' }],
  ['a converter of somebody', 'step-STEP', 'export/mine', { '.metadata': '', '__0_0.distcp': '' }],
  ['nanotron, converted', 'STEP', 'hf', { 'random/x': '' }],
];

describe.each(LAYOUTS)('%s', (_trainer, name, inside, beside) => {
  const at = (step: number) => [name, inside].map((part) => part.replace('STEP', String(step)));
  const made = () => {
    const run = runOf(...[20, 40, 100].map((step) => ({ name: at(step).join('/') })));
    for (const step of [20, 40, 100]) {
      writeTree(
        join(run, at(step)[0]!),
        Object.fromEntries(Object.entries(beside).map(([file, text]) => [file.replace('STEP', String(step)), text])),
      );
    }
    return run;
  };

  test('is found in a run, by its step, and called after it', async () => {
    const run = made();
    expect(await isRunFolder(run)).toBe(true);
    const { checkpoints, excluded } = await discoverRun(run);
    expect(checkpoints.map(({ name: called, step, path }) => [called, step, path])).toEqual(
      [20, 40, 100].map((step) => [at(step)[0], step, join(run, ...at(step))]),
    );
    expect(excluded).toEqual([]);
  });

  test('has the step of the folder around it when it is named by hand, and is opened by that folder', async () => {
    const run = made();
    expect(await openCheckpoint(join(run, ...at(40)))).toMatchObject({ step: 40, warnings: [] });
    expect(await openCheckpoint(join(run, at(40)[0]!))).toMatchObject({ step: 40, path: join(run, ...at(40)) });
    // Neither is the folder of a run.
    expect(await isRunFolder(join(run, at(40)[0]!))).toBe(false);
    expect((await errorOf(discoverRun(join(run, at(40)[0]!)))).message).toContain('is a checkpoint itself');
  });

  test('is opened by a link to the folder around it', async () => {
    const run = made();
    writeTree(run, { LATEST: { link: at(100)[0]! } });
    expect(await openCheckpoint(join(run, 'LATEST'))).toMatchObject({ step: 100, path: join(run, 'LATEST', at(100)[1]!), warnings: [] });
    expect((await discoverRun(run)).checkpoints).toHaveLength(3);
  });

  test('is pinned under the name of its step', async () => {
    const checkpoint = (await discoverRun(made())).checkpoints[1]!;
    const { tensors } = (await signatureOf(checkpoint.path))!;
    const pins = join(folder.path, 'pins');
    const path = await pin(checkpoint.path, pins, tensors, false, { name: pinName(checkpoint) });
    expect(basename(path)).toBe(checkpoint.name);
    expect((await discoverRun(pins)).checkpoints).toMatchObject([{ name: checkpoint.name, step: 40 }]);
  });
});

test('tokens and log come from the state files of the step, which lie around the weights', async () => {
  const run = runOf('checkpoint-10/hf');
  const log = JSON.stringify({ global_step: 10, num_input_tokens_seen: 77, log_history: [{ step: 10, loss: 2.5, learning_rate: 1e-4 }] });
  writeTree(join(run, 'checkpoint-10'), { 'trainer_state.json': log });
  expect((await discoverRun(run)).checkpoints).toMatchObject([{ step: 10, tokens: 77, loss: 2.5 }]);
});

test('folders called after a form stand for the steps in them', async () => {
  const run = runOf('huggingface/ba20', 'huggingface/ba100');
  writeTree(run, { 'ep0-ba20/.metadata': '', 'ep0-ba20/__0_0.distcp': '' });
  const { checkpoints, excluded } = await discoverRun(run);
  expect(checkpoints.map(({ name, step }) => [name, step])).toEqual([
    ['ba20', 20],
    ['ba100', 100],
  ]);
  expect(excluded).toMatchObject([{ step: 20, reason: expect.stringContaining('.metadata') }]);
});

test('of several checkpoints in a step none is guessed', async () => {
  const run = runOf('step_10/a/hf', 'step_10/b/hf', 'step_20/hf');
  expect(await errorOf(openCheckpoint(join(run, 'step_10')))).toMatchObject({
    code: 'E_AMBIGUOUS',
    message: expect.stringContaining('a/hf, b/hf'),
  });
  const { checkpoints, excluded } = await discoverRun(run);
  expect(checkpoints.map(({ step }) => step)).toEqual([20]);
  expect(excluded).toMatchObject([{ step: 10, reason: expect.stringContaining('several checkpoints') }]);
  rmSync(join(run, 'step_20'), { recursive: true });
  expect(await errorOf(discoverRun(run))).toMatchObject({
    code: 'E_NO_RUN',
    help: expect.stringMatching(/^Name the one that is meant, .*of a whole run with a pattern, as RUN\/\*\/a\/hf\.$/),
  });
});

describe('what is no checkpoint is called what it is', () => {
  const help = async (path: string) => {
    const { code, message, help: what } = await errorOf(openCheckpoint(path));
    expect(code).toBe('E_NO_CHECKPOINT');
    return `${message} | ${what}`;
  };

  test('a run, whatever else the trainer keeps in it and in its steps', async () => {
    const run = runOf('checkpoint-100', 'checkpoint-1000');
    writeTree(run, { 'training_args.bin': '', 'checkpoint-100/optimizer.pt': '', 'runs/events.out': '' });
    expect(await help(run)).toMatch(
      /is the folder of a run \(checkpoint-100, checkpoint-1000\).*Name one of its checkpoints, as .*checkpoint-1000/,
    );
  });

  test('the checkpoint that is named as one to take can be read', async () => {
    const run = runOf('checkpoint-100', 'checkpoint-200', 'checkpoint-300');
    writeTree(run, {
      'checkpoint-400/trainer_state.json': '{}',
      'checkpoint-300-unfinished': '',
      'checkpoint-500/model.safetensors': 'cut',
    });
    expect(await help(run)).toMatch(/Name one of its checkpoints, as .*checkpoint-200\. /);
    rmSync(join(run, 'checkpoint-100'), { recursive: true });
    rmSync(join(run, 'checkpoint-200'), { recursive: true });
    expect(await help(run)).toMatch(/Name one of its checkpoints\. `merge ls /);
  });

  test('the epochs of a run, and folders of which no step is known, without one of them being guessed', async () => {
    expect(await help(runOf('epoch_0/hf', 'epoch_1/hf'))).toMatch(/is the folder of a run \(epoch_0, epoch_1\)/);
    rmSync(join(folder.path, 'run'), { recursive: true });
    expect(await help(runOf('llama-1b-9', 'llama-1b-10'))).toMatch(
      /holds no safetensors file itself, and 2 of its folders do \(llama-1b-9, llama-1b-10\).*to merge them name all, one by one/,
    );
  });

  test('the folder of several runs', async () => {
    runOf('checkpoint-100');
    writeRun(join(folder.path, 'run-b'), [{ name: 'step10' }]);
    expect(await help(folder.path)).toMatch(/holds 2 runs \(run, run-b\) and is no checkpoint.*merge ls .*run/);
    expect((await errorOf(discoverRun(folder.path))).message).toContain('2 runs: run, run-b');
  });

  test("a model in the Hub's cache", async () => {
    const repository = writeHubCache(folder.path, 'org/name', [{ name: 'main' }]);
    const snapshot = join(repository, 'snapshots', `${'0'.repeat(39)}1`);
    expect(await help(repository)).toContain(`Name a revision of it: ${snapshot}`);
    expect(await help(folder.path)).toContain('is a Hub cache (models--org--name)');
    expect(await errorOf(discoverRun(repository))).toMatchObject({ code: 'E_NO_RUN', help: `Name a revision of it: ${snapshot}` });
  });

  test('a folder that holds a checkpoint and names no step', async () => {
    const run = runOf('final/model/consolidated');
    expect(await help(join(run, 'final'))).toContain('its folder model/consolidated does | Name that: ');
  });

  test('one of DeepSpeed inside the Trainer is no run', async () => {
    const run = writeTree(join(folder.path, 'run'), { 'checkpoint-100/global_step100/zero_pp_rank_0_mp_rank_00_optim_states.pt': '' });
    expect(await help(join(run, 'checkpoint-100'))).toContain('DeepSpeed ZeRO');
    expect(await isRunFolder(join(run, 'checkpoint-100'))).toBe(false);
  });
});

test('all shards without their index are the checkpoint', async () => {
  const shards = ['a', 'b', 'c'].map((name) => [{ name, dtype: 'F32' as const, shape: [2] }]);
  const run = runOf({ name: 'step-1', shards }, { name: 'step-2', shards });
  for (const step of [1, 2]) rmSync(join(run, `step-${step}/model.safetensors.index.json`));
  rmSync(join(run, 'step-2/model-00003-of-00003.safetensors'));
  expect(await openCheckpoint(join(run, 'step-1'))).toMatchObject({ tensorCount: 3, indexName: null, warnings: [] });
  const error = await errorOf(openCheckpoint(join(run, 'step-2')));
  expect(error).toMatchObject({ code: 'E_SHARD_MISSING', message: expect.stringContaining('2 of 3 shards') });
});
