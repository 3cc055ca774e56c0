import { cpSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MergeError } from '../../../src/base/errors.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { discoverRun, isRunFolder } from '../../../src/checkpoints/run/discover.ts';
import { mayBeSaving, NO_STEP } from '../../../src/checkpoints/run/reasons.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { unpackGolden } from '../../support/containers.ts';
import { writeDcp } from '../../support/dcp-files.ts';
import { writeTree } from '../../support/run-trees.ts';
import { mergeError, smallFile } from '../../support/safetensors.ts';
import { dictOf, number, op, pickle, tensor, torchFiles, tupleOf, zipOf } from '../../support/torch-files.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const runAt = (...parts: readonly string[]) => join(folder.path, 'run', ...parts);
/** A checkpoint of a golden at a place in the run. */
function put(golden: string, checkpoint: string, ...to: readonly string[]): void {
  cpSync(join(unpackGolden(golden, join(folder.path, golden)), checkpoint), runAt(...to), { recursive: true });
}
/** A file of torch.save with these values by key. */
const saved = (values: Readonly<Record<string, Uint8Array>>) => zipOf(torchFiles(pickle(dictOf(values))));
const MODEL = saved({ w: tensor() });
const OPTIMIZER = saved({ state: dictOf({ exp_avg: tensor() }) });
/** Steps with their tokens, what is left out, and what ought to be there. */
async function listed(path = runAt()) {
  const { checkpoints, excluded, broken } = await discoverRun(path);
  return {
    steps: checkpoints.map(({ step, tokens }) => (tokens === null ? step : [step, tokens])),
    left: Object.fromEntries(excluded.map((one) => [basename(one.path), one.reason])),
    lost: broken.map(({ step }) => step),
  };
}

