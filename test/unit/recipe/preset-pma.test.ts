import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Warning } from '../../../src/base/errors.ts';
import type { Run, RunCheckpoint } from '../../../src/checkpoints/run/types.ts';
import { type Preset, pmaPreset } from '../../../src/recipe/preset/pma.ts';
import { selectMembers } from '../../../src/recipe/select/select.ts';
import type { Selection } from '../../../src/recipe/select/types.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeSparse } from '../../support/sparse-checkpoint.ts';

const demo = join(import.meta.dirname, '../../../demo/runs');
const temporary = temporaryFolder();
afterAll(() => temporary.remove());
let made = 0;

/**
 * A dense model with so many parameters, or a mixture of 64 experts with 1 active and that many parameters
 * acting.
 */
function model(kind: 'dense' | 'moe', parameters: number): string {
  const folder = join(temporary.path, String(made++));
  const [rows, experts] = [parameters / 1e6, { num_experts: 64, num_experts_per_tok: 1 }];
  if (kind === 'dense') return writeSparse(folder, { 'model.w': [rows, 1e6] }, { model_type: 'llama' });
  return writeSparse(folder, { 'model.w': [rows / 2, 1e6], 'model.experts.w': [64, rows / 2, 1e6] }, experts);
}

/** A run whose newest checkpoint is `newest`, with the others at these counts of tokens. */
function run(newest: string, tokens: readonly (number | null)[], about: Partial<RunCheckpoint>[] = []): Run {
  const checkpoints = tokens.map(
    (t, i): RunCheckpoint => ({
      path: i === tokens.length - 1 ? newest : `${newest}-${i}`,
      name: `checkpoint-${i}`,
      stage: null,
      ingredient: null,
      step: i,
      tokens: t,
      tokensFrom: t === null ? null : 'state',
      bytes: 1,
      dtypes: ['BF16'],
      learningRate: null,
      evalLoss: null,
      loss: null,
      savedAt: null,
      ...about[i],
    }),
  );
  return { path: newest, checkpoints, excluded: [], broken: [], abandoned: [], log: [], warnings: [] };
}
/** The preset's selection of a run, and what there is to say of the window that it gives. */
async function chosen(of: Run, own?: Selection): Promise<Preset & { warnings: readonly Warning[] }> {
  const preset = await pmaPreset(of, own);
  const { warnings } = selectMembers([of], preset.selection, { exact: false });
  return { ...preset, warnings: warnings.filter(({ code }) => code === 'W_WINDOW_WIDE') };
}
const every = (interval: number, count: number) => Array.from({ length: count }, (_, i) => (i + 1) * interval);

describe('the spacing', () => {
  test.each([
    ['moe', 0.7e9, '4B'],
    ['moe', 1.3e9, '8B'],
    ['moe', 10e9, '80B'],
    ['dense', 411e6, '2B'],
    ['dense', 2e9, '5B'],
    ['dense', 8e9, '15B'],
    ['dense', 70e9, '40B'],
  ] as const)("is the paper's for its %s model of %d parameters: %s tokens", async (kind, parameters, expected) => {
    const { selection, warnings } = await chosen(run(model(kind, parameters), every(1e9, 2000)));
    expect(selection).toEqual({ last: 10, every: expected });
    expect(warnings).toEqual([]);
  });

  // Between table rows, the geometric mean of two sizes has the geometric mean of their spacings.
  test.each([
    ['dense', Math.round(Math.sqrt(2e9 * 8e9) / 1e6) * 1e6, '8.7B'], // sqrt(5 · 15) = 8.66
    ['dense', 24e9, '25B'], // sqrt(15 · 40) = 24.5 at 23.7B parameters; 24.6 at 24B
    ['moe', 3.6e9, '25B'], // sqrt(8 · 80) = 25.3 at 3.606B
  ] as const)('is interpolated for a %s model of %d parameters: %s', async (kind, parameters, expected) => {
    const { selection, notes } = await pmaPreset(run(model(kind, parameters), every(1e9, 2000)));
    expect(selection.every).toBe(expected);
    expect(notes[0]).toContain(kind === 'moe' ? 'active parameters' : 'dense model');
  });

  test('is clamped above the table, and that is said', async () => {
    const { selection, notes } = await pmaPreset(run(model('dense', 400e9), every(1e9, 2000)));
    expect(selection.every).toBe('40B');
    expect(notes).toEqual([
      "preset pma: V = 40B tokens for a dense model of 400B parameters, the value of the paper's largest (70B), which this one exceeds",
    ]);
  });

  test('below the table is 0.4·T/(N − 1), called ours, and never wider than for the smallest model of the table', async () => {
    const small = model('dense', 100e6);
    const ours = await chosen(run(small, every(0.1e9, 90)));
    expect(ours.selection).toEqual({ last: 10, every: '400M' }); // 0.4 · 9B / 9
    expect(ours.notes[0]).toContain("our rule and not the paper's");
    expect(ours.warnings).toEqual([]);
    const long = await pmaPreset(run(small, every(1e9, 2000)));
    expect(long.selection.every).toBe('2B');
    expect(long.notes[0]).toContain('that of the smallest');
    for (const { notes } of [ours, long]) expect(notes.at(-1)).toContain('had N = 6');
  });

  test('is one or two save intervals where checkpoints are rarer', async () => {
    const folder = model('moe', 1.3e9); // 8B
    for (const [interval, expected] of [
      [5e9, '10B'],
      [6e9, '6B'],
      [20e9, '20B'],
      [4e9, '8B'],
      [3e9, '8B'],
    ] as const) {
      const { selection, notes } = await pmaPreset(run(folder, every(interval, 400)));
      expect(selection.every).toBe(expected);
      expect(notes.length).toBe(interval > 4e9 ? 2 : 1);
    }
  });
});

