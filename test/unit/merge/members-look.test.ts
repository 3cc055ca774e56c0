import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { plan } from '../../../src/merge/average.ts';
import { withMemberWarnings } from '../../../src/merge/members/look.ts';
import { membersOfRecipe } from '../../../src/merge/members/of-recipe.ts';
import { resolveRecipe } from '../../../src/merge/members/resolve.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import { planRecipe } from '../../../src/merge/run.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { type RunEntry, writeRun } from '../../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);
const run = (steps: readonly number[], entry: (step: number) => Partial<RunEntry> = () => ({})) =>
  writeRun(
    at('run'),
    steps.map((step) => ({ name: `checkpoint-${step}`, ...entry(step) })),
  );
const named = (steps: readonly number[]) => steps.map((step) => at('run', `checkpoint-${step}`));

describe('members of a report (diff, routers, search, soup, forecast)', () => {
  it('are counted, what is left out is said, and strict refuses it', async () => {
    const recipe = { inputs: [run([9000, 9100, 9200])], outputs: [{ path: 'x', select: { last: 3 } }] };
    truncateSync(at('run/checkpoint-9200/model.safetensors'), 10);
    const { report, warnings } = await membersOfRecipe(recipe);
    expect(report).toMatchObject({ asked: 3, found: 2, leftOut: [{ name: 'checkpoint-9200', newer: true }] });
    expect([warnings, report.warnings].map((all) => all.map(({ code }) => code))).toEqual([['W_LEFT_OUT_MEMBERS'], ['W_LEFT_OUT_MEMBERS']]);
    await expect(membersOfRecipe(recipe, { strict: true })).rejects.toMatchObject({ code: 'E_STRICT', exitCode: 3 });
  });

  it('are not merged: nothing is said against merging them', async () => {
    const { warnings } = await membersOfRecipe({ inputs: [run([100, 200, 300])], outputs: [{ path: 'x' }] });
    expect(warnings).toEqual([]);
    const plain = await membersOfRecipe({ inputs: named([100, 200]), outputs: [{ path: 'x' }] });
    expect(plain).toMatchObject({ report: { asked: 2, found: 2, leftOut: [], warnings: [] }, warnings: [] });
  });

  it('that are being downloaded are said to be', async () => {
    run([100, 200]);
    writeFileSync(at('run/checkpoint-200/model.safetensors.aria2'), '');
    const { warnings } = await membersOfRecipe({ inputs: named([100, 200]), outputs: [{ path: 'x' }] });
    expect(warnings.map(({ code }) => code)).toEqual(['W_DOWNLOADING']);
  });
});

describe('members that are named one by one', () => {
  it('have the warnings of the log, the rate and the window that a selection of them has', async () => {
    const log = [8800, 8900, 9000, 9100, 9200].map(
      (s) => `{"step": ${s}, "loss": ${s === 9100 ? 'NaN' : '2.0'}, "learning_rate": ${s > 9000 ? 1e-5 : 3e-4}}`,
    );
    run([9000, 9100, 9200], (step) => ({ state: `{"global_step": ${step}, "log_history": [${log.join(', ')}]}` }));
    const codes = async (options: object = {}) =>
      (await plan({ inputs: named([9000, 9100, 9200]), output: at('out'), ...options })).warnings.map(({ code }) => code);
    expect(await codes()).toEqual(expect.arrayContaining(['W_LOSS_NAN', 'W_LR_PHASE']));
    expect(await codes({ inputs: [at('run')] })).toEqual(await codes());
    expect(await codes({ tokensPerStep: '1M' })).toEqual(expect.arrayContaining(['W_LOSS_NAN', 'W_LR_PHASE']));
    // wsm says of the rate what there is to say.
    expect((await codes({ method: 'wsm', inputs: [at('run')] })).filter((code) => code === 'W_LR_PHASE')).toHaveLength(1);
  });
});

