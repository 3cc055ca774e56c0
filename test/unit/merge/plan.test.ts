import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BatchCutter } from '../../../src/merge/engine/passes/combine-batches.ts';
import { planUnits } from '../../../src/merge/engine/units.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import type { Plan, PlanRequest } from '../../../src/merge/plan/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const LAYERS: FixtureTensor[] = [
  { name: 'embed', dtype: 'BF16', shape: [40, 8] },
  { name: 'a.weight', dtype: 'BF16', shape: [70_000] },
  { name: 'a.empty', dtype: 'F32', shape: [0, 3] },
  { name: 'b.weight', dtype: 'BF16', shape: [3, 5] },
  { name: 'b.gain', dtype: 'F32', shape: [7] },
  { name: 'steps', dtype: 'I64', shape: [2], data: new Uint8Array(16).fill(3) },
  { name: 'head', dtype: 'BF16', shape: [] },
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const at = (...parts: string[]) => join(folder.path, ...parts);
const make = (name: string, shards: readonly (readonly FixtureTensor[])[] = [LAYERS], seed = 1, sides = {}) =>
  writeCheckpoint(at(name), shards, seed, sides);
const planOf = (inputs: string[], more: Partial<PlanRequest> = {}) => buildPlan({ inputs, outputs: [{ path: at('out') }], ...more });

describe('order', () => {
  it('sorts by step when every input has one, and says so', async () => {
    const plan = await planOf([make('checkpoint-2000'), make('checkpoint-10000'), make('checkpoint-300')]);
    expect(plan.members.map((m) => m.step)).toEqual([300, 2000, 10000]);
    expect(plan.warnings.map((w) => w.code)).toContain('W_REORDERED');
  });

  it('says nothing where they are given as a pattern of the shell gives them', async () => {
    const plan = await planOf([make('checkpoint-10000'), make('checkpoint-2000'), make('checkpoint-300')]);
    expect(plan.members.map((m) => m.step)).toEqual([300, 2000, 10000]);
    expect(plan.warnings.map((w) => w.code)).not.toContain('W_REORDERED');
  });

  it.each([
    ['llama-1b-step100', 'llama-1b-step20', 'llama-1b-step40'],
    ['epoch_100', 'epoch_20', 'epoch_40'],
    ['v1-checkpoint-100', 'v1-checkpoint-20', 'v1-checkpoint-40'],
  ])('reads the steps that names say together: %s', async (...names) => {
    const plan = await planOf(
      names.map((name) => make(name)),
      { outputs: [{ path: at('out'), method: 'wma' }] },
    );
    expect(plan.members.map((m) => m.step)).toEqual([20, 40, 100]);
    expect(plan.warnings.map((w) => w.code)).not.toContain('W_ORDER_ASSUMED');
  });

  it('sorts by epoch where steps begin anew in each, and distances in steps are not known then', async () => {
    const outputs = (halfLife?: string) => ({
      outputs: [{ path: at('out'), method: 'ema' as const, alpha: 0.5, ...(halfLife && { alpha: undefined, halfLife }) }],
    });
    const paths = ['epoch_10_step_100', 'epoch_2_step_100', 'epoch_2_step_200'].map((name) => make(name));
    const plan = await planOf(paths, outputs());
    expect(plan.members.map((m) => basename(m.path))).toEqual(['epoch_2_step_100', 'epoch_2_step_200', 'epoch_10_step_100']);
    expect(plan.members.map(({ epoch, stage }) => [epoch, stage])).toEqual([2, 2, 10].map((epoch) => [epoch, null]));
    await expect(planOf(paths, outputs('100steps'))).rejects.toMatchObject({ code: 'E_NO_POSITION' });
  });

  it('reads the step that names around what is called the same say together', async () => {
    const paths = ['llama-step100', 'llama-step20'].map((name) => make(`${name}/actor/huggingface`));
    const plan = await planOf(paths, { outputs: [{ path: at('out'), method: 'wma' }] });
    expect(plan.members.map(({ step }) => step)).toEqual([20, 100]);
  });

  it.each([
    [['release_100', 'release_20', 'release_40'], ['release_20', 'release_40', 'release_100'], '20, 40, 100'],
    // An order of one's own, and names that differ in more than a number.
    [['release_40', 'release_20', 'release_100'], ['release_40', 'release_20', 'release_100'], 'given order'],
    [['a_20', 'b_10'], ['a_20', 'b_10'], 'given order'],
  ])('takes names without steps that a pattern gives by their number: %j', async (given, order, said) => {
    const plan = await planOf(
      given.map((name) => make(name)),
      { outputs: [{ path: at('out'), method: 'wma' }] },
    );
    expect(plan.members.map((m) => basename(m.path))).toEqual(order);
    expect(plan.warnings.find(({ code }) => code === 'W_ORDER_ASSUMED')?.message).toContain(said);
  });

  it('keeps the given order with explicit weights', async () => {
    const plan = await planOf([make('checkpoint-9'), make('checkpoint-3')], { outputs: [{ path: at('out'), weights: [0.7, 0.3] }] });
    expect(plan.members.map((m) => m.step)).toEqual([9, 3]);
    expect([...plan.weights]).toEqual([0.7, 0.3]);
  });

  it('keeps the given order when a step is unknown, and warns where the schedule depends on it', async () => {
    const inputs = [make('checkpoint-9'), make('final')];
    expect((await planOf(inputs)).warnings.map((w) => w.code)).not.toContain('W_ORDER_ASSUMED');
    const plan = await planOf(inputs, { outputs: [{ path: at('out'), method: 'wma' }] });
    expect(plan.members.map((m) => m.path)).toEqual(inputs);
    expect(plan.warnings.map((w) => w.code)).toContain('W_ORDER_ASSUMED');
  });

  it('refuses equal steps for a schedule that depends on order, and only there', async () => {
    const inputs = [make('x/checkpoint-9'), make('y/checkpoint-9')];
    await expect(planOf(inputs, { outputs: [{ path: at('out'), method: 'wma' }] })).rejects.toMatchObject({ code: 'E_ORDER' });
    expect((await planOf(inputs)).members).toHaveLength(2);
  });
});

describe('segments', () => {
  it('joins neighbours of equal dtype and copies integers', async () => {
    const { segments } = (await planOf([make('a'), make('b', [LAYERS], 2)])).shards[0]!;
    // embed + a.weight + b.weight (the empty tensor between them has no bytes), b.gain, steps, head
    expect([...segments.elements]).toEqual([40 * 8 + 70_000 + 15, 7, 16, 1]);
    expect([...segments.table]).toEqual([0, 0, -2, 0]);
    expect([...segments.cellEnd]).toEqual([320, 70_320, 70_335, 7, 16, 1]);
  });

  it('finds every tensor where it lies when inputs are sharded differently', async () => {
    const plan = await planOf([make('a', [LAYERS.slice(3), LAYERS.slice(0, 3)]), make('b', [LAYERS], 2)]);
    const { segments } = plan.shards[0]!;
    for (let s = 0; s < segments.count; s++) {
      for (const [m, member] of plan.members.entries()) {
        const file = segments.file[s * 2 + m]!;
        if (segments.table[s]! < 0 && m === 0) continue;
        const shard = member.checkpoint.shards[plan.files[file]!.file]!;
        const name = plan.layout.shards[0]!.tensors.names[segments.cellRow[segments.cell[s]!]!]!;
        const row = shard.tensors.rowOf(name);
        expect(segments.offset[s * 2 + m]).toBe(shard.tensors.offset[row]!);
      }
    }
  });

  it('leaves out members whose weight is 0 in every output', async () => {
    const plan = await planOf([make('a'), make('b'), make('c')], {
      outputs: [
        { path: at('x'), weights: [0, 0.5, 0.5] },
        { path: at('y'), weights: [0, 1, 0] },
      ],
    });
    expect(plan.members.map((m) => m.participates)).toEqual([false, true, true]);
    expect(new Set(plan.files.map((f) => f.member))).toEqual(new Set([1, 2]));
  });
});

/**
 * What the batches of all units say: where each piece goes, how many elements it has, and where member `m` of
 * N has them.
 */
function piecesOf(plan: Plan, unitLimit: number, budget: number): { to: number; count: number; from: (number | null)[] }[] {
  const N = plan.members.length;
  return planUnits(plan, { size: unitLimit }).flatMap((unit) => {
    const pieces = [];
    const cutter = new BatchCutter(plan, unit);
    for (let batch = cutter.next(budget); batch !== undefined; batch = cutter.next(budget)) {
      const { count, outOffset, file, offset, cell, cellEnd } = batch.job;
      for (let s = 0; s < count.length; s++) {
        const from = Array.from({ length: N }, (_, m) => (file[s * N + m]! < 0 ? null : offset[s * N + m]!));
        pieces.push({ to: outOffset[s]!, count: count[s]!, from });
        expect(cellEnd[cell[s + 1]! - 1]).toBe(count[s]);
      }
    }
    return pieces;
  });
}

describe('units and batches', () => {
  it('cover every element once, in file order, wherever they are cut', async () => {
    const plan = await planOf([make('a'), make('b', [LAYERS], 2)]);
    const { segments } = plan.shards[0]!;
    for (const [limit, budget] of [
      [2 ** 40, 2 ** 40],
      [2 ** 40, 1000],
      [131_072, 2 ** 40],
      [131_072, 5000],
    ] as const) {
      const pieces = piecesOf(plan, limit, budget);
      let next = 0;
      for (let segment = 0; segment < segments.count; segment++) {
        for (let done = 0; done < segments.elements[segment]!; next++) {
          const { to, count, from } = pieces[next]!;
          const bytesBefore = to - segments.outOffset[segment]!;
          expect(bytesBefore / [2, 4, 1, 2][segment]!).toBe(done);
          // Inputs and output have the same dtypes here, so they advance alike.
          for (const [m, at] of from.entries()) if (at !== null) expect(at).toBe(segments.offset[segment * 2 + m]! + bytesBefore);
          done += count;
        }
      }
      expect(next).toBe(pieces.length);
    }
    expect(planUnits(plan, { size: 131_072 }).length).toBeGreaterThan(1);
  });

  it('ranges of units are the whole files, without gaps', async () => {
    const plan = await planOf([make('a', [LAYERS.slice(0, 4), LAYERS.slice(4)])]);
    for (const shard of [0, 1]) {
      const ranges = planUnits(plan, { size: 131_072 }).filter((u) => u.shard === shard);
      expect(ranges[0]!.ranges[0]!.start).toBe(0);
      for (const [
        i,
        {
          ranges: [range],
        },
      ] of ranges.slice(1).entries())
        expect(range!.start).toBe(ranges[i]!.ranges[0]!.end);
      expect(ranges.at(-1)!.ranges[0]!.end).toBe(plan.outputs[0]!.files[shard]!.bytes);
      expect(ranges.map((u) => u.first)).toEqual(ranges.map((_, i) => i === 0));
    }
  });
});

describe('conflicts', () => {
  const change = (name: string, to: Partial<FixtureTensor>) => LAYERS.map((t) => (t.name === name ? { ...t, ...to } : t));

  it('collects all of them', async () => {
    const b = make('b', [
      change('embed', { shape: [8, 40] })
        .filter((t) => t.name !== 'b.gain')
        .concat({ name: 'extra', dtype: 'BF16', shape: [1] }),
    ]);
    const error = await planOf([make('a', [change('a.weight', { dtype: 'F16' })]), b]).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'E_CONFLICTS' });
    const found = (error as { details: { conflicts: { code: string; tensor: string }[] } }).details.conflicts.map(
      (c) => `${c.code} ${c.tensor}`,
    );
    expect(found.sort()).toEqual(['E_MIXED_DTYPES a.weight', 'E_SHAPE embed', 'E_TENSOR_EXTRA b.gain', 'E_TENSOR_MISSING extra']);
  });

  it('names a differing integer tensor', async () => {
    const b = make('b', [change('steps', { data: new Uint8Array(16).fill(4) })]);
    await expect(planOf([make('a'), b])).rejects.toMatchObject({ code: 'E_INTEGERS_DIFFER', details: { tensor: 'steps' } });
  });

  it('refuses quantised storage', async () => {
    const tensors: FixtureTensor[] = [{ name: 'w', dtype: 'F8_E8M0', shape: [4] }];
    await expect(planOf([make('a', [tensors])])).rejects.toMatchObject({ code: 'E_UNSUPPORTED_DTYPE', details: { tensor: 'w' } });
  });

  it('refuses complex numbers as what they are, with the way through', async () => {
    const tensors: FixtureTensor[] = [{ name: 'w', dtype: 'C64', shape: [4] }];
    const inputs = [make('a', [tensors]), make('b', [tensors])];
    const error = await planOf(inputs).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'E_UNSUPPORTED_DTYPE', message: expect.stringContaining('complex numbers are not averaged') });
    expect((error as Error & { help: string }).help).toContain("'name=w:use=newest'");
    const policies = [{ name: 'w', use: 'newest' as const }];
    await expect(planOf(inputs, { outputs: [{ path: at('out'), policies }] })).resolves.toBeDefined();
  });

  it('stores mixed dtypes as in the newest when that is allowed', async () => {
    const inputs = [make('a', [change('a.weight', { dtype: 'F32' })]), make('b')];
    await expect(planOf(inputs)).rejects.toMatchObject({ code: 'E_MIXED_DTYPES' });
    const plan = await planOf(inputs, { allowMixedDtypes: true });
    expect(plan.outputs[0]!.files[0]!.bytes).toBe(
      plan.layout.shards[0]!.stat.size + plan.outputs[0]!.files[0]!.headerBytes - plan.layout.shards[0]!.tensors.offset[0]!,
    );
  });

  it.each([
    ['is the input', 'run/a', 'E_OUTPUT_OVERLAPS_INPUT'],
    ['contains the input', 'run', 'E_OUTPUT_OVERLAPS_INPUT'],
    ['lies inside the input', 'run/a/merged', 'E_OUTPUT_OVERLAPS_INPUT'],
    ['is the input through a link', 'link/a', 'E_OUTPUT_OVERLAPS_INPUT'],
    ['holds files of its own', 'full', 'E_OUTPUT_EXISTS'],
    ['is a file', 'file', 'E_OUTPUT_EXISTS'],
  ])('refuses an output that %s', async (_, out, code) => {
    const inputs = [make('run/a'), make('run/b')];
    symlinkSync(at('run'), at('link'));
    mkdirSync(at('full'));
    writeFileSync(at('full', 'x'), '');
    writeFileSync(at('file'), '');
    await expect(planOf(inputs, { outputs: [{ path: at(out) }] })).rejects.toMatchObject({ code });
  });

  it.each([
    ['a save of the run that is no member', 'run/checkpoint-100/merged', 'run/checkpoint-100'],
    ['one of another run', 'other/checkpoint-100/a/b', 'other/checkpoint-100'],
    ['a checkpoint beside the members, whatever its name', 'run/best/merged', 'run/best'],
  ])('refuses an output inside %s', async (_, out, save) => {
    const inputs = [make('run/checkpoint-200'), make('run/checkpoint-300')];
    make(save);
    const error = await planOf(inputs, { outputs: [{ path: at(out) }] }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'E_OUTPUT_OVERLAPS_INPUT',
      message: expect.stringContaining(`lies inside the checkpoint ${at(save)}`),
    });
  });

  it('takes a folder for an output whose name is a number, or that holds the members themselves', async () => {
    const files = ['a', 'b'].map((name) => make(`12/${name}`)).map((path) => join(path, 'model.safetensors'));
    await planOf(files, { outputs: [{ path: at('12', 'merged.safetensors') }] });
    const single = make('step-7');
    await planOf([join(single, 'model.safetensors')], { outputs: [{ path: join(single, 'merged.safetensors') }] });
    const inputs = [make('run/checkpoint-200'), make('run/checkpoint-300')];
    make('99');
    await planOf(inputs, { outputs: [{ path: at('99', 'merged') }] });
  });

  it('takes an empty folder and a folder to come for absent', async () => {
    const inputs = [make('a')];
    mkdirSync(at('empty'));
    await planOf(inputs, { outputs: [{ path: at('empty') }] });
    await planOf(inputs, { outputs: [{ path: at('not', 'there', 'yet') }] });
    expect(() => rmSync(at('not'))).toThrow();
  });
});

it('a plan of the same inputs and recipe has the same digest whatever else is in the run', async () => {
  const inputs = [make('a'), make('b', [LAYERS], 2)];
  const alone = await planOf(inputs, { outputs: [{ path: at('x'), weights: [0.25, 0.75] }] });
  const beside = await planOf(inputs, {
    outputs: [
      { path: at('y'), weights: [1, 0] },
      { path: at('x'), weights: [0.25, 0.75] },
    ],
  });
  expect(beside.outputs[1]!.digest).toBe(alone.outputs[0]!.digest);
  expect(beside.outputs[0]!.digest).not.toBe(alone.outputs[0]!.digest);
});
