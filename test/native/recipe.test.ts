import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint as openForPlan } from '../../src/checkpoints/open.ts';
import { average } from '../../src/merge/average.ts';
import type { MergeEvent } from '../../src/merge/engine/events.ts';
import { recipeText } from '../../src/merge/plan/recipe-text.ts';
import { planRecipe, recipeEvents, runRecipe } from '../../src/merge/run.ts';
import { readRecipe } from '../../src/recipe/file/read.ts';
import type { RecipeOutput } from '../../src/recipe/types.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, safetensorsBytes, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const TENSORS: FixtureTensor[] = [
  { name: 'embed', dtype: 'BF16', shape: [97, 33] },
  { name: 'norm', dtype: 'F32', shape: [257] },
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/** A run of six checkpoints, unevenly spaced. */
function run(name = 'run'): string {
  for (const step of [100, 200, 300, 500, 600, 1000]) {
    writeCheckpoint(at(name, `checkpoint-${step}`), [TENSORS.slice(0, 1), TENSORS.slice(1)], step);
  }
  return at(name);
}

/**
 * All files of a merge but its provenance, which holds timings, and its recipe and card, which hold its name.
 */
function files(path: string): Record<string, string> {
  const names = readdirSync(path).filter((name) => !['merge_provenance.json', 'merge_recipe.yaml', 'README.md'].includes(name));
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(path, name)).toString('base64')]));
}

/** The data of every tensor file, without the headers. */
async function data(path: string): Promise<string[]> {
  const { shards } = await openCheckpoint(path);
  return shards.map((shard) => readFileSync(shard.path).subarray(shard.header.dataStart).toString('base64'));
}

const recipeOf = (name: string) => readFileSync(at('out', name, 'merge_recipe.yaml'), 'utf8');