it('an annealed sibling beside one that is not is told, of runs and of checkpoints; the others of a run are noted', async () => {
  const state = (rates: readonly number[]) =>
    `{"global_step": 900, "log_history": [${rates.map((rate, i) => `{"step": ${(i + 1) * 300}, "loss": 2, "learning_rate": ${rate}}`).join(', ')}]}`;
  const [constant, annealed] = [
    writeRun(at('a'), [{ name: 'checkpoint-600' }, { name: 'checkpoint-900', state: state([3e-4, 3e-4, 3e-4]) }]),
    writeRun(at('b'), [{ name: 'checkpoint-900', seed: 5, state: state([3e-4, 3e-4, 0]) }]),
  ];
  const ofRuns = await plan({ inputs: [constant, annealed], output: at('out') });
  expect(ofRuns.warnings.map(({ code }) => code)).toEqual(['W_LR_PHASE']);
  expect(ofRuns.outputs[0]!.selection!.notes.join()).toContain('1 other checkpoint of these runs is not merged');
  const named = [constant, annealed].map((path) => join(path, 'checkpoint-900'));
  expect((await plan({ inputs: named, output: at('out') })).warnings).toEqual(ofRuns.warnings);
});

describe('members that hold zeros', () => {
  /** Of half a matrix. */
  const BYTES = 4 * 32 * 4;
  /** Members of some matrices, the bytes from and to which are zero in each. */
  const zerosIn = async (steps: readonly number[], zeros: Readonly<Record<number, readonly [from: number, to: number]>>, matrices = 2) => {
    const names = ['a', 'b', 'c', 'd'].slice(0, matrices);
    const shards = [names.map((name) => ({ name: `model.layers.0.mlp.${name}_proj.weight`, dtype: 'F32' as const, shape: [8, 32] }))];
    const path = run(steps, () => ({ shards }));
    for (const [step, [from, to]] of Object.entries(zeros)) {
      const file = join(path, `checkpoint-${step}`, 'model.safetensors');
      const bytes = readFileSync(file);
      const start = bytes.length - 2 * matrices * BYTES;
      writeFileSync(file, bytes.fill(0, start + from, start + to));
    }
    const { warnings } = await plan({ inputs: [path], output: at('out'), allowUnknown: true });
    return warnings.filter(({ code }) => code === 'W_ZEROS').map(({ message }) => message.replaceAll(`${path}/`, ''));
  };
  const FIRST = [0, 2 * BYTES] as const;

  it('of which one does, or several, are told once', async () => {
    expect(await zerosIn([9000, 9100, 9200, 9300], { 9300: FIRST })).toEqual([expect.stringMatching(/^checkpoint-9300 holds zeros/)]);
    expect(await zerosIn([9000, 9100, 9200, 9300], { 9200: FIRST, 9300: FIRST })).toEqual([
      expect.stringMatching(/^checkpoint-9200 and checkpoint-9300 hold zeros .* in 1 tensor/),
    ]);
  });

  it('in the oldest are told where a file has a hole, over tensors that lie side by side', async () => {
    const hole = [0, 6 * BYTES] as const;
    expect(await zerosIn([9000, 9100, 9200], { 9000: hole }, 4)).toEqual([expect.stringMatching(/^checkpoint-9000 holds .* in 3 tensors/)]);
    expect(await zerosIn([9000, 9100, 9200], { 9000: hole, 9100: hole }, 4)).toHaveLength(1);
  });

  it('in half a tensor are told', async () => {
    expect(await zerosIn([9000, 9100], { 9100: [BYTES, 2 * BYTES] })).toHaveLength(1);
  });

  it('all do, or that began with them, are healthy', async () => {
    expect(await zerosIn([9000, 9100], { 9000: FIRST, 9100: FIRST })).toEqual([]);
    expect(await zerosIn([0, 9100, 9200], { 0: FIRST, 9100: FIRST })).toEqual([]);
    // Rows of tokens that were not seen yet, and a gate that begins with zeros.
    for (const rows of [[BYTES, 2 * BYTES] as const, FIRST]) {
      expect(await zerosIn([9000, 9100, 9200], { 9000: rows, 9100: rows })).toEqual([]);
      expect(await zerosIn([9000, 9100, 9200], { 9000: rows })).toEqual([]);
    }
  });
});

