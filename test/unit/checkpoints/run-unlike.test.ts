import { cpSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { discoverRun } from '../../../src/checkpoints/run/discover.ts';
import { resolveRecipe } from '../../../src/merge/members/resolve.ts';
import { type FixtureTensor, temporaryFolder } from '../../support/checkpoints.ts';
import { unpackGolden } from '../../support/containers.ts';
import { type DcpTensor, writeDcp } from '../../support/dcp-files.ts';
import { writeRun } from '../../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const runAt = (...parts: readonly string[]) => join(folder.path, 'run', ...parts);

/** Steps that are taken, and why others are left out. */
async function told(
  path: string,
  mixedDtypes = false,
): Promise<{ steps: (number | null)[]; left: Record<string, string>; lost: number[] }> {
  const { checkpoints, excluded, broken } = await discoverRun(path, { mixedDtypes });
  return {
    steps: checkpoints.map(({ step }) => step),
    left: Object.fromEntries(excluded.map((one) => [basename(one.path), one.reason])),
    lost: broken.map(({ step }) => step),
  };
}

/** torchtitan's own run, with `keep` of its steps. */
function torchtitan(...keep: readonly string[]): void {
  const golden = unpackGolden('torchtitan', join(folder.path, 'golden'));
  for (const name of keep) cpSync(join(golden, 'checkpoint', name), runAt(name), { recursive: true });
}
const modelOnly = (step: string) =>
  cpSync(join(unpackGolden('torchtitan-model-only', join(folder.path, 'only')), 'step-300'), runAt(step), { recursive: true });

const MODEL_ONLY =
  /^unlike the others of the run: the model alone, stored as BF16 where they are BF16\+F32, .* merges it, into a merge without `?(--)?for`? resume$/;

describe("torchtitan's last step, the model alone and cast whole", () => {
  it.each([
    ['its own', () => torchtitan('step-100', 'step-200', 'step-201'), [100, 200], 'step-201'],
    [
      "of torch's writer",
      () => {
        torchtitan('step-100', 'step-200');
        modelOnly('step-300');
      },
      [100, 200],
      'step-300',
    ],
    [
      'beside one other',
      () => {
        torchtitan('step-100');
        modelOnly('step-300');
      },
      [100],
      'step-300',
    ],
    [
      'between others, of a run that went on',
      () => {
        torchtitan('step-100', 'step-200');
        modelOnly('step-150');
      },
      [100, 200],
      'step-150',
    ],
  ])('%s', async (_what, make, steps, odd) => {
    make();
    const found = await told(runAt());
    expect(found.steps).toEqual(steps);
    expect(found.left).toEqual({ [odd]: expect.stringMatching(MODEL_ONLY) });
    expect(found.lost).toEqual([Number(odd.slice(5))]);
    expect((await told(runAt(), true)).left).toEqual({});
  });

  it('a merge says so, and merges it with --allow-mixed-dtypes', async () => {
    torchtitan('step-100', 'step-200', 'step-201');
    const recipe = { inputs: [runAt()], outputs: [{ path: join(folder.path, 'out'), select: { last: 2 } }] };
    const { inputs, outputs } = await resolveRecipe(recipe);
    expect(inputs.map((input) => (typeof input === 'string' ? input : input.step))).toEqual([100, 200]);
    const warning = outputs[0]!.selection?.warnings.find(({ code }) => code === 'W_LEFT_OUT_MEMBERS');
    expect(warning?.message).toMatch(/step-201 is newer than the newest member, step 200, and is left out/);
    expect(warning?.message).toMatch(/step-201: unlike .*allowMixedDtypes` merges it, into .*resume\nselect without it; /);
    const both = await resolveRecipe({ ...recipe, allowMixedDtypes: true });
    expect(both.inputs.map((input) => (typeof input === 'string' ? input : input.step))).toEqual([200, 201]);
    expect(both.outputs[0]!.selection?.warnings.map(({ code }) => code)).not.toContain('W_LEFT_OUT_MEMBERS');
  });

  it('named one by one it is taken as it is', async () => {
    torchtitan('step-100', 'step-201');
    const inputs = [runAt('step-100'), runAt('step-201')];
    expect((await resolveRecipe({ inputs, outputs: [{ path: join(folder.path, 'out') }] })).inputs).toHaveLength(2);
  });
});

const part = (...size: readonly number[]): DcpTensor => ({ shape: size, parts: [{ start: size.map(() => 0), size }] });
const MODEL = { 'layers.0.w.weight': part(4, 2), 'norm.weight': part(2) };
const TRAINED = { ...MODEL, 'optimizer.state.norm.weight.exp_avg': part(2) };
const HF: readonly FixtureTensor[] = [
  { name: 'model.layers.0.w.weight', dtype: 'F32', shape: [4, 2] },
  { name: 'model.norm.weight', dtype: 'F32', shape: [2] },
];

describe('what else stands alone in a run', () => {
  it('a step exported as safetensors under other names', async () => {
    for (const step of [100, 200]) writeDcp(runAt(`step-${step}`), { tensors: TRAINED });
    writeRun(runAt(), [{ name: 'step-300', shards: [HF] }]);
    const { steps, left } = await told(runAt());
    expect(steps).toEqual([100, 200]);
    expect(left['step-300']).toMatch(/^unlike the others of the run: 2 tensors of another model or of other names, where they have 2/);
  });

  it('a step exported as safetensors under the same names is one of them', async () => {
    for (const step of [100, 200]) writeDcp(runAt(`step-${step}`), { tensors: TRAINED });
    writeRun(runAt(), [{ name: 'step-300', shards: [HF.map(({ name, ...rest }) => ({ name: name.replace('model.', ''), ...rest }))] }]);
    expect((await told(runAt())).steps).toEqual([100, 200, 300]);
  });

  it('another model, whatever the container', async () => {
    const large = Object.fromEntries([0, 1, 2, 3].map((i) => [`layers.${i}.w.weight`, part(8, 4)]));
    for (const step of [100, 300]) writeDcp(runAt(`step-${step}`), { tensors: TRAINED });
    writeDcp(runAt('step-200'), { tensors: large });
    expect(await told(runAt())).toMatchObject({ steps: [100, 300], left: { 'step-200': expect.stringMatching(/4 tensors of another/) } });
    const safetensors = join(folder.path, 'safetensors');
    writeRun(safetensors, [
      { name: 'step-100', shards: [HF] },
      { name: 'step-200', shards: [HF.map((tensor) => ({ ...tensor, shape: [16] }))] },
      { name: 'step-300', shards: [HF] },
    ]);
    expect((await told(safetensors)).steps).toEqual([100, 300]);
  });

  it('a change that lasts is a change of the run: nothing is left out', async () => {
    writeRun(runAt(), [
      ...[100, 200, 300].map((step) => ({ name: `step-${step}`, shards: [HF] })),
      ...[400, 500].map((step) => ({ name: `step-${step}`, shards: [HF.map((tensor) => ({ ...tensor, shape: [16] }))] })),
    ]);
    expect((await told(runAt())).steps).toEqual([100, 200, 300, 400, 500]);
  });

  it('a model with a part more, and dtypes where nothing tells the model from the rest, are for the plan', async () => {
    writeRun(runAt(), [
      { name: 'step-100', shards: [HF] },
      { name: 'step-200', shards: [[...HF, { name: 'lm_head.weight', dtype: 'F32', shape: [4, 2] }]] },
      { name: 'step-300', shards: [HF] },
      { name: 'step-400', shards: [HF.map((tensor) => ({ ...tensor, dtype: 'BF16' as const }))] },
      { name: 'step-500', shards: [HF] },
    ]);
    expect((await told(runAt())).steps).toEqual([100, 200, 300, 400, 500]);
  });

  it('a folder of the optimizer alone, and of adapters', async () => {
    for (const step of [100, 200]) writeDcp(runAt(`step-${step}`), { tensors: TRAINED });
    writeDcp(runAt('step-300'), { tensors: { 'optimizer.state.norm.weight.exp_avg': part(2) } });
    const adapter = ['A', 'B'].map((which) => ({
      name: `base_model.model.layers.0.w.lora_${which}.weight`,
      dtype: 'F32' as const,
      shape: [2, 2],
    }));
    writeRun(runAt(), [{ name: 'step-400', shards: [adapter], files: { 'adapter_config.json': '{}' } }]);
    const { steps, left } = await told(runAt());
    expect(steps).toEqual([100, 200]);
    expect(left['step-300']).toBe("no model: its tensors are the optimizer's and the trainer's");
    expect(left['step-400']).toMatch(/^unlike the others of the run: 2 tensors/);
  });
});