describe('files of torch.save as steps', () => {
  it("Composer's, with what its timestamp says", async () => {
    const took = Buffer.concat([op.global('datetime', 'timedelta'), tupleOf(number(0), number(9), number(5)), op.reduce]);
    const at = (batch: number) =>
      saved({
        state: dictOf({
          model: dictOf({ w: tensor() }),
          optimizers: dictOf({ AdamW: dictOf({ w: tensor() }) }),
          timestamp: dictOf({ Timestamp: dictOf({ batch: number(batch), token: number(batch * 4096), total_wct: took }) }),
          composer_env_info: dictOf({
            torch: Buffer.concat([op.global('torch.torch_version', 'TorchVersion'), tupleOf(op.text('2.15.0')), op.newObject]),
          }),
        }),
      });
    writeTree(runAt(), { 'ep0-ba20-rank0.pt': at(20), 'ep0-ba40-rank0.pt': at(40), 'latest-rank0.pt': { link: 'ep0-ba40-rank0.pt' } });
    expect((await listed()).steps).toEqual([
      [20, 81_920],
      [40, 163_840],
    ]);
    expect(await isRunFolder(runAt())).toBe(true);
  });

  it("Lightning's, whose optimizer is none of the model", async () => {
    const at = (step: number) =>
      saved({
        global_step: number(step),
        state_dict: dictOf({ 'model.w': tensor() }),
        optimizer_states: Buffer.concat([op.emptyList, dictOf({ exp_avg: tensor() }), op.append]),
      });
    writeTree(runAt(), { 'epoch=0-step=100.ckpt': at(100), 'epoch=1-step=200.ckpt': at(200), 'last.ckpt': at(200) });
    expect((await listed()).steps).toEqual([100, 200]);
    const { shards } = await openCheckpoint(runAt('epoch=0-step=100.ckpt'));
    expect(shards.flatMap(({ tensors }) => tensors.names.map((name, row) => [name, tensors.sections![row]]))).toEqual([
      ['state_dict.model.w', 0],
      ['optimizer_states.0.exp_avg', 1],
    ]);
  });

  it('a series, with files of the optimizer beside it', async () => {
    writeTree(runAt(), {
      'model_step1000.pt': MODEL,
      'model_step2000.pt': MODEL,
      'optimizer_step1000.pt': OPTIMIZER,
      'optimizer_step2000.pt': OPTIMIZER,
    });
    expect((await listed()).steps).toEqual([1000, 2000]);
    const { code, message } = await mergeError(() => openCheckpoint(runAt()));
    expect([code, message]).toEqual(['E_NO_CHECKPOINT', expect.stringContaining('is the folder of a run (model_step1000.pt')]);
  });

  it('files whose names give no step, with the reason', async () => {
    const at = (step: number) => saved({ global_step: number(step), state_dict: dictOf({ w: tensor() }) });
    writeTree(runAt(), {
      'ckpt_100.pt': at(100),
      'ckpt_200.pt': at(200),
      'latest.pt': MODEL,
      'last.pt': at(300),
      'best.pt': at(100),
      'model_final.pt': MODEL,
      'model_ema.pt': MODEL,
      'final.safetensors': smallFile('w'),
      'optimizer.pt': saved({ state: dictOf({ '0': dictOf({ exp_avg: tensor() }) }), param_groups: op.emptyList }),
      'training_args.bin': MODEL,
      'metrics.pt': saved({ loss: number(3) }),
    });
    const { checkpoints, excluded, warnings } = await discoverRun(runAt());
    // Of a file as of a folder: what its own state says is believed.
    expect(checkpoints.map(({ step, path }) => [step, basename(path)])).toEqual([
      [100, 'ckpt_100.pt'],
      [200, 'ckpt_200.pt'],
      [300, 'last.pt'],
    ]);
    expect(Object.fromEntries(excluded.map(({ path, reason }) => [basename(path), reason]))).toEqual({
      'latest.pt': 'a copy of the newest checkpoint, by its name',
      'best.pt': 'at the same step as ckpt_100, which is kept',
      'model_final.pt': NO_STEP,
      'model_ema.pt': 'an average that the trainer kept (EMA), by its name',
      'final.safetensors': NO_STEP,
      'optimizer.pt': "no model: its tensors are the optimizer's and the trainer's",
    });
    expect(warnings).toEqual([]);
  });

  it.each([
    ['fsdp-rank-pt', 'global_step_100'],
    ['accelerate', 'sharded/checkpoint-100'],
    ['accelerate', 'full/checkpoint-100'],
    ['deepspeed-universal', 'global_step100_universal'],
    ['lightning', 'sharded/epoch=0-step=10.ckpt'],
    ['megatron', 'iter_0000100'],
    ['torch-bin', '100'],
  ])('the folder of a step is no run: %s, %s', async (golden, step) => {
    put(golden, step, step);
    const { code, message } = await mergeError(() => discoverRun(runAt(step)));
    expect([code, message]).toEqual(['E_NO_RUN', `${runAt(step)}: is a checkpoint itself, not the folder of a run`]);
  });

  it('a file that is named without its extension is named in full', async () => {
    writeTree(runAt(), { 'ckpt_100.pt': MODEL });
    const { code, help } = await mergeError(() => openCheckpoint(runAt('ckpt_100')));
    expect([code, help]).toEqual(['E_NOT_FOUND', `Name it with its extension: ${runAt('ckpt_100.pt')}`]);
  });

  it('a universal checkpoint is told with two ways, and not with one for the other', async () => {
    put('deepspeed-universal', 'global_step100_universal', 'global_step100_universal');
    const { help } = await mergeError(() => openCheckpoint(runAt('global_step100_universal')));
    expect(help).toContain('on the checkpoint that ds_to_universal.py was given; or put its files into one: `python -c');
  });

  it('files of weights of which none gives a step are told of', async () => {
    writeTree(runAt(), { 'model_a.pt': MODEL, 'model_b.pt': MODEL });
    const { code, message, help } = await mergeError(() => discoverRun(runAt()));
    expect([code, message]).toEqual(['E_NO_RUN', expect.stringContaining(NO_STEP)]);
    expect(help).toContain('Name the checkpoints one by one');
  });

  it('one that is none says what it is', async () => {
    const old = Buffer.concat([Buffer.from('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19', 'latin1'), Buffer.alloc(64)]);
    const script = zipOf([
      { name: 'm/data.pkl', data: pickle(dictOf({})) },
      { name: 'm/code/__torch__.py', data: Buffer.from('x'), method: 8 },
      { name: 'm/constants.pkl', data: pickle(dictOf({})) },
    ]);
    const numpy = zipOf([{ name: 'w.npy', data: Buffer.from('\x93NUMPY', 'latin1') }]);
    writeTree(runAt(), {
      'step10.pt': MODEL,
      'step20.pt': old,
      'step30.pt': script,
      'step40.pt': numpy,
      'step50.pt': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n',
      'step60.pt': saved({ w: tensor({ rebuild: ['torch._utils', '_rebuild_qtensor'] }) }),
      'step70.pt': saved({ w: tensor({ rebuild: ['torch._utils', '_rebuild_sparse_tensor'] }) }),
      'step80.gguf': 'GGUF',
      'step90.npz': numpy,
    });
    const { steps, left, lost } = await listed();
    expect(steps).toEqual([10]);
    expect(lost).toEqual([20, 30, 40, 50, 60, 70, 80, 90]);
    expect(left).toEqual({
      'step20.pt': expect.stringMatching(
        /^not usable: is in the form that torch\.save had before version 1\.6.*save it again with torch\.save/,
      ),
      'step30.pt': 'not usable: is a TorchScript module, and no saved weights',
      'step40.pt': 'not usable: is an archive of numpy (.npz)',
      'step50.pt': expect.stringContaining('Git LFS pointer'),
      'step60.pt': 'not usable: w is quantised: save it with .dequantize()',
      'step70.pt': 'not usable: w is sparse: save it with .to_dense()',
      'step80.gguf': expect.stringMatching(/^GGUF, which is not read; convert it with/),
      'step90.npz': expect.stringMatching(/^NumPy/),
    });
  });
});

