import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lookAt } from '../../../src/checkpoints/link-ground.ts';
import { trainingState } from '../../../src/checkpoints/training-state.ts';
import { copySideFiles } from '../../../src/merge/output/copy-side-files.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import type { OutputRequest, PlanOutput } from '../../../src/merge/plan/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const TENSORS: FixtureTensor[] = [
  { name: 'embed', dtype: 'BF16', shape: [4, 8] },
  { name: 'norm', dtype: 'F32', shape: [7] },
];
/** As transformers' Trainer saves it, on several ranks and with fp16. */
const TRAINER = [
  'optimizer.pt',
  'rng_state_0.pth',
  'rng_state_1.pth',
  'scaler.pt',
  'scheduler.pt',
  'trainer_state.json',
  'training_args.bin',
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/** Files in a folder, each with its own name as content. */
function put(where: string, names: readonly string[]): string {
  for (const name of names) {
    mkdirSync(dirname(join(where, name)), { recursive: true });
    writeFileSync(join(where, name), name);
  }
  return where;
}
/** Two checkpoints, the newest with these files beside its weights. */
function run(names: readonly string[] = TRAINER): string[] {
  const inputs = [100, 200].map((step) => writeCheckpoint(at(`checkpoint-${step}`), [TENSORS], step));
  put(inputs[0]!, TRAINER);
  put(inputs[1]!, names);
  for (const step of [100, 200]) writeFileSync(at(`checkpoint-${step}/trainer_state.json`), `{"global_step": ${step}}`);
  return inputs;
}
async function planned(output: Partial<OutputRequest>, inputs = run()): Promise<PlanOutput> {
  return (await buildPlan({ inputs, outputs: [{ path: at('out'), ...output }] })).outputs[0]!;
}
const codes = (output: PlanOutput) => output.warnings.map((w) => w.code);

describe('training state', () => {
  test.each([
    ['transformers', TRAINER],
    [
      'accelerate',
      ['custom_checkpoint_0.pkl', 'dl_state_dict.bin', 'optimizer.bin', 'random_states_0.pkl', 'sampler.bin', 'scheduler.bin'],
    ],
    ['DeepSpeed', ['global_step200/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt', 'global_step200/mp_rank_00_model_states.pt', 'latest']],
    ['FSDP', ['optimizer_0/.metadata', 'optimizer_0/__0_0.distcp', 'scheduler.pt']],
    ['nanotron', ['lr_scheduler/lr_scheduler_pp-0.pt', 'optimizer/optimizer_pp-0.pt', 'random/tp-0.pt']],
  ])('of %s is found by name', async (_, names) => {
    const found = put(at('a'), [...names, 'config.json', 'tokenizer.json', 'model.safetensors', 'pytorch_model.bin', 'README.md']);
    const { files, optimizer } = await trainingState(found);
    expect(files.map(({ name }) => name)).toEqual(names);
    expect(files[0]).toMatchObject({ name: names[0], path: join(found, names[0]!), size: names[0]!.length });
    expect(optimizer).toBe(true);
  });

  test('without optimizer state is none to go on from', async () => {
    expect(await trainingState(put(at('a'), ['trainer_state.json', 'scheduler.pt']))).toMatchObject({ optimizer: false });
  });

  test("what holds weights of the trainer's own is named", async () => {
    const found = put(at('a'), [
      'global_step9/mp_rank_00_model_states.pt',
      'pytorch_model_fsdp_0/__0_0.distcp',
      'optimizer_0/__0_0.distcp',
    ]);
    const { files, holdingWeights, weights } = await trainingState(found);
    expect(files.map(({ name }) => name)).toEqual(['global_step9/mp_rank_00_model_states.pt', 'optimizer_0/__0_0.distcp']);
    expect([holdingWeights, weights]).toEqual([['global_step9'], ['pytorch_model_fsdp_0']]);
  });

  test('that is a broken link is an error, and one that leads to a file is that file', async () => {
    const found = put(at('a'), ['blob']);
    symlinkSync('blob', join(found, 'optimizer.pt'));
    expect((await trainingState(found)).files).toMatchObject([{ name: 'optimizer.pt', path: join(found, 'optimizer.pt'), size: 4 }]);
    symlinkSync('gone', join(found, 'scheduler.pt'));
    await expect(trainingState(found)).rejects.toMatchObject({ code: 'E_NOT_FOUND', details: { file: join(found, 'scheduler.pt') } });
  });
});

describe('a merge to resume from', () => {
  test('is float32 and has no training state, and says so', async () => {
    const output = await planned({ for: 'resume' });
    expect(output).toMatchObject({ dtype: 'F32', purpose: 'resume', optimizer: 'drop', dtypeChanges: ['BF16 to F32: 1 tensor'] });
    expect(output.sideFiles.map((f) => f.name)).toEqual(['config.json']);
    expect(codes(output)).toEqual(['W_DTYPE_CHANGED']);
    expect(output.warnings[0]!.message).toContain('not from its rounding');
  });

  test('has another dtype where one is asked for', async () => {
    const output = await planned({ for: 'resume', dtype: 'BF16' });
    expect(output).toMatchObject({ dtype: 'BF16', dtypeChanges: ['F32 to BF16: 1 tensor'] });
    expect(output.warnings[0]!.message).not.toContain('rounding');
  });

  test("with optimizer newest has the newest member's state, counted, with the warning whose it is", async () => {
    const inputs = run();
    const [dropped, output] = [await planned({ for: 'resume' }, inputs), await planned({ for: 'resume', optimizer: 'newest' }, inputs)];
    const state = output.sideFiles.filter((f) => f.name !== 'config.json');
    expect(state.map((f) => f.path)).toEqual(TRAINER.map((name) => join(inputs[1]!, name)));
    expect(output.bytes - dropped.bytes).toBe(state.reduce((sum, { path }) => sum + readFileSync(path).length, 0));
    expect(codes(output)).toEqual(['W_DTYPE_CHANGED', 'W_OPTIMIZER_NEWEST']);
    expect(output.warnings[1]!.message).toMatch(/checkpoint-200: the moments belong to its weights, not to the merged ones$/);
    // An interrupted merge of the other kind is another merge.
    expect(output.digest).not.toBe(dropped.digest);
  });

  test.each([
    [['global_step200/mp_rank_00_model_states.pt'], 'global_step200 holds weights of its own, and DeepSpeed resumes from those'],
    [['optimizer_0/__0_0.distcp', 'pytorch_model_fsdp_0/__0_0.distcp'], 'pytorch_model_fsdp_0 holds weights and was left behind'],
  ])('warns where the trainer would not load the merged weights: %s', async (names, message) => {
    const output = await planned({ for: 'resume', optimizer: 'newest' }, run(names));
    expect(output.warnings.at(-1)).toMatchObject({ code: 'W_OPTIMIZER_NEWEST', message: expect.stringContaining(message) });
    expect(output.sideFiles.some((f) => f.name.startsWith('pytorch_model'))).toBe(false);
  });

  test('is refused where there is no state to copy, with everything else that is wrong', async () => {
    const inputs = run(['trainer_state.json', 'scheduler.pt']);
    const error = await planned({ for: 'resume', optimizer: 'newest' }, inputs).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'E_NO_OPTIMIZER',
      details: { file: inputs[1] },
      help: expect.stringContaining('`optimizer` drop'),
    });
    const mixed = [inputs[0]!, writeCheckpoint(at('checkpoint-300'), [[TENSORS[0]!]], 3)];
    const both = await planned({ for: 'resume', optimizer: 'newest' }, mixed).catch((e: unknown) => e);
    const { conflicts } = (both as { details: { conflicts: { code: string }[] } }).details;
    expect(conflicts.map((c) => c.code).sort()).toEqual(['E_NO_OPTIMIZER', 'E_TENSOR_EXTRA']);
  });

  test('as a single file has no place for state', async () => {
    const inputs = run().map((input) => join(input, 'model.safetensors'));
    await expect(planned({ path: at('out.safetensors'), for: 'resume', optimizer: 'newest' }, inputs)).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining('single file'),
    });
    expect(await planned({ path: at('out.safetensors'), for: 'resume' }, inputs)).toMatchObject({ dtype: 'F32', sideFiles: [] });
  });
});