describe('a window that is wide for the run', () => {
  // The sweep of the paper: 1.3B/13B after 204B tokens.
  test('V = 8B, N = 10 at 204B tokens is .35 of them: no warning; at 131B it is .55', async () => {
    const folder = model('moe', 1.3e9);
    expect((await chosen(run(folder, every(2e9, 102)))).warnings).toEqual([]);
    const { selection, warnings } = await chosen(run(folder, every(1e9, 131)));
    expect(selection).toEqual({ last: 10, every: '8B' });
    expect(warnings).toEqual([
      { code: 'W_WINDOW_WIDE', message: expect.stringMatching(/span 0\.55 of the 131B.* no more than 7 members, or weigh the recent/) },
    ]);
  });

  test('counts the members that there are', async () => {
    const folder = model('moe', 1.3e9);
    const kept = every(8e9, 16).slice(-3); // three checkpoints left of a run of 128B tokens
    expect((await chosen(run(folder, kept))).warnings).toEqual([]);
  });

  test('with no safe mean of two', async () => {
    const { warnings } = await chosen(run(model('moe', 1.3e9), [8e9, 16e9]));
    expect(warnings[0]?.message).toContain('wait until the training is longer');
  });
});

describe('what the user says of the selection', () => {
  test('number and spacing stand, and the warning is about them', async () => {
    const long = run(model('moe', 1.3e9), every(1e9, 131));
    expect(await chosen(long, { last: 7, minMembers: 3 })).toMatchObject({
      selection: { last: 7, every: '8B', minMembers: 3 },
      warnings: [],
    });
    expect(await chosen(long, { every: '4B' })).toMatchObject({ selection: { last: 10, every: '4B' }, warnings: [] });
    expect((await chosen(long, { every: '16B' })).warnings[0]?.message).toContain('no more than 4 members');
    expect(await chosen(long, { every: '2steps' })).toMatchObject({ selection: { every: '2steps' }, warnings: [] });
  });

  test('conditions come first: tokens seen are those of the newest that they leave', async () => {
    const long = run(model('moe', 1.3e9), every(1e9, 1000));
    expect((await chosen(long)).warnings).toEqual([]);
    const folder = model('moe', 1.3e9);
    const paths = every(1e9, 1000).map(() => ({ path: folder }));
    const { selection, warnings } = await chosen(run(folder, every(1e9, 1000), paths), { to: '131B' });
    expect(selection).toEqual({ to: '131B', last: 10, every: '8B' });
    expect(warnings[0]?.message).toContain('of the 131B tokens so far');
  });

  test.each([{ steps: [1] }, { minInterval: '1B' }, { eachIngredient: 'last' }] as const)(
    'cannot be another way of choosing: %j',
    async (own) => {
      await expect(pmaPreset(run(model('moe', 1.3e9), every(1e9, 200)), own)).rejects.toMatchObject({ code: 'E_OPTION' });
    },
  );
});

test('the demo runs: the save interval, ten members', async () => {
  const dense = run(join(demo, 'dense/checkpoint-6000'), every(1024 * 200, 30));
  const { selection, notes, warnings } = await chosen(dense);
  expect(selection).toEqual({ last: 10, every: '204800tokens' });
  expect(notes).toHaveLength(3);
  expect(warnings).toEqual([]);
  // Steps 300, 650 and 1000: two of them are within 0.4 of the run, three are what demo/README.md shows to
  // harm.
  const early = await pmaPreset(
    run(
      join(demo, 'dense-early/checkpoint-1000'),
      [300, 650, 1000].map((s) => s * 1024),
    ),
  );
  expect(early.selection).toEqual({ last: 2, every: '358400tokens' });
});

test('only the newest stage counts where there are several', async () => {
  const tokens = [100e9, 200e9, 300e9, 50e9, 58e9, 66e9];
  const stages = tokens.map((_, i) => ({ stage: i < 3 ? 1 : 2 }));
  const { selection } = await pmaPreset(run(model('moe', 1.3e9), tokens, stages));
  expect(selection).toEqual({ last: 10, every: '8B', stage: 2 });
});

test('without tokens, or without a checkpoint, it says so', async () => {
  const folder = model('dense', 8e9);
  for (const unknown of [null, 0]) {
    await expect(pmaPreset(run(folder, [1e9, unknown]))).rejects.toMatchObject({
      code: 'E_NO_TOKENS',
      help: expect.stringContaining('`tokensPerStep`'),
    });
  }
  await expect(pmaPreset(run(folder, []))).rejects.toMatchObject({ code: 'E_NO_CHECKPOINT' });
  // A member without tokens in between is no obstacle.
  expect((await pmaPreset(run(folder, [null, ...every(15e9, 100)]))).selection.every).toBe('15B');
});