describe('folders of torch.save', () => {
  it.each([
    ['a model and its optimizer', { 'model.pt': MODEL, 'optimizer.pt': OPTIMIZER }],
    ['OLMo unsharded', { 'model.pt': MODEL, 'optim.pt': OPTIMIZER, 'train.pt': OPTIMIZER, 'config.yaml': '' }],
    ["accelerate's FSDP, gathered", { 'pytorch_model_fsdp.bin': MODEL, 'optimizer.bin': OPTIMIZER, 'scheduler.bin': OPTIMIZER }],
    ["Meta's Llama in one part", { 'consolidated.00.pth': MODEL, 'params.json': '{}' }],
  ])('%s', async (_what, files) => {
    for (const step of ['step100', 'step200']) writeTree(runAt(step), files);
    expect(await listed()).toEqual({ steps: [100, 200], left: {}, lost: [] });
    expect((await openCheckpoint(runAt('step100'))).tensorCount).toBe(1);
  });

  it("Megatron-LM's of a single rank, with what it says of itself", async () => {
    const of = (step: number) =>
      saved({
        iteration: number(step),
        args: Buffer.concat([
          op.global('argparse', 'Namespace'),
          op.emptyTuple,
          op.newObject,
          dictOf({ consumed_train_samples: number(step * 8), seq_length: number(512) }),
          op.build,
        ]),
        model: dictOf({ w: tensor() }),
        optimizer: dictOf({ w: tensor() }),
      });
    for (const step of [100, 200]) writeTree(runAt(`iter_0000${step}`), { 'mp_rank_00/model_optim_rng.pt': of(step) });
    writeFileSync(runAt('latest_checkpointed_iteration.txt'), '200\n');
    expect(await listed()).toEqual({
      steps: [
        [100, 100 * 8 * 512],
        [200, 200 * 8 * 512],
      ],
      left: {},
      lost: [],
    });
  });

  it("DeepSpeed's, alone and inside the Trainer's", async () => {
    for (const step of ['global_step100', 'global_step200']) put('deepspeed-zero1', step, step);
    writeTree(runAt(), { latest: 'global_step200', 'zero_to_fp32.py': '' });
    expect(await listed()).toEqual({ steps: [100, 200], left: {}, lost: [] });
    const trainer = join(folder.path, 'trainer');
    cpSync(runAt('global_step100'), join(trainer, 'checkpoint-100/global_step100'), { recursive: true });
    writeTree(join(trainer, 'checkpoint-100'), { latest: 'global_step100', 'trainer_state.json': '{"global_step": 100}' });
    expect((await listed(trainer)).steps).toEqual([100]);
  });

  it("DeepSpeed's ZeRO 3 and universal are named, with the command", async () => {
    put('deepspeed-zero3', 'global_step100', 'global_step100');
    put('deepspeed-universal', 'global_step200_universal', 'global_step200_universal');
    const help = async (path: string): Promise<MergeError> => mergeError(() => openCheckpoint(path));
    expect(await help(runAt('global_step100'))).toMatchObject({
      code: 'E_NO_CHECKPOINT',
      message: expect.stringContaining('is a checkpoint of DeepSpeed ZeRO-3'),
      help: expect.stringContaining(`python ${runAt('zero_to_fp32.py')} ${runAt()} OUT --safe_serialization --tag global_step100`),
    });
    expect(await help(runAt('global_step200_universal'))).toMatchObject({
      message: expect.stringContaining('is a checkpoint of DeepSpeed universal'),
      help: expect.stringContaining(`${runAt('global_step200_universal/zero')} OUT.safetensors`),
    });
    const { excluded } = (await mergeError(() => discoverRun(runAt()))).details;
    expect(excluded).toMatchObject([{ step: 100 }, { step: 200 }]);
  });

  it("verl's, with a critic beside the actor", async () => {
    for (const step of ['100', '200']) {
      put('fsdp-rank-pt', `global_step_${step}/actor`, `global_step_${step}`, 'actor');
      put('fsdp-rank-pt', `global_step_${step}/actor`, `global_step_${step}`, 'critic');
      writeFileSync(runAt(`global_step_${step}`, 'data.pt'), 'x');
    }
    writeFileSync(runAt('latest_checkpointed_iteration.txt'), '200');
    expect(await listed()).toEqual({ steps: [100, 200], left: {}, lost: [] });
  });
});