test('optimizer is for resume only', async () => {
  for (const purpose of [undefined, 'inference'] as const) {
    for (const optimizer of ['drop', 'newest'] as const) {
      await expect(planned({ for: purpose, optimizer })).rejects.toMatchObject({
        code: 'E_OPTION',
        help: expect.stringContaining('for: resume'),
      });
    }
  }
  expect(await planned({ for: 'inference' })).toMatchObject({ dtype: null, purpose: 'inference', optimizer: null });
});

test('the base model is an id, or that of the Hub cache that all members lie in', async () => {
  await expect(planned({ baseModelId: '../my-model' })).rejects.toMatchObject({ code: 'E_OPTION' });
  expect(await planned({})).toMatchObject({ baseModelId: null });
  const inputs = ['aaa', 'bbb'].map((revision) => writeCheckpoint(at('hub/models--org--run/snapshots', revision), [TENSORS], 1));
  expect(await planned({}, inputs)).toMatchObject({ baseModelId: 'org/run' });
  expect(await planned({ baseModelId: 'other/name' }, inputs)).toMatchObject({ baseModelId: 'other/name' });
});

describe('large files', () => {
  test('pass through byte for byte', async () => {
    const content = Buffer.from(Uint8Array.from({ length: 9 * 2 ** 20 + 7 }, (_, i) => i * 31 + (i >> 11)));
    writeFileSync(at('optimizer.pt'), content);
    mkdirSync(at('to'));
    const file = { name: 'deep/er/optimizer.pt', ...(await lookAt(at('optimizer.pt'), at('optimizer.pt'))) };
    const sum = (bytes: Uint8Array, before: number) => crc32(bytes, before);
    expect(await copySideFiles([file], { dir: at('to'), shown: 'to' }, { sum })).toEqual([
      { name: file.name, bytes: content.length, crc: sum(content, 0) },
    ]);
    expect(readFileSync(at('to/deep/er/optimizer.pt')).equals(content)).toBe(true);
    await expect(copySideFiles([{ ...file, size: content.length - 1 }], { dir: at('to'), shown: 'to' })).rejects.toMatchObject({
      code: 'E_INPUT_CHANGED',
      details: { file: file.path },
    });
  });

  test('end in the middle on an abort, with its reason', async () => {
    writeFileSync(at('optimizer.pt'), Buffer.alloc(16 * 2 ** 20));
    const file = { name: 'optimizer.pt', ...(await lookAt(at('optimizer.pt'), at('optimizer.pt'))) };
    const abort = new AbortController();
    let asked = 0;
    const { signal } = abort;
    // The third time that the copy asks whether to go on, it is not to.
    signal.throwIfAborted = () => {
      if (++asked === 3) abort.abort('stop');
      AbortSignal.prototype.throwIfAborted.call(signal);
    };
    await expect(copySideFiles([file], { dir: at('to'), shown: 'to' }, { signal })).rejects.toBe('stop');
    const { size } = statSync(at('to/optimizer.pt'));
    expect(size).toBeGreaterThan(0);
    expect(size).toBeLessThan(16 * 2 ** 20);
  });
});
