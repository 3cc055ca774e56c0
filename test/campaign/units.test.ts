import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import type { MergeEvent, MergeResult } from '../../src/merge/engine/events.ts';
import { type ExecuteOptions, executePlan, executeUnits, type UnitSequence } from '../../src/merge/engine/execute.ts';
import { planUnits } from '../../src/merge/engine/units.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import type { OutputRequest, Plan } from '../../src/merge/plan/types.ts';
import { planRecipe } from '../../src/merge/run.ts';
import { type FixtureTensor, generator, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { published } from '../support/multi-output.ts';

const SIZE = 65_536;
const NAN = new Uint8Array(2 * 90_000);
NAN.set([0x80, 0x7f], 130_000);
const TENSORS: readonly FixtureTensor[] = [
  { name: 'layers.0.mlp.up_proj.weight', dtype: 'BF16', shape: [300, 401] },
  { name: 'layers.0.mlp.down_proj.weight', dtype: 'F32', shape: [150, 301] },
  { name: 'position_ids', dtype: 'I64', shape: [20_000], data: new Uint8Array(160_000).fill(3) },
  { name: 'layers.1.mlp.up_proj.weight', dtype: 'BF16', shape: [90_000] },
  { name: 'layers.1.mlp.down_proj.weight', dtype: 'F16', shape: [257, 255] },
];
const SHARDED = [TENSORS.slice(0, 3), TENSORS.slice(3)];
const RECIPES: readonly Omit<OutputRequest, 'path'>[] = [{}, { method: 'wma', dtype: 'F32' }, { members: [0, 2] }];

let folder: ReturnType<typeof temporaryFolder>;
let inputs: string[];
beforeEach(() => {
  folder = temporaryFolder();
  const bad = TENSORS.map((t) => (t.name === 'layers.1.mlp.up_proj.weight' ? { ...t, data: NAN } : t));
  inputs = [
    writeCheckpoint(at('run', 'checkpoint-100'), [TENSORS], 1),
    writeCheckpoint(at('run', 'checkpoint-200'), [bad.slice(0, 1), bad.slice(1, 4), bad.slice(4)], 2),
    writeCheckpoint(at('run', 'checkpoint-300'), SHARDED, 3),
  ];
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);
const hidden = (place: string) => readdirSync(at(place)).filter((name) => name.startsWith('.'));
const planOf = (place: string, recipes = RECIPES): Promise<Plan> =>
  buildPlan({ inputs, outputs: recipes.map((recipe, k) => ({ ...recipe, path: at(place, `out-${k}`) })) });
const contents = (place: string, recipes = RECIPES) => recipes.map((_, k) => published(at(place, `out-${k}`)));

async function execute(plan: Plan, options: ExecuteOptions = {}, order?: UnitSequence): Promise<MergeResult> {
  const events = executePlan(plan, { threads: 2, unitBytes: SIZE, ...options }, order);
  for (let next = await events.next(); ; next = await events.next()) if (next.done) return next.value;
}

async function make(plan: Plan, units: UnitSequence, options: ExecuteOptions = {}): Promise<MergeEvent[]> {
  const events: MergeEvent[] = [];
  for await (const event of executeUnits(plan, { threads: 2, unitBytes: SIZE, ...options }, units)) events.push(event);
  return events;
}

function shuffled(count: number, seed: number): number[] {
  const random = generator(seed);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random() % (i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

describe('units in any order', () => {
  it('give the bytes, checksums and warnings of the order of the files, and what the slow twin computes', async () => {
    await execute(await planOf('whole'), { unitBytes: undefined });
    const count = planUnits(await planOf('whole-2'), { size: SIZE }).length;
    expect(count).toBeGreaterThan(10);
    const orders = [undefined, [...Array(count).keys()].reverse(), shuffled(count, 1), shuffled(count, 2)];
    for (const [i, order] of orders.entries()) {
      const result = await execute(await planOf(`order-${i}`), {}, order);
      expect(contents(`order-${i}`)).toEqual(contents('whole'));
      expect(result.warnings.filter((w) => w.code === 'W_NONFINITE')).toHaveLength(1);
      expect(hidden(`order-${i}`)).toEqual([]);
    }
    for (const k of RECIPES.keys()) await verify(at('order-3', `out-${k}`), { full: true });
  });

  it('may be told as the work goes on, twice, or when they are there already', async () => {
    await execute(await planOf('whole'));
    const plan = await planOf('place');
    const count = planUnits(plan, { size: SIZE }).length;
    async function* claimed() {
      for (const index of [3, 3, ...shuffled(count, 3)]) yield index;
    }
    await execute(plan, {}, claimed());
    expect(contents('place')).toEqual(contents('whole'));
  });

  it('are refused where one is left out or is none', async () => {
    const plan = await planOf('place');
    await expect(execute(plan, {}, [0, 2])).rejects.toMatchObject({ code: 'E_INTERNAL', message: /unit 1 of \d+ was not made/ });
    await expect(execute(plan, {}, [0, 999])).rejects.toMatchObject({ code: 'E_INTERNAL' });
    expect(readdirSync(folder.path)).toEqual(['run']);
  });

  it('are of a size that is a positive number of bytes', async () => {
    const recipe = { inputs, outputs: [{ path: at('out') }] };
    for (const unitBytes of [0, -1, 1.5, Number.NaN]) {
      await expect(planRecipe(recipe, { unitBytes })).rejects.toMatchObject({ code: 'E_OPTION', message: /unitBytes/ });
    }
  });
});

describe('units made by several calls over one partial', () => {
  it('add up to the bytes of one call, whoever publishes', async () => {
    await execute(await planOf('whole'));
    const plan = await planOf('place');
    const order = shuffled(planUnits(plan, { size: SIZE }).length, 4);
    const [first, second, rest] = [order.slice(0, 5), order.slice(5, 8), order.slice(8)];
    expect(await make(plan, first)).toContainEqual({ type: 'kept', output: at('place', 'out-0') });
    expect(hidden('place')).toHaveLength(RECIPES.length);
    await make(plan, [...second, first[0]!], { resume: true });
    const result = await execute(plan, { resume: true }, rest);
    const of = (units: readonly number[]) => {
      const all = planUnits(plan, { size: SIZE });
      return units.flatMap((u) => all[u]!.ranges).reduce((sum, { start, end }) => sum + end - start, 0);
    };
    expect(result.resumedBytes).toBe(of([...first, ...second]));
    expect(contents('place')).toEqual(contents('whole'));
    expect(hidden('place')).toEqual([]);
  });

  it('of another size are made anew, to the same bytes', async () => {
    await execute(await planOf('whole'));
    const plan = await planOf('place');
    await make(plan, [4, 1]);
    const result = await execute(plan, { resume: true, unitBytes: 3 * SIZE });
    expect(result.resumedBytes).toBe(0);
    expect(contents('place')).toEqual(contents('whole'));
  });

  it('leave nothing where none was finished', async () => {
    const plan = await planOf('place');
    expect((await make(plan, [])).map((e) => e.type)).not.toContain('kept');
    expect(readdirSync(folder.path)).toEqual(['run']);
  });
});

describe('where units are cut', () => {
  const rangesOf = (plan: Plan, k: number) => planUnits(plan, { size: SIZE }).map(({ shard, ranges }) => [shard, ranges[k]] as const);

  it('is at multiples of their size in the file, whatever the sharding of the inputs', async () => {
    const one = [RECIPES[0]!];
    const before = rangesOf(await planOf('a', one), 0);
    for (const [shard, range] of before) {
      if (range!.start !== 0) expect([shard, range!.start % SIZE]).toEqual([shard, 0]);
    }
    const sharded = [TENSORS.map((t) => [t]), [TENSORS], [TENSORS.slice(3), TENSORS.slice(0, 3)]];
    for (const [i, name] of ['checkpoint-100', 'checkpoint-200'].entries()) {
      rmSync(at('run', name), { recursive: true });
      writeCheckpoint(at('run', name), sharded[i]!, i + 1);
    }
    expect(rangesOf(await planOf('a', one), 0)).toEqual(before);
  });

  it('is at the same elements in several outputs, and where they were when some are published', async () => {
    const plan = await planOf('a', [{}, { method: 'wma' }, { members: [0, 2] }]);
    const starts = rangesOf(plan, 0).map(([shard, range]) => range!.start - plan.outputs[0]!.files[shard]!.headerBytes);
    for (const [i, start] of starts.entries()) if (rangesOf(plan, 0)[i]![1]!.start > 0) expect(start % SIZE).toBe(0);
    const left: Plan = { ...(await planOf('a', [{ method: 'wma' }])), finished: [at('a', 'out-0'), at('a', 'out-2')] };
    const data = (of: Plan, k: number) =>
      rangesOf(of, k).map(([shard, range]) => (range!.start === 0 ? 0 : range!.start - of.outputs[k]!.files[shard]!.headerBytes));
    expect(data(left, 0)).toEqual(data(plan, 1));
  });

  it('is nowhere inside an element', async () => {
    // F32 at an odd place: no multiple of a power of two is a place where an element begins.
    const odd: FixtureTensor[] = [
      { name: 'a', dtype: 'BF16', shape: [40_001] },
      { name: 'b', dtype: 'F32', shape: [60_000] },
      { name: 'c', dtype: 'BF16', shape: [70_000] },
    ];
    inputs = [1, 2].map((seed) => writeCheckpoint(at('odd', `checkpoint-${seed}`), [odd], seed));
    const plan = await planOf('place', [{}]);
    const starts = rangesOf(plan, 0).map(([, range]) => range!.start);
    const begin = plan.outputs[0]!.files[0]!.headerBytes + 80_002;
    expect(starts.filter((start) => start > begin && start < begin + 240_000)).toEqual([]);
    expect(starts.length).toBeGreaterThan(3);
    await execute(plan, {}, shuffled(starts.length, 5));
    await verify(at('place', 'out-0'), { full: true });
  });
});