describe('torch.distributed', () => {
  it("Megatron-core's, a save that goes on, and a tracker that is ahead", async () => {
    for (const step of ['iter_0000100', 'iter_0000200']) put('megatron', step, step);
    put('megatron', 'iter_0000200/__0_0.distcp', 'iter_0000300/__0_0.distcp');
    writeFileSync(runAt('latest_checkpointed_iteration.txt'), '400\n');
    expect(await listed()).toEqual({
      steps: [100, 200],
      left: {
        iter_0000300: 'incomplete: .metadata: is not there: the save goes on, or was broken off',
        iter_0000400: 'not there, and latest_checkpointed_iteration.txt names it as the newest',
      },
      lost: [300, 400],
    });
    // What is there is no news, and what it names of old was removed.
    for (const said of ['300', '200', '50', 'release', '']) {
      writeFileSync(runAt('latest_checkpointed_iteration.txt'), said);
      expect((await listed()).lost).toEqual([300]);
    }
  });

  it("torchtitan's, with unfinished saves and a rank that is missing", async () => {
    for (const step of ['step-100', 'step-200']) put('torchtitan', `checkpoint/${step}`, 'checkpoint', step);
    writeTree(runAt('checkpoint'), {
      'step-300/__0_0.distcp': 'x',
      'step-300/.metadata.tmp': 'x',
      'step-350/__0_0.distcp': 'x',
      '../tb/events': '',
    });
    put('torchtitan', 'checkpoint/step-200', 'checkpoint', 'step-400');
    rmSync(runAt('checkpoint/step-400/__1_0.distcp'));
    expect(await listed(runAt('checkpoint'))).toEqual({
      steps: [
        [100, 409_600],
        [200, 819_200],
      ],
      left: {
        'step-300': expect.stringMatching(/^incomplete: \.metadata: is not there/),
        'step-350': expect.stringMatching(/^incomplete: \.metadata: is not there/),
        'step-400': 'incomplete: .metadata names __1_0.distcp, and it is not there',
      },
      lost: [300, 350, 400],
    });
    expect((await mergeError(() => discoverRun(runAt()))).help).toContain(runAt('checkpoint'));
  });

  it('of steps that describe the same what differs is seen all the same', async () => {
    for (const step of [100, 200, 300, 400]) put('torchtitan', 'checkpoint/step-100', `step-${step}`);
    put('torchtitan', 'checkpoint/step-200', 'step-200');
    put('torchtitan', 'checkpoint/step-200', 'step-500');
    const cut = (file: string, bytes: number): void => truncateSync(runAt(file), statSync(runAt(file)).size - bytes);
    cut('step-300/__1_0.distcp', 10);
    cut('step-400/.metadata', 10);
    const { checkpoints, excluded, warnings } = await discoverRun(runAt());
    expect(checkpoints.map(({ step, tokens, dtypes }) => [step, tokens, dtypes])).toEqual([
      [100, 409_600, ['BF16', 'F32']],
      [200, 819_200, ['BF16', 'F32']],
    ]);
    expect(Object.fromEntries(excluded.map(({ path, reason }) => [basename(path), reason]))).toEqual({
      'step-300': expect.stringMatching(/^incomplete: __1_0\.distcp/),
      'step-400': expect.stringMatching(/\.metadata ends before its STOP|\.metadata/),
      // What the trainer says is believed against a name.
      'step-500': 'at the same step as step-200, which is kept',
    });
    expect(warnings.map(({ code }) => code)).toContain('W_TRAINER_STATE');
  });

  it("OLMo-core's, with a temporary folder and a link to the newest", async () => {
    for (const step of ['step100', 'step200']) put('olmo-core', step, step);
    put('olmo-core', 'step200', 'step300-tmp');
    symlinkSync('step200', runAt('latest'));
    expect(await listed()).toEqual({
      steps: [
        [100, 409_600],
        [200, 819_200],
      ],
      left: { 'step300-tmp': 'temporary, by its name: a save in progress or one that was interrupted' },
      lost: [300],
    });
  });

  it('NeMo 2, with its mark of a save that goes on', async () => {
    const name = (step: number) => `model_name--val_loss=1.5${step}-step=${step}-consumed_samples=${step * 8}.0`;
    for (const step of [100, 200]) {
      put('megatron', `iter_0000${step}`, name(step), 'weights');
      mkdirSync(runAt(name(step), 'context'));
    }
    put('megatron', 'iter_0000200', `${name(200)}-last`, 'weights');
    put('megatron', 'iter_0000200', name(300), 'weights');
    writeFileSync(runAt(`${name(300)}-unfinished`), '');
    const { steps, left, lost } = await listed();
    expect([steps, lost]).toEqual([[100, 200], [300]]);
    expect(left).toEqual({
      [`${name(200)}-last`]: expect.any(String),
      [name(300)]: `a save in progress or one that was interrupted: ${name(300)}-unfinished lies beside it`,
    });
    expect(mayBeSaving(left[name(300)]!)).toBe(true);
  });

  it('what each rank describes alone, and items in another format, are named', async () => {
    const tensors = { w: { shape: [2], parts: [{ start: [0], size: [2] }] } };
    for (const step of [100, 200, 300]) writeDcp(runAt(`step-${step}`), { tensors });
    renameSync(runAt('step-200/.metadata'), runAt('step-200/__0.metadata'));
    writeFileSync(runAt('step-300/__0_0.distcp'), Buffer.concat([smallFile('w'), Buffer.alloc(2000)]));
    const { steps, left } = await listed();
    expect(steps).toEqual([100]);
    expect(left['step-200']).toMatch(/each rank describes its own items: it was saved with use_collectives=False/);
    expect(left['step-300']).toMatch(/no archives of torch\.save: it was saved with SerializationFormat\.SAFETENSORS/);
  });
});
