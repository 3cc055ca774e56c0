import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { MergeError } from '../../../src/base/errors.ts';
import { type AverageOptions, plan } from '../../../src/merge/average.ts';
import { planConversion } from '../../../src/merge/convert.ts';
import { containerNote } from '../../../src/merge/plan/container-note.ts';
import { planDocument } from '../../../src/merge/plan/document.ts';
import { sideFileLines } from '../../../src/merge/plan/side-file-lines.ts';
import { unpackGolden } from '../../support/containers.ts';
import { writeRun } from '../../support/run-trees.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A golden of its own, to be changed. */
let count = 0;
const fresh = (name: string): string => unpackGolden(name, join(folder, `${name}-${count++}`));
const unpacked = new Map<string, string>();
function golden(name: string): string {
  if (!unpacked.has(name)) unpacked.set(name, fresh(name));
  return unpacked.get(name)!;
}
const output = join(folder, 'out');

async function planned(inputs: readonly string[], options: Partial<AverageOptions>) {
  const made = await plan({ inputs, output, allowMixedDtypes: true, allowUnknown: true, ...options });
  return { note: containerNote(made), output: made.outputs[0]! };
}

async function refused(inputs: readonly string[], options: Partial<AverageOptions>): Promise<string> {
  const error = await planned(inputs, options).then(
    () => null,
    (thrown: MergeError) => thrown,
  );
  expect(error?.code).toBe('E_NO_OPTIMIZER');
  return `${error!.message}; ${error!.help}`;
}

const files = ({ sideFiles, composed }: Awaited<ReturnType<typeof planned>>['output']): string[] =>
  [...composed, ...sideFiles].map(({ name }) => name).sort();

const lines = async (options: Partial<AverageOptions>, inputs: readonly string[]): Promise<string[]> =>
  sideFileLines(planDocument(await plan({ inputs, output, ...options })).outputs[0]!);

/** Steps 100 and 200 of accelerate's golden. */
function accelerate(): [string, string] {
  const home = join(fresh('accelerate'), 'sharded');
  return [join(home, 'checkpoint-100'), join(home, 'checkpoint-200')];
}

