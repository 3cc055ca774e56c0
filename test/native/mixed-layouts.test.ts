import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { routers } from '../../src/analysis/routers/routers.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { average } from '../../src/merge/average.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { MOE_FAMILIES, writeMoe } from '../support/moe-layouts.ts';
import { EXPERTS, f32, normals, reordered, someLayers, trained } from '../support/moe-run.ts';
import { mergeError, temporaryFolder } from '../support/safetensors.ts';

const ORDER = [2, 0, 1, 3, 5, 4];
const before = someLayers(1);
const after = trained(before, 2);

const planOf = (inputs: readonly string[], output: string, allowPermuted = false) =>
  buildPlan({ inputs: inputs.map((path) => ({ path })), outputs: [{ path: output, method: 'sma' }], allowPermuted });

const MOVES = 'layer 1: experts moved: 0 to 1, 1 to 2, 2 to 0, 4 to 5 and 1 more';

describe.each(Object.entries(MOE_FAMILIES))('%s: experts of one layer in another order', (_, family) => {
  it.each([
    ['v4', 'v5'],
    ['v5', 'v4'],
  ] as const)('%s, then %s: refused as in one layout', async (first, second) => {
    const folder = temporaryFolder();
    const older = writeMoe(folder, 100, before, family, first);
    const newer = writeMoe(folder, 200, reordered(after, 1, ORDER), family, second);
    const { code, message, details } = await mergeError(() => planOf([older, newer], join(folder, 'out')));
    expect([code, message, details.file]).toEqual(['E_PERMUTED', `${MOVES} between ${older} and ${newer}`, newer]);
  });
});

describe.each(['mixtral', 'granitemoe'] as const)('%s: a checkpoint in one layout and the next in another', (name) => {
  const family = MOE_FAMILIES[name]!;

  it('report and diff find what they find in one layout; the refusal has a way through', async () => {
    const folder = temporaryFolder();
    const older = writeMoe(folder, 100, before, family, 'v4');
    const alike = writeMoe(folder, 200, reordered(after, 1, ORDER), family, 'v4');
    const newer = writeMoe(join(folder, 'other'), 200, reordered(after, 1, ORDER), family, 'v5');
    const same = await mergeError(() => planOf([older, alike], join(folder, 'out')));
    expect([same.code, same.message]).toEqual(['E_PERMUTED', `${MOVES} between ${older} and ${alike}`]);
    const { outputs } = await planOf([older, newer], join(folder, 'out'), true);
    expect(outputs[0]!.warnings.map(({ code }) => code)).toContain('W_EXPERT_ORDER');

    const [mixed, one] = [await routers({ inputs: [older, newer] }), await routers({ inputs: [older, alike] })];
    expect(mixed.verdict.kind).toBe('refuse');
    expect(mixed.layers.map(({ identity }) => identity[0]!.status)).toEqual(['same', 'permuted']);
    expect(mixed.layers.map((layer) => ({ ...layer, name: '' }))).toEqual(one.layers.map((layer) => ({ ...layer, name: '' })));
    const swapped = async (second: string) => {
      const { findings } = await diff({ inputs: [older, second] });
      return findings.filter(({ kind }) => kind === 'swapped').map(({ message }) => message.split(' between ')[0]);
    };
    expect(await swapped(newer)).toEqual(await swapped(alike));
    expect((await swapped(newer)).length).toBe(2);
  });

  it('experts in their places are merged, compared and verified', async () => {
    const folder = temporaryFolder();
    const inputs = [writeMoe(folder, 100, before, family, 'v4'), writeMoe(folder, 200, after, family, 'v5')];
    const { verdict } = await routers({ inputs });
    expect(verdict.kind).toBe('no-objection');
    expect(verdict.notTested.join()).not.toContain('kept their places');
    expect((await diff({ inputs })).findings).toEqual([]);
    const { warnings } = await average({ inputs, output: join(folder, 'out') });
    expect(warnings.map(({ code }) => code)).not.toContain('W_EXPERT_ORDER');
    expect((await verify(join(folder, 'out'), { full: true })).recomputed.fraction).toBe(1);
  });
});

describe('what cannot be mapped', () => {
  it('is said where experts of one form lie beside transposed ones: their places are not tested, nor are they merged', async () => {
    const folder = temporaryFolder();
    const config = JSON.stringify({ ...MOE_FAMILIES.olmoe!.config, model_type: 'llama4_text' });
    const olmoe = MOE_FAMILIES.olmoe!;
    const write = (step: number, layout: 'v4' | 'v5') =>
      writeCheckpoint(join(folder, `checkpoint-${step}`), [before.flatMap((own, l) => olmoe[layout](`model.layers.${l}`, own))], 0, {
        'config.json': config,
      });
    const inputs = [write(100, 'v4'), write(200, 'v5')];
    const { verdict } = await routers({ inputs });
    expect(verdict.notTested.join()).toContain("Whether experts' weights kept their places between step 100 and step 200");
    expect((await mergeError(() => planOf(inputs, join(folder, 'out')))).code).toBe('E_LAYOUT_FORM');
  });

  it('is a matrix of as many elements in another shape', async () => {
    const folder = temporaryFolder();
    const config = JSON.stringify({ model_type: 'brand_new', num_experts: EXPERTS, num_experts_per_tok: 2 });
    const weights = Float32Array.from({ length: EXPERTS * 32 * 16 }, normals(5));
    const write = (step: number, tensors: Parameters<typeof writeCheckpoint>[1][number]) =>
      writeCheckpoint(join(folder, `checkpoint-${step}`), [tensors], 0, { 'config.json': config });
    const inputs = [
      write(100, [f32('model.layers.0.mlp.experts.down_proj', [EXPERTS, 16, 32], weights)]),
      write(
        200,
        Array.from({ length: EXPERTS }, (_, e) =>
          f32(`model.layers.0.mlp.experts.${e}.down_proj.weight`, [32, 16], weights.subarray(e * 512, (e + 1) * 512)),
        ),
      ),
    ];
    const error = await mergeError(() => planOf(inputs, join(folder, 'out')));
    expect(error.code).toBe('E_LAYOUT_FORM');
    expect(error.details.conflicts?.[0]?.message ?? error.message).toContain('it is [16, 32] there and [32, 16] in the layout');
  });

  it('is a router beside its transpose', async () => {
    const folder = temporaryFolder();
    const olmoe = MOE_FAMILIES.olmoe!;
    const older = writeMoe(folder, 100, before, olmoe, 'v4');
    const turned = before.flatMap((own, l) =>
      olmoe.v4(`model.layers.${l}`, own).map((tensor) => (tensor.shape[0] === EXPERTS ? { ...tensor, shape: [32, EXPERTS] } : tensor)),
    );
    const newer = writeCheckpoint(join(folder, 'checkpoint-200'), [turned], 0, { 'config.json': JSON.stringify(olmoe.config) });
    const error = await mergeError(() => routers({ inputs: [older, newer] }));
    expect(error.code).toBe('E_SHAPE');
  });
});
