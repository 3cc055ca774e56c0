import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AverageOptions, plan, recipeOf } from '../../../src/merge/average.ts';
import { resolveRecipe } from '../../../src/merge/members/resolve.ts';
import type { PlanInput } from '../../../src/merge/plan/types.ts';
import type { Recipe, RecipeOutput } from '../../../src/recipe/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const TENSORS: FixtureTensor[] = [{ name: 'w', dtype: 'BF16', shape: [8] }];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/** A run folder with these steps. */
function run(steps: readonly number[], name = 'run'): string {
  for (const step of steps) writeCheckpoint(at(name, `checkpoint-${step}`), [TENSORS], step);
  return at(name);
}

const steps = (from: number, to: number, by = 100) => Array.from({ length: (to - from) / by + 1 }, (_, i) => from + i * by);
const recipe = (inputs: string | readonly string[], ...outputs: readonly RecipeOutput[]): Recipe => ({
  inputs: typeof inputs === 'string' ? [inputs] : inputs,
  outputs,
});
/** Steps of a request's inputs. */
const stepsOf = (inputs: readonly (string | PlanInput)[]) => inputs.map((input) => (typeof input === 'string' ? null : input.step));

describe('a recipe over a run', () => {
  it('has the union of all members as inputs, in the order of the run, and outputs name theirs', async () => {
    const request = await resolveRecipe(
      recipe(
        run(steps(100, 1000)),
        { path: 'a', select: { last: 3 }, method: 'ema', alpha: 0.5 },
        { path: 'b', select: { steps: [200, 900] } },
        { path: 'c', select: { last: 2, every: '200steps' }, dtype: 'F32' },
      ),
    );
    expect(stepsOf(request.inputs)).toEqual([200, 800, 900, 1000]);
    expect(request.ordered).toBe(true);
    expect(request.outputs.map(({ path, members }) => [path, members])).toEqual([
      ['a', [1, 2, 3]],
      ['b', [0, 2]],
      ['c', [1, 3]],
    ]);
    expect(request.outputs).toMatchObject([{ method: 'ema', alpha: 0.5 }, {}, { dtype: 'F32' }]);
    const [a] = request.outputs;
    expect(a).not.toHaveProperty('select');
    expect(a!.selection!.excluded.map(({ step }) => step)).toEqual(steps(100, 700));
    expect(a!.selection!.siblings).toBe(false);
  });

  it('without a selection all complete checkpoints take part, and the notes say so', async () => {
    const request = await resolveRecipe(recipe(run([1000, 2000, 10_000]), { path: 'a' }));
    expect(stepsOf(request.inputs)).toEqual([1000, 2000, 10_000]);
    expect(request.outputs[0]!.members).toEqual([0, 1, 2]);
    expect(request.outputs[0]!.selection!.notes).toContain('no selection: all 3 complete checkpoints take part');
    const chosen = await resolveRecipe(recipe(at('run'), { path: 'a', select: { last: 3 } }));
    expect(chosen.outputs[0]!.selection!.notes.join()).not.toContain('no selection');
  });

  it('slides a window over what the other conditions leave', async () => {
    const sliding = { path: 'w-{step}', sliding: true, select: { last: 3, from: 300, every: '200steps' } };
    const request = await resolveRecipe(recipe(run(steps(100, 1100)), sliding));
    expect(stepsOf(request.inputs)).toEqual([300, 500, 700, 900, 1100]);
    expect(request.outputs.map(({ path, members }) => [path, members])).toEqual([
      ['w-700', [0, 1, 2]],
      ['w-900', [1, 2, 3]],
      ['w-1100', [2, 3, 4]],
    ]);
    await expect(resolveRecipe(recipe(at('run'), { ...sliding, select: { last: 7, from: 600 } }))).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining('a window of 7 checkpoints does not fit: the selection leaves 6'),
    });
  });

  it("names outputs by the newest member's step and tokens", async () => {
    const options = { ...recipe(run(steps(100, 300)), { path: 'w-{step}-{tokens}', select: { last: 2 } }), tokensPerStep: '4M' };
    const request = await resolveRecipe(options);
    expect(request.outputs[0]!.path).toBe('w-300-1.2B');
    expect(request.inputs).toMatchObject([{ tokens: 800e6 }, { tokens: 1.2e9 }]);
    await expect(resolveRecipe({ ...options, tokensPerStep: undefined })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining('{tokens}'),
    });
  });

  it('takes the last of each of several runs as siblings', async () => {
    const runs = [run([100, 200], 'seed-1'), run([100, 300], 'seed-2')];
    const request = await resolveRecipe(recipe(runs, { path: 'a' }));
    expect(request.inputs.map((input) => relative(folder.path, (input as PlanInput).path))).toEqual([
      'seed-1/checkpoint-200',
      'seed-2/checkpoint-300',
    ]);
    expect(request.outputs[0]).toMatchObject({ members: [0, 1], selection: { siblings: true } });
    await expect(resolveRecipe(recipe(runs, { path: 'a-{step}', sliding: true, select: { last: 1 } }))).rejects.toMatchObject({
      exitCode: 2,
    });
    await expect(resolveRecipe(recipe(runs, { path: 'a', preset: 'pma' }))).rejects.toMatchObject({
      code: 'E_OPTION',
      message: 'the preset pma is for one run, and there are 2',
    });
  });

  it('the preset decides what the output leaves open', async () => {
    const run = new URL('../../../demo/runs/dense', import.meta.url).pathname;
    const own = await resolveRecipe(recipe(run, { path: 'a', preset: 'pma', select: { last: 2 } }));
    expect(own.outputs[0]!.members).toHaveLength(2);
    const preset = await resolveRecipe(recipe(run, { path: 'a', preset: 'pma' }));
    expect(preset.outputs[0]!.members!.length).toBeGreaterThan(2);
    expect(preset.outputs[0]!.selection!.notes.join('\n')).toMatch(/dense model/);
  });

  it('a run in whose folder the final model lies is a run where members are selected, and is asked about alone', async () => {
    const both = run([100, 200]);
    writeCheckpoint(both, [TENSORS], 9);
    const { inputs } = await resolveRecipe(recipe(both, { path: 'a', select: { last: 2 } }));
    expect(stepsOf(inputs)).toEqual([100, 200]);
    await expect(resolveRecipe(recipe(both, { path: 'a' }))).rejects.toMatchObject({ code: 'E_AMBIGUOUS', details: { file: both } });
    const other = run([300], 'other');
    expect((await resolveRecipe(recipe([both, join(other, 'checkpoint-300')], { path: 'a' }))).inputs).toHaveLength(2);
  });

  it('runs and checkpoints do not mix', async () => {
    const inputs = [run([100, 200]), writeCheckpoint(at('checkpoint-300'), [TENSORS], 3)];
    await expect(resolveRecipe(recipe(inputs, { path: 'a' }))).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining(`${inputs[0]} is a run, ${inputs[1]} is none`),
    });
  });

  it('ends on an abort', async () => {
    const reason = new Error('enough');
    await expect(resolveRecipe(recipe(run([100]), { path: 'a' }), AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe('a recipe over checkpoints', () => {
  it('leaves them to the plan when nothing is selected', async () => {
    const inputs = [at('b'), at('a')];
    const request = await resolveRecipe(recipe(inputs, { path: 'out', weights: [0.3, 0.7] }));
    expect(request).toMatchObject({ inputs, outputs: [{ path: 'out', weights: [0.3, 0.7] }] });
    expect(request.ordered).toBeUndefined();
    expect(request.outputs[0]!.members).toBeUndefined();
  });

  it('is selected from as from a run, in order', async () => {
    const root = run([1000, 2000, 10_000, 11_000]);
    const inputs = [11_000, 1000, 10_000, 2000].map((step) => join(root, `checkpoint-${step}`));
    const request = await resolveRecipe(recipe(inputs, { path: 'a-{step}', select: { last: 3, before: 11_000 } }));
    expect(stepsOf(request.inputs)).toEqual([1000, 2000, 10_000]);
    expect(request.outputs[0]).toMatchObject({ path: 'a-10000', members: [0, 1, 2] });
  });

  it('token counts alone leave the given order, about which explicit weights are', async () => {
    const root = run([100, 200]);
    const inputs = [join(root, 'checkpoint-200'), join(root, 'checkpoint-100')];
    const request = await resolveRecipe({ ...recipe(inputs, { path: 'a', weights: [0.3, 0.7] }), tokensPerStep: 1000 });
    expect(request.inputs).toMatchObject([
      { step: 200, tokens: 200_000 },
      { step: 100, tokens: 100_000 },
    ]);
    expect(request.ordered).toBeUndefined();
  });

  it('cannot be selected from without steps, or with one twice', async () => {
    const nameless = writeCheckpoint(at('best'), [TENSORS], 1);
    const again = writeCheckpoint(at('again', 'checkpoint-100'), [TENSORS], 1);
    const first = join(run([100]), 'checkpoint-100');
    const select = { last: 1 };
    await expect(resolveRecipe(recipe([first, nameless], { path: 'a', select }))).rejects.toMatchObject({
      code: 'E_ORDER',
      message: expect.stringContaining(`the step of ${nameless} is not known`),
    });
    await expect(resolveRecipe(recipe([first, again], { path: 'a', select }))).rejects.toMatchObject({
      code: 'E_ORDER',
      message: expect.stringContaining('are both step 100'),
    });
  });
});

describe('contradictions', () => {
  it('are told all at once, before any input is looked at', async () => {
    const outputs: RecipeOutput[] = [
      { path: 'a', optimizer: 'newest' },
      { path: 'b', sliding: true },
    ];
    const error = await resolveRecipe({ ...recipe('nowhere', ...outputs), tokensPerStep: 1, tokensFile: 't.csv' }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'E_OPTION', exitCode: 2, message: '4 things in the recipe do not go together' });
    expect((error as { details: { conflicts: { message: string }[] } }).details.conflicts.map(({ message }) => message)).toEqual([
      '`tokensFile` is a second source of token counts: keep one of them',
      '`optimizer` has a meaning only with `for: resume`',
      '`sliding` needs `last: N`, the size of the window',
      '`path` needs `{step}` or `{tokens}` in it, because `sliding` makes an output for every window',
    ]);
  });
});

describe('average as a recipe of one output', () => {
  const options: AverageOptions = {
    inputs: ['a', 'b'],
    output: 'out',
    method: 'ema',
    halfLife: '2B',
    threads: 3,
    force: true,
    tokensPerStep: '1M',
  };

  it('keeps what decides the output, and nothing of how the machine is used', () => {
    const { outputs, ...rest } = recipeOf({ ...options, like: 'c', select: { last: 2 }, for: 'resume', optimizer: 'drop' });
    expect(outputs).toEqual([{ path: 'out', method: 'ema', halfLife: '2B', select: { last: 2 }, for: 'resume', optimizer: 'drop' }]);
    expect(rest).toEqual({ inputs: ['a', 'b'], like: 'c', tokensPerStep: '1M' });
  });

  it('weights beside the inputs are about all of them', async () => {
    const inputs = [
      { path: 'a', weight: 0.25 },
      { path: 'b', weight: 0.75 },
    ];
    expect(recipeOf({ inputs, output: 'out' })).toMatchObject({ inputs: ['a', 'b'], outputs: [{ weights: [0.25, 0.75] }] });
    const weights = { code: 'E_WEIGHTS', exitCode: 2 };
    await expect(plan({ inputs, output: 'out', select: { last: 1 } })).rejects.toMatchObject(weights);
    await expect(plan({ inputs, output: 'out', weights: [1, 2] })).rejects.toMatchObject(weights);
    await expect(plan({ inputs: [inputs[0]!, 'b'], output: 'out' })).rejects.toMatchObject(weights);
  });
});