describe('a recipe', () => {
  it('makes all outputs in one read, each the same as its options give alone', async () => {
    const inputs = [run()];
    const outputs = [
      { path: at('out', 'sma'), select: { last: 4 } },
      { path: at('out', 'ema'), select: { last: 5 }, method: 'ema', halfLife: '200steps', dtype: 'F32' },
      { path: at('out', 'w-{step}'), select: { last: 3, from: 200 }, sliding: true },
    ] as const satisfies RecipeOutput[];
    const result = await runRecipe({ inputs, outputs });
    expect(result.outputs.map(({ path }) => path)).toEqual(['sma', 'ema', 'w-500', 'w-600', 'w-1000'].map((name) => at('out', name)));
    const size = TENSORS.reduce((sum, { dtype, shape }) => sum + shape.reduce((a, b) => a * b) * (dtype === 'F32' ? 4 : 2), 0);
    expect(result.bytesRead).toBe(5 * size);

    await average({ inputs, output: at('alone', 'sma'), select: { last: 4 } });
    await average({ inputs, output: at('alone', 'ema'), select: { last: 5 }, method: 'ema', halfLife: '200steps', dtype: 'F32' });
    const window = [300, 500, 600].map((step) => join(inputs[0]!, `checkpoint-${step}`));
    await average({ inputs: window, output: at('alone', 'w-600') });
    for (const name of ['sma', 'ema', 'w-600']) expect(files(at('out', name))).toEqual(files(at('alone', name)));
  });

  it('is read from a file, planned without a write, and told of by events', async () => {
    run();
    writeFileSync(at('recipe.yaml'), 'inputs: run\noutputs: [{ path: out/a, select: { last: 2 } }, { path: out/b }]\n');
    const plan = await planRecipe(at('recipe.yaml'));
    expect(plan.outputs.map(({ path, members }) => [path, members.length])).toEqual([
      [at('out/a'), 2],
      [at('out/b'), 6],
    ]);
    expect(readdirSync(folder.path).sort()).toEqual(['recipe.yaml', 'run']);
    const events: MergeEvent['type'][] = [];
    for await (const event of recipeEvents(at('recipe.yaml'))) events.push(event.type);
    expect([events[0], events.at(-1)]).toEqual(['plan', 'done']);
    expect(readdirSync(at('out')).sort()).toEqual(['a', 'b']);
    await expect(runRecipe(at('recipe.yaml'))).rejects.toMatchObject({ exitCode: 4 });
    await runRecipe(at('recipe.yaml'), { force: true });
    await expect(planRecipe(at('recipe.yaml'), { threads: 0 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(planRecipe(at('recipe.yaml'), { memory: 0.5 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(runRecipe({ inputs: [], outputs: [{ path: 'a' }] })).rejects.toMatchObject({ exitCode: 2 });
    await expect(runRecipe({ inputs: [at('run')], outputs: [] })).rejects.toMatchObject({ exitCode: 2 });
  });

  it('outputs that collide are refused, whatever template made them so', async () => {
    const outputs = [
      { path: at('w-{step}'), select: { last: 1 } },
      { path: at('w-1000'), select: { last: 2 } },
    ];
    await expect(runRecipe({ inputs: [run()], outputs })).rejects.toMatchObject({ code: 'E_OUTPUTS_OVERLAP', exitCode: 2 });
    const inside = [{ path: at('a') }, { path: at('a', 'b') }];
    await expect(runRecipe({ inputs: [at('run')], outputs: inside })).rejects.toMatchObject({ code: 'E_OUTPUTS_OVERLAP' });
    expect(readdirSync(folder.path)).toEqual(['run']);
  });
});

describe('weights of single tensors from a file', () => {
  const write = (name: string, text: string): string => {
    writeFileSync(at(name), text);
    return at(name);
  };

  it('are policies in the order of the file, after those of the output, and the record names the file', async () => {
    const inputs = [run()];
    const select = { last: 3 };
    const weightsFile = write('weights.json', '{"norm": [0.5, 0.25, 0.25], "*": [0, 0.5, 0.5], "emb*": [1, 0, 0]}');
    const named = { path: at('out', 'named'), select, weightsFile: write('two.yaml', 'norm: [0.5, 0.25, 0.25]\n"*": [0, 0.5, 0.5]\n') };
    const policies = [
      { name: 'norm', weights: [0.5, 0.25, 0.25] },
      { name: '*', weights: [0, 0.5, 0.5] },
    ];
    await runRecipe({ inputs, outputs: [named, { path: at('out', 'policies'), select, policies }] });
    expect(await data(at('out', 'named'))).toEqual(await data(at('out', 'policies')));
    const { recipe } = JSON.parse(readFileSync(at('out', 'named', 'merge_provenance.json'), 'utf8'));
    expect(recipe.weightsFile).toEqual({
      name: 'two.yaml',
      digest: createHash('sha256')
        .update(readFileSync(at('two.yaml')))
        .digest('hex'),
      groups: 2,
    });
    expect(recipe.policies.map(({ policy }: { policy: string }) => policy)).toEqual([
      'name=norm:weights=0.5,0.25,0.25',
      'name=*:weights=0,0.5,0.5',
    ]);
    await runRecipe(at('out', 'named', 'merge_recipe.yaml'));
    expect(await data(at('out', 'named-again'))).toEqual(await data(at('out', 'named')));
    // What is more special stands too late.
    await expect(average({ inputs, output: at('out', 'x'), select, weightsFile })).rejects.toMatchObject({ code: 'E_POLICY_SHADOWED' });
  });

  it.each<[string, string, string, string]>([
    ['a name that nothing has', '{"norms": [0.5, 0.5]}', 'E_POLICY_UNUSED', 'the name that comes nearest is norm'],
    ['weights for another number of members', '{"norm": [1]}', 'E_WEIGHTS', '1 weight for 2 members'],
    ['lists of different lengths', '{"norm": [1, 0], "embed": [1]}', 'E_WEIGHTS', '"embed" has 1 weights, and "norm" has 2'],
    ['a name twice in JSON', '{"norm": [1, 0], "norm": [0, 1]}', 'E_WEIGHTS', '"norm" is there twice'],
    ['a name twice in YAML', 'norm: [1, 0]\nnorm: [0, 1]\n', 'E_WEIGHTS', 'given twice'],
    ['no numbers', '{"norm": ["a", 1]}', 'E_WEIGHTS', '"norm" has no list of finite numbers'],
    ['a map of maps', '{"norm": {"weights": [1, 0]}}', 'E_WEIGHTS', 'no list of finite numbers'],
    ['a list', '[[1, 0]]', 'E_WEIGHTS', 'is no map'],
    ['nothing', '{}', 'E_WEIGHTS', 'holds no weights'],
    ['torn JSON', '{"norm": [1,', 'E_WEIGHTS', 'torn'],
  ])('are refused: %s', async (_, text, code, message) => {
    const weightsFile = write('w', text);
    const refused = average({ inputs: [run()], output: at('out', 'x'), select: { last: 2 }, weightsFile });
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });
});

describe('the recipe in a merge', () => {
  it.each<[string, Omit<RecipeOutput, 'path'>, string]>([
    ['mean', {}, 'method: sma'],
    ['ramp of the last three, stored as F32', { method: 'wma', select: { last: 3 }, dtype: 'F32' }, 'method: wma\n    dtype: F32'],
    ['half-life by steps', { method: 'ema', halfLife: '200steps' }, 'method: ema\n    half-life: 200steps'],
    [
      'half-life as a share of the training',
      { method: 'ema', halfLifeFraction: 0.3, origin: 50 },
      'half-life-fraction: 0.3\n    origin: 50steps',
    ],
    ['decay by uneven positions', { method: 'wsm', decay: '1-sqrt', decayFloor: 0.1 }, 'decay: 1-sqrt'],
    ['a decay that ends at a step', { method: 'wsm', decay: 'linear', decayEnd: '1500' }, 'decay-end: "1500"\n'],
    ['members in reverse', { method: 'wma', reverse: true }, 'method: wma\n    reverse: true'],
    ['extrapolation', { method: 'extrapolate', gamma: 0.25, window: 2, lag: 3 }, 'gamma: 0.25'],
  ])('%s: names the schedule and makes the same files again', async (_, output, named) => {
    await runRecipe({ inputs: [run()], outputs: [{ path: at('out', 'merged'), ...output }] });
    expect(recipeOf('merged')).toContain(named);
    expect(recipeOf('merged')).not.toContain(folder.path);
    await runRecipe(at('out', 'merged', 'merge_recipe.yaml'));
    expect(files(at('out', 'merged-again'))).toEqual(files(at('out', 'merged')));
  });

  it.each<[string, Omit<RecipeOutput, 'path'>]>([
    ['weights of its own', { weights: [0.1, -0.2, 0, 0.7, 0.3, 0.1] }],
    ['weights that are divided by their sum', { weights: [1, 1, 1, 2, 2, 0], normalize: true }],
    ['positions that an option told', { method: 'ema', halfLife: '600M' }],
    ['factors from a file', { method: 'wsm', decayFile: 'factors.txt', select: { last: 3 } }],
  ])('%s: holds the weights and makes the same tensors again', async (_, output) => {
    writeFileSync(at('factors.txt'), '0.9\n0.3\n');
    const decayFile = output.decayFile === undefined ? {} : { decayFile: at(output.decayFile) };
    const { outputs } = await runRecipe({
      inputs: [run()],
      outputs: [{ path: at('out', 'merged'), ...output, ...decayFile }],
      tokensPerStep: '1M',
    });
    expect((await readRecipe(at('out', 'merged', 'merge_recipe.yaml'))).outputs[0]!.weights!.filter((w) => w !== 0)).toEqual(
      outputs[0]!.members.map(({ weight }) => weight).filter((w) => w !== 0),
    );
    expect(recipeOf('merged')).not.toContain(folder.path);
    await runRecipe(at('out', 'merged', 'merge_recipe.yaml'));
    expect(await data(at('out', 'merged-again'))).toEqual(await data(at('out', 'merged')));
  });

  it('keeps the order of siblings, which is not that of their steps', async () => {
    const runs = [run('seed-2'), run('seed-1')];
    writeCheckpoint(at('seed-2', 'checkpoint-2000'), [TENSORS], 2000);
    await runRecipe({ inputs: runs, outputs: [{ path: at('out', 'merged') }] });
    const again = await readRecipe(at('out', 'merged', 'merge_recipe.yaml'));
    expect(again.inputs).toEqual([at('seed-2', 'checkpoint-2000'), at('seed-1', 'checkpoint-1000')]);
    expect(again.outputs[0]!.weights).toEqual([0.5, 0.5]);
    await runRecipe(again);
    expect(await data(at('out', 'merged-again'))).toEqual(await data(at('out', 'merged')));
  });

  it('says what was allowed, whose layout was followed and what it is for', async () => {
    const options = { allowMixedDtypes: true, allowStages: true, allowConfigs: true, baseModelId: 'org/name' };
    const like = at('run', 'checkpoint-200');
    const output = { path: at('out', "it's"), select: { last: 2 }, for: 'resume', optimizer: 'drop' } as const;
    await runRecipe({ inputs: [run()], outputs: [output], like, ...options });
    const again = await readRecipe(at('out', "it's", 'merge_recipe.yaml'));
    expect(again).toMatchObject({
      ...options,
      like,
      outputs: [{ path: at('out', "it's-again"), for: 'resume', optimizer: 'drop', dtype: 'F32' }],
    });
  });

  it('is of this merge where an input was merged itself', async () => {
    const inputs = [100, 200].map((step) => join(run(), `checkpoint-${step}`));
    await average({ inputs, output: at('checkpoint-7') });
    await average({ inputs: [at('checkpoint-7')], output: at('out', 'second') });
    expect((await readRecipe(at('out', 'second', 'merge_recipe.yaml'))).inputs).toEqual([at('checkpoint-7')]);
  });

  it('does not exist for single files, which have nothing beside them', async () => {
    for (const seed of [1, 2]) writeFileSync(at(`${seed}.safetensors`), safetensorsBytes(TENSORS, seed));
    await average({ inputs: [at('1.safetensors'), at('2.safetensors')], output: at('out', 'm.safetensors') });
    expect(readdirSync(at('out'))).toEqual(['m.safetensors']);
  });

  it('names members by name alone where a path would tell of the machine', async () => {
    const checkpoint = await openForPlan(join(run(), 'checkpoint-100'));
    const schedule = {
      ...{ method: 'sma' as const, parameters: {}, normalized: false, weights: Float64Array.of(1), sum: 1, notes: [], warnings: [] },
    };
    const text = await recipeText({ output: { path: '/elsewhere/out' }, members: [checkpoint], schedule, request: {} });
    expect(text).toContain('  - "checkpoint-100"\n');
    expect(text).toContain('put their paths here');
    expect(text).not.toContain(folder.path);
  });
});