describe('what an output of --for resume has of its trainer is said truly', () => {
  it('of a newest member without any: the model alone', async () => {
    const home = join(golden('torchtitan'), 'checkpoint');
    const inputs = [join(home, 'step-200'), join(home, 'step-201')];
    const { note } = await planned(inputs, { for: 'resume', optimizer: 'drop' });
    expect(note).toMatch(
      /: of the model alone, as the newest is; there is no optimizer state in it, so that the trainer has to start without it/,
    );
    expect(note).not.toMatch(/schedule/);
    expect(await refused(inputs, { for: 'resume' })).toMatch(/saved of the model alone; .*there will be none in the merge/);
  });

  it('of a file of torch.save without an optimizer, which keeps its other values', async () => {
    const home = golden('torch-resume');
    const { note } = await planned([join(home, 'ckpt_10.pt'), join(home, 'bare_20.pt')], {
      output: join(folder, 'out.pt'),
      for: 'resume',
      optimizer: 'drop',
    });
    expect(note).toMatch(/: the model and what else the newest has for its trainer; there is no optimizer state in it/);
    expect(note).toMatch(/\nthe schedule of the rate goes on where it was, .* needs a warm-up/);
  });

  it('of zeros: with the need for a warm-up', async () => {
    const home = golden('dcp-resume');
    const inputs = [join(home, '60'), join(home, '80')];
    expect((await planned(inputs, { for: 'resume', optimizer: 'drop' })).note).toMatch(/set to zeros and .*\n.* needs a warm-up/);
    expect((await planned(inputs, { for: 'resume' })).note).toMatch(/to train on: with the optimizer's state and [^\n]*$/);
    expect((await planned(inputs, {})).note).toMatch(/fresh optimizer; .*keeps the optimizer's state, to train on/);
  });

  it('of a conversion, which has no such options', async () => {
    const home = golden('dcp-resume');
    const made = await planConversion({ input: join(home, '60'), output, format: 'dcp' });
    expect(containerNote(made)).toMatch(/fresh optimizer$/);
  });
});

describe('how a trainer starts from an output of --for resume is said in its words', () => {
  const next = async (inputs: readonly string[], options: Partial<AverageOptions> = {}) =>
    planDocument(await plan({ inputs, output: 'out/x', allowMixedDtypes: true, allowUnknown: true, for: 'resume', ...options })).outputs[0]!
      .next;
  const steps = (home: string, ...names: string[]) => names.map((name) => join(golden(home), name));

  it.each<[string, string[], RegExp]>([
    ['megatron', ['iter_0000100', 'iter_0000200'], /^write 200 into out\/latest_checkpointed_iteration\.txt .*`--load` out$/],
    [
      'torchtitan',
      ['checkpoint/step-100', 'checkpoint/step-200'],
      /absolute path of out\/x as checkpoint\.initial_load_path and .*=False$/,
    ],
    ['olmo-core', ['step100', 'step200'], /out\/x as load_path, with a new save_folder$/],
    ['dcp-resume', ['60', '80'], /^dcp\.load\(state, checkpoint_id="out\/x"\), as of any other/],
    ['deepspeed-zero1', ['global_step100', 'global_step200'], /^engine\.load_checkpoint\("out", tag="x"\)$/],
  ])('of %s', async (home, names, said) => {
    expect(await next(steps(home, ...names))).toMatch(said);
  });

  it('without an optimizer, and as a model alone', async () => {
    const home = join(golden('torchtitan'), 'checkpoint');
    const last = [join(home, 'step-200'), join(home, 'step-201')];
    expect(await next(last, { optimizer: 'drop' })).toMatch(/with a state of the model alone|initial_load_path$/);
    const [a, b] = accelerate();
    const options = { output: 'out/x', format: 'safetensors', optimizer: 'drop' } as const;
    expect(await next([a, b], options)).toMatch(/^load out\/x as a model, and start the optimizer anew, with a warm-up/);
    expect(await next([a, b], { for: undefined })).toBeNull();
  });

  it('of a file of torch.save', async () => {
    const home = golden('torch-resume');
    const inputs = [join(home, 'ckpt_10.pt'), join(home, 'ckpt_20.pt')];
    expect(await next(inputs, { output: 'out/x.pt' })).toBe('torch.load("out/x.pt"), as of any other of its files');
  });
});

it('a newest of DeepSpeed without moments has none to keep, and that is said', async () => {
  const home = golden('deepspeed-zero1');
  const inputs = [join(home, 'global_step100'), join(home, 'global_step200')];
  for (const optimizer of ['newest', 'drop'] as const) {
    const { note, output: made } = await planned(inputs, { for: 'resume', optimizer });
    expect(made.kept?.optimizer).toBe('no moments');
    expect(note).toMatch(/the newest has no moments of the optimizer.*\n.*needs a warm-up/);
    expect(note).not.toContain("the optimizer's state");
  }
});

it('what a merge of a Hugging Face folder leaves of its trainer is said in plan and note', async () => {
  const inputs = [1, 2].map((step) => {
    const path = join(folder, `hf-${count++}`, `checkpoint-${step}`);
    writeRun(path, [{ name: '.', step, seed: step, files: { 'optimizer.pt': 'o', 'scheduler.pt': 's', 'rng_state.pth': 'r' } }]);
    return path;
  });
  const { note } = await planned(inputs, { for: 'resume' });
  expect(note).toMatch(
    /left behind of the newest's trainer: optimizer\.pt, rng_state\.pth, scheduler\.pt, .*optimizer.{1,4}newest copies them/,
  );
  expect((await lines({ for: 'resume' }, inputs)).join()).toMatch(/leaves behind optimizer\.pt \(training state\), rng_state\.pth/);
  expect((await planned(inputs, { for: 'resume', optimizer: 'newest' })).note).toBeNull();
  const next = async () => planDocument(await plan({ inputs, output: 'out/x', for: 'resume', optimizer: 'newest' })).outputs[0]!.next;
  expect(await next()).toMatch(/^give out\/x to transformers' Trainer as resume_from_checkpoint/);
  // Accelerate's own optimizer is not what transformers looks for.
  renameSync(join(inputs[1]!, 'optimizer.pt'), join(inputs[1]!, 'optimizer.bin'));
  expect(await next()).toBeNull();
  expect((await planned(inputs, {})).note).toBeNull();
  expect((await lines({}, inputs)).join()).not.toContain('optimizer.pt');
});

describe('what a trainer keeps beside its checkpoint of DCP', () => {
  it('comes along: the meta.pt of Lightning', async () => {
    const home = join(golden('lightning'), 'sharded');
    const inputs = [10, 20].map((step) => join(home, `epoch=0-step=${step}.ckpt`));
    for (const options of [{}, { for: 'resume' as const }]) {
      expect(files((await planned(inputs, options)).output)).toContain('meta.pt');
    }
  });

  it('comes along: the optimizer of accelerate, its schedulers, generators and steps', async () => {
    const inputs = accelerate();
    for (const name of ['scheduler.bin', 'random_states_0.pkl', 'sampler.bin', 'dataloader_state_0.pt'])
      writeFileSync(join(inputs[1], name), 'x');
    const { note, output: made } = await planned(inputs, { for: 'resume' });
    expect(note).toMatch(/to train on: with the optimizer's state/);
    expect(note).not.toMatch(/left behind/);
    expect(files(made)).toEqual(
      [
        ...['dataloader_state_0.pt', 'optimizer_0/.metadata', 'optimizer_0/__0_0.distcp', 'optimizer_0/__1_0.distcp'],
        ...['pytorch_model_fsdp_0/.metadata', 'random_states_0.pkl', 'rng_state_0.pth', 'rng_state_1.pth', 'sampler.bin'],
        ...['scheduler.bin', 'scheduler.pt', 'trainer_state.json'],
      ].sort(),
    );
    expect(made.left.map(({ name }) => name)).not.toContain('scheduler.pt');
  });

  it('is left behind and named where it is dropped, or nothing is known of it', async () => {
    const inputs = accelerate();
    writeFileSync(join(inputs[1], 'ema.pt'), 'x');
    mkdirSync(join(inputs[1], 'plugin'));
    const { note, output: made } = await planned(inputs, { for: 'resume', optimizer: 'drop' });
    expect(note).toMatch(/the optimizer's state is left out, so that .*; left behind beside it: ema\.pt, optimizer_0, plugin\n/);
    expect(files(made)).toContain('scheduler.pt');
    expect(files(made)).not.toContain('optimizer_0/.metadata');
  });

  it('is not averaged, and not taken from elsewhere', async () => {
    const inputs = accelerate();
    expect(await refused(inputs, { for: 'resume', optimizer: 'average' })).toMatch(/beside its weights, in optimizer_0, .* not averaged/);
    const elsewhere = join(folder, 'elsewhere');
    renameSync(join(inputs[1], 'optimizer_0'), elsewhere);
    symlinkSync(elsewhere, join(inputs[1], 'optimizer_0'));
    expect(await refused(inputs, { for: 'resume' })).toMatch(/optimizer_0 leads to .*elsewhere, outside the checkpoint/);
  });

  it('is said to lie around a folder of weights', async () => {
    const inputs = accelerate().map((path) => join(path, 'pytorch_model_fsdp_0'));
    expect(await refused(inputs, { for: 'resume' })).toMatch(/lies in .*checkpoint-200\/optimizer_0; Name .*checkpoint-200 instead/);
  });
});

describe('an optimizer in files that are not written', () => {
  const resume = { for: 'resume', optimizer: 'newest' } as const;

  it.each([
    ['deepspeed-zero1', ['global_step100', 'global_step200'], 'bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt'],
    ['fsdp-rank-pt', ['global_step_100/actor', 'global_step_200/actor'], 'optim_world_size_2_rank_0.pt'],
  ] as const)('of %s is said to be there', async (name, steps, file) => {
    const inputs = steps.map((step) => join(golden(name), step));
    if (name === 'fsdp-rank-pt') writeFileSync(join(inputs[1]!, file), 'x');
    expect(await refused(inputs, { ...resume, format: 'safetensors' })).toMatch(
      new RegExp(`has its optimizer state in ${file}.* are not written here; .*start the optimizer anew`),
    );
  });

  it('is not claimed of a checkpoint without one', async () => {
    const home = join(golden('torchtitan'), 'checkpoint');
    const inputs = [join(home, 'step-200'), join(home, 'step-201')];
    expect(await refused(inputs, { ...resume, format: 'safetensors' })).toMatch(/step-201, .* has no optimizer state to copy/);
  });
});

it('what is written anew is not said to be copied, or left behind', async () => {
  const home = golden('megatron');
  const inputs = ['iter_0000100', 'iter_0000200'].map((step) => join(home, step));
  const said = await lines({}, inputs);
  expect(said).toEqual([
    expect.stringMatching(/^ {2}writes .*integrity\.json, \.metadata$/),
    expect.stringMatching(/^ {2}copies .*metadata\.json$/),
  ]);
  expect(said.join()).not.toMatch(/copies [^,]*distcp|leaves behind/);
});

describe('averaged moments in an output that has no place for them', () => {
  const asked = { for: 'resume', optimizer: 'average', format: 'safetensors' } as const;
  const helpOf = async (inputs: readonly string[], options: Partial<AverageOptions> = {}): Promise<string> =>
    planned(inputs, { ...asked, ...options }).then(
      () => '',
      (error: MergeError) => `${error.code} ${error.message} ${error.help}`,
    );

  it('are asked for in the container of the members', async () => {
    const [dcp, torch, folders] = [golden('dcp-resume'), golden('torch-resume'), golden('torch-bin')];
    expect(await helpOf([join(dcp, '60'), join(dcp, '80')])).toMatch(
      /^E_OPTION .*this output is safetensors Write it as its members are, with `?format`?: dcp/,
    );
    expect(await helpOf([join(torch, 'ckpt_10.pt'), join(torch, 'ckpt_20.pt')])).toMatch(
      /name OUT\.pt and leave out `?format`?: safetensors/,
    );
    expect(await helpOf([join(folders, '100'), join(folders, '200')])).toMatch(
      /Leave the option out: these members are no such checkpoints/,
    );
    expect(await helpOf([join(torch, 'ckpt_10.pt'), join(torch, 'ckpt_20.pt')], { optimizer: 'newest', extraState: 'newest' })).toMatch(
      /Leave the option out/,
    );
  });
});

it('values beside the tensors have a row, of the model alone as well', async () => {
  const [torch, megatron] = [golden('torch-resume'), golden('megatron')];
  const row = async (inputs: readonly string[], options: Partial<AverageOptions> = {}): Promise<string | undefined> =>
    (await planned(inputs, options)).output.treatments.find(({ treatment }) => treatment.startsWith('of the newest: '))?.treatment;
  const files = [join(torch, 'ckpt_10.pt'), join(torch, 'ckpt_20.pt')];
  expect(await row(files, { output: join(folder, 'o.pt') })).toBe('of the newest: step, args');
  expect(await row(files, { output: join(folder, 'o.pt'), for: 'resume' })).toBe(
    'of the newest: optimizer.param_groups, lr_scheduler, step, args',
  );
  expect(await row(['iter_0000100', 'iter_0000200'].map((step) => join(megatron, step)))).toMatch(/^of the newest: common_state/);
});