it('of two members that are one checkpoint it is said once, and strict refuses it', async () => {
  const path = run([9000, 9100, 9200, 9300], (step) => ({ seed: step < 9200 ? step : 9200 }));
  const { warnings } = await plan({ inputs: [path], output: at('out') });
  expect(warnings).toEqual([
    { code: 'W_SAME_BYTES', message: expect.stringMatching(/checkpoint-9200 and .*checkpoint-9300 have the same bytes/) },
  ]);
  await expect(plan({ inputs: [path], output: at('out'), strict: true })).rejects.toMatchObject({ code: 'E_STRICT' });
});

it('an abort ends the comparison of members that may be one checkpoint', async () => {
  const path = run([9000, 9100], () => ({ seed: 1 }));
  const made = await buildPlan(await resolveRecipe({ inputs: [path], outputs: [{ path: at('out') }] }));
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(withMemberWarnings(made, signal)).rejects.toThrow('enough');
  expect((await withMemberWarnings(made)).warnings.map(({ code }) => code)).toContain('W_SAME_BYTES');
});

it('checkpoints that are equal wherever they were sampled, and differ, are not called the same', async () => {
  const shards = [['a', 'b'].map((name) => ({ name: `model.layers.0.mlp.${name}_proj.weight`, dtype: 'F32' as const, shape: [512, 512] }))];
  const path = run([9000, 9100, 9200], () => ({ shards, seed: 1 }));
  const change = (step: number, at: number) => {
    const file = join(path, `checkpoint-${step}`, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[at]! ^= 1;
    writeFileSync(file, bytes);
  };
  // Of two million bytes, one between the sampled blocks.
  change(9100, 1_000_000);
  change(9200, 2_000_000);
  expect((await plan({ inputs: [path], output: at('out'), allowUnknown: true, strict: true })).warnings).toEqual([]);
  change(9200, 2_000_000);
  change(9200, 1_000_000);
  const { warnings } = await plan({ inputs: [path], output: at('out'), allowUnknown: true });
  expect(warnings.map(({ message }) => message.replaceAll(`${path}/`, ''))).toEqual([
    expect.stringMatching(/^checkpoint-9100 and checkpoint-9200 have the same bytes:/),
  ]);
});

it('of many windows advice is said once, and each output keeps its own', async () => {
  const recipe = {
    inputs: [run([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => i * 100))],
    outputs: [{ path: at('w-{step}'), select: { last: 6 }, sliding: true }],
  };
  const { warnings, outputs } = await planRecipe(recipe);
  expect(outputs.map((output) => output.warnings.filter(({ code }) => code === 'W_WINDOW_WIDE').length)).toEqual([1, 1, 1, 1]);
  const [wide, ...more] = warnings.filter(({ code }) => code === 'W_WINDOW_WIDE');
  expect(more).toEqual([]);
  expect(wide!.message.replaceAll(at(''), '')).toMatch(
    /^4 outputs, .*\(.*w-600, .*w-700, .*w-800 and 1 more\); of .*w-600: 6 members span/,
  );
});

it('a sliding window names what is left out of it alone', async () => {
  run([9000, 9100, 9200, 9300, 9400, 9500]);
  for (const step of [9200, 9500]) truncateSync(at(`run/checkpoint-${step}/model.safetensors`), 10);
  const { outputs } = await planRecipe({ inputs: [at('run')], outputs: [{ path: at('w-{step}'), select: { last: 2 }, sliding: true }] });
  expect(outputs.map(({ report }) => report.leftOut.map(({ step }) => step))).toEqual([[], [9200], [9500]]);
});
