import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import type { OutputRequest, PlanRequest } from '../../src/merge/plan/types.ts';
import { type FixtureTensor, safetensorsBytes, temporaryFolder } from '../support/checkpoints.ts';
import { merge, published, writeRun } from '../support/multi-output.ts';

const TENSORS: FixtureTensor[] = [
  { name: 'embed', dtype: 'BF16', shape: [97, 33] },
  { name: 'up', dtype: 'BF16', shape: [101, 257] },
  { name: 'norm', dtype: 'F32', shape: [257] },
  { name: 'bias', dtype: 'F16', shape: [1031] },
  { name: 'double', dtype: 'F64', shape: [63] },
  { name: 'ids', dtype: 'I64', shape: [16], data: new Uint8Array(128).fill(9) },
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/** Recipes that differ in members, schedule, dtype; windows, single members, extrapolation, a weight of 0. */
const RECIPES: readonly Omit<OutputRequest, 'path'>[] = [
  { members: [0, 1, 2] },
  { members: [1, 2, 3], method: 'wma' },
  { members: [2, 3, 4], method: 'ema', alpha: 0.3, dtype: 'F32' },
  { members: [4], dtype: 'F16' },
  { members: [0, 5], weights: [-0.5, 1.5] },
  { members: [0, 2, 4, 5], weights: [0.25, 0, 0.75, 0] },
  { members: [3, 4, 5], weights: [2, 1, 1], normalize: true },
  {},
  { members: [1], weights: [3] },
];

/** What each recipe gives alone, and what it gave beside the others. */
async function aloneAndTogether(
  inputs: readonly string[],
  recipes: readonly Omit<OutputRequest, 'path'>[],
  more: Partial<PlanRequest> = {},
  suffix = '',
) {
  const requests = recipes.map((recipe, k) => ({ ...recipe, name: `out-${k}${suffix}` }));
  const together = await merge({ inputs, outputs: requests.map((r) => ({ ...r, path: at('together', r.name) })), ...more });
  const alone = [];
  for (const { name, members, ...recipe } of requests) {
    const own = members === undefined ? inputs : members.map((m) => inputs[m]!);
    const result = await merge({ inputs: own, outputs: [{ ...recipe, path: at('alone', name) }], ...more });
    alone.push({ name, result });
  }
  return { together, alone };
}

describe('outputs made in one read', () => {
  it('are in every file what each is alone', async () => {
    const inputs = writeRun(at('run'), TENSORS, 6);
    const { together, alone } = await aloneAndTogether(inputs, RECIPES);
    for (const { name } of alone) expect(published(at('together', name)), name).toEqual(published(at('alone', name)));
    expect(together.outputs.map(({ path, ...o }) => o)).toEqual(alone.map(({ result }) => ({ ...result.outputs[0]!, path: undefined })));
    // Each input byte once, although checkpoint 5 is in six of them (copied integers come from one member).
    const bytesOfOne = alone[3]!.result.bytesRead;
    expect(together.bytesRead).toBe(6 * bytesOfOne - 5 * 128);
    expect(alone.reduce((sum, a) => sum + a.result.bytesRead, 0)).toBeGreaterThan(3 * together.bytesRead);
    // What the newest of each own members says, not what the newest of all says.
    expect(readFileSync(at('together', 'out-0', 'generation_config.json'), 'utf8')).toBe('{"at":300}');
    expect(readFileSync(at('together', 'out-0', 'model-00001-of-00002.safetensors'), 'latin1').slice(0, 400)).toContain(
      '"of":"checkpoint 300"',
    );
    expect(JSON.parse(readFileSync(at('together', 'out-0', 'model.safetensors.index.json'), 'utf8')).metadata.from).toBe('checkpoint 300');
  });

  it('are what each is alone with a layout for all, too', async () => {
    const inputs = writeRun(at('run'), TENSORS, 4);
    const recipes = RECIPES.slice(0, 2);
    const { alone } = await aloneAndTogether(inputs, recipes, { like: inputs[0]! });
    for (const { name } of alone) expect(published(at('together', name)), name).toEqual(published(at('alone', name)));
  });

  it('are what each is alone as single files', async () => {
    const inputs = [1, 2, 3].map((step) => {
      writeFileSync(at(`step-${step}.safetensors`), safetensorsBytes(TENSORS, step, { format: 'pt', of: `checkpoint ${step}` }));
      return at(`step-${step}.safetensors`);
    });
    const recipes = [{ members: [0, 1] }, { members: [1, 2], dtype: 'F32' as const }, { members: [0], weights: [2] }];
    const { alone } = await aloneAndTogether(inputs, recipes, {}, '.safetensors');
    for (const { name } of alone) {
      expect(existsSync(at('together', name))).toBe(true);
      expect(published(at('together', name)), name).toEqual(published(at('alone', name)));
      expect((await verify(at('together', name), { full: true, inputs })).recomputed.mode).toBe('full');
    }
  });

  it('are verified each on its own, where members have no weight, too', async () => {
    const inputs = writeRun(at('run'), TENSORS, 6);
    await merge({ inputs, outputs: RECIPES.map((recipe, k) => ({ ...recipe, path: at(`out-${k}`) })) });
    for (const k of RECIPES.keys()) {
      const { recomputed, warnings } = await verify(at(`out-${k}`), { full: true });
      expect({ k, fraction: recomputed.fraction, warnings }).toEqual({ k, fraction: 1, warnings: [] });
    }
    const recorded = JSON.parse(readFileSync(at('out-5', 'merge_provenance.json'), 'utf8')).recipe;
    expect(recorded.members.map((m: { step: number; weight: number }) => [m.step, m.weight])).toEqual([
      [100, 0.25],
      [500, 0.75],
    ]);
    expect(JSON.parse(readFileSync(at('out-2', 'merge_provenance.json'), 'utf8')).recipe).toMatchObject({
      method: 'ema',
      alpha: 0.3,
      parameters: { alpha: 0.3 },
    });
  });
});

describe('a bad checkpoint that one output reads', () => {
  /** Elements as bytes: NaN, inf, -0, and in all others 0.5. */
  const odd = (): Uint8Array => {
    const data = new Uint16Array(4096).fill(0x3f00);
    data.set([0x7fc1, 0xff80, 0x8000], 1000);
    return new Uint8Array(data.buffer);
  };
  const PLAIN: FixtureTensor[] = [
    { name: 'head.weight', dtype: 'BF16', shape: [4096] },
    { name: 'embed', dtype: 'BF16', shape: [64, 64] },
  ];
  const recipes = [{ members: [0, 1] }, { members: [1, 2] }, { members: [0, 3], weights: [0.5, 0.5] }];

  function badRun(): string[] {
    const inputs = writeRun(at('run'), PLAIN, 4);
    const bad = PLAIN.map((t) => (t.name === 'head.weight' ? { ...t, data: odd() } : t));
    writeFileSync(
      join(inputs[2]!, 'model-00001-of-00002.safetensors'),
      safetensorsBytes(bad.slice(0, 1), 3, { format: 'pt', of: 'checkpoint 300' }),
    );
    return inputs;
  }

  it('is named in the warnings of that output only, and the others are what they are without it', async () => {
    const inputs = badRun();
    const { together, alone } = await aloneAndTogether(inputs, recipes);
    for (const { name } of alone) expect(published(at('together', name)), name).toEqual(published(at('alone', name)));
    const message = `tensor head.weight of ${inputs[2]} holds 1 NaN and 1 infinite values`;
    expect(together.warnings).toEqual([{ code: 'W_NONFINITE', message }]);
    const recorded = recipes.map((_, k) => JSON.parse(readFileSync(at('together', `out-${k}`, 'merge_provenance.json'), 'utf8')).warnings);
    expect(recorded.map((w) => w.length)).toEqual([0, 1, 0]);
    expect(recorded[1][0].message).toContain('tensor head.weight of checkpoint-300');
  });

  it('in two outputs is said once, and recorded in both', async () => {
    const inputs = badRun();
    const { warnings } = await merge({
      inputs,
      outputs: [
        { path: at('a'), members: [1, 2] },
        { path: at('b'), members: [0, 2] },
      ],
    });
    expect(warnings).toHaveLength(1);
    for (const name of ['a', 'b']) expect(JSON.parse(readFileSync(at(name, 'merge_provenance.json'), 'utf8')).warnings).toHaveLength(1);
  });

  it('fails the whole run where that is asked for, and nothing is published', async () => {
    const inputs = badRun();
    const outputs = recipes.map((recipe, k) => ({ ...recipe, path: at(`out-${k}`) }));
    await expect(merge({ inputs, outputs }, { failNonfinite: true })).rejects.toMatchObject({
      code: 'E_NONFINITE',
      details: { tensor: 'head.weight', file: inputs[2], conflicts: [{ code: 'E_NONFINITE' }] },
    });
    expect(outputs.map((o) => existsSync(o.path))).toEqual([false, false, false]);
  });

  it('does not count for outputs in which its weight is 0', async () => {
    const inputs = badRun();
    const outputs = [
      { path: at('a'), members: [0, 1, 2], weights: [0.5, 0.5, 0] },
      { path: at('b'), members: [2] },
    ];
    await merge({ inputs, outputs });
    const warnings = ['a', 'b'].map((name) => JSON.parse(readFileSync(at(name, 'merge_provenance.json'), 'utf8')).warnings.length);
    expect(warnings).toEqual([0, 1]);
  });

  it('overflows in one output are its own', async () => {
    const inputs = writeRun(at('run'), PLAIN, 2);
    const outputs = [
      { path: at('a'), weights: [0.5, 0.5] },
      { path: at('b'), weights: [1e42, 1e42] },
    ];
    const { warnings } = await merge({ inputs, outputs });
    expect(warnings.filter((w) => w.code === 'W_OVERFLOW').map((w) => w.message)).toEqual([
      expect.stringContaining(at('b')),
      expect.stringContaining(at('b')),
    ]);
    expect(JSON.parse(readFileSync(at('a', 'merge_provenance.json'), 'utf8')).warnings).toEqual([]);
  });
});
