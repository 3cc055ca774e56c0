import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { routers } from '../../src/analysis/routers/routers.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { dtypeByCode } from '../../src/base/dtype.ts';
import { ByteReader } from '../../src/base/store/byte-reader.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { readTensor } from '../../src/checkpoints/tensors/extents.ts';
import { average } from '../../src/merge/average.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import { safetensorsBytes, writeCheckpoint } from '../support/checkpoints.ts';
import { MOE_FAMILIES, writeMoe } from '../support/moe-layouts.ts';
import { EXPERTS, f32, normals, reordered, someLayers, trained } from '../support/moe-run.ts';
import { writeQuantised } from '../support/quantised-layouts.ts';
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

  it('in the conversion alone, which left the router as it was: refused', async () => {
    const folder = temporaryFolder();
    const older = writeMoe(folder, 100, before, family, 'v4');
    const newer = writeMoe(folder, 200, reordered(after, 1, ORDER, ['experts']), family, 'v5');
    const { code, message } = await mergeError(() => planOf([older, newer], join(folder, 'out')));
    expect([code, message.split(' (')[0]]).toEqual([
      'E_PERMUTED',
      `${MOVES} between ${older} and ${newer} by their weights, and rows of the router`,
    ]);
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

describe('quantised experts', () => {
  it.each([
    ['apart', 'fused'],
    ['fused', 'apart'],
  ] as const)('of FP8, %s and then %s: codes and scales as if both were in the layout of the newer', async (first, second) => {
    const folder = temporaryFolder();
    const older = writeQuantised(folder, 100, 1, 'block', first);
    const newer = writeQuantised(folder, 200, 2, 'block', second);
    const alike = writeQuantised(join(folder, 'alike'), 100, 1, 'block', second);
    const { warnings } = await average({ inputs: [older, newer], output: join(folder, 'out') });
    expect(warnings.map(({ code }) => code)).toContain('W_OTHER_LAYOUT');
    await average({ inputs: [alike, newer], output: join(folder, 'one') });
    const bytes = (name: string) => readFileSync(join(folder, name, 'model.safetensors'));
    expect(bytes('out').equals(bytes('one'))).toBe(true);
    expect((await verify(join(folder, 'out'), { full: true })).recomputed.fraction).toBe(1);
  });

  it('of FP8 and FP4 in other places are refused', async () => {
    const folder = temporaryFolder();
    for (const [form, first, second] of [
      ['block', 'apart', 'fused'],
      ['row', 'fused', 'fused'],
      ['MXFP4', 'apart', 'apart'],
      ['MXFP4', 'fused', 'fused'],
    ] as const) {
      const older = writeQuantised(folder, 100, 1, form, first);
      const request = (newer: string) =>
        buildPlan({ inputs: [{ path: older }, { path: newer }], outputs: [{ path: join(folder, 'out'), method: 'sma', dtype: 'same' }] });
      await request(writeQuantised(folder, 200, 2, form, second));
      const error = await mergeError(() => request(writeQuantised(folder, 200, 2, form, second, { order: [1, 0, 2] })));
      expect([form, error.code]).toEqual([form, 'E_PERMUTED']);
    }
  });

  it('are quantised anew beside a scale that scales nothing, where that is let through', async () => {
    const folder = temporaryFolder();
    const stray = (step: number) => {
      const path = writeQuantised(folder, step, step, 'block', 'apart');
      const plain = writeQuantised(join(folder, 'plain'), step, step, 'block', 'apart');
      const file = join(path, 'model.safetensors');
      const header = readFileSync(file);
      const length = Number(header.readBigUInt64LE());
      const names = JSON.parse(header.subarray(8, 8 + length).toString());
      const end = header.length - 8 - length;
      const text = Buffer.from(
        JSON.stringify({ ...names, 'model.norm.weight_scale_inv': { dtype: 'F32', shape: [1], data_offsets: [end, end + 4] } }),
      );
      const prefix = Buffer.alloc(8);
      prefix.writeBigUInt64LE(BigInt(text.length));
      writeFileSync(file, Buffer.concat([prefix, text, header.subarray(8 + length), Buffer.from(new Float32Array([1]).buffer)]));
      return { path, plain };
    };
    const [a, b] = [stray(100), stray(200)];
    const refused = await mergeError(() => average({ inputs: [a.path, b.path], output: join(folder, 'out') }));
    expect(refused.code).toBe('E_SCALE_ORPHAN');
    await average({ inputs: [a.path, b.path], output: join(folder, 'out'), allowUnknown: true });
    await average({ inputs: [a.plain, b.plain], output: join(folder, 'one') });
    const [out, one] = [await openCheckpoint(join(folder, 'out')), await openCheckpoint(join(folder, 'one'))];
    const reader = new ByteReader();
    for (const name of one.shards[0]!.tensors.names) {
      const bytes = await Promise.all([out, one].map((checkpoint) => readTensor(reader, checkpoint, checkpoint.locate(name)!)));
      expect(bytes[0]!.equals(bytes[1]!), name).toBe(true);
    }
    await reader.close();
  });

  it('that a member lacks are missing, not an internal error', async () => {
    const folder = temporaryFolder();
    const older = writeQuantised(folder, 100, 1, 'block', 'apart');
    const file = join(older, 'model.safetensors');
    const all = await openCheckpoint(older);
    const { names, dtypes, shapes } = all.shards[0]!.tensors;
    const tensors = names.flatMap((name, row) =>
      name.includes('experts.2.down') ? [] : [{ name, dtype: dtypeByCode(dtypes[row]!).name, shape: shapes[row]! }],
    );
    writeFileSync(file, safetensorsBytes(tensors, 1));
    const dense = JSON.parse(readFileSync(join(older, 'config.json'), 'utf8'));
    writeFileSync(join(older, 'config.json'), JSON.stringify({ ...dense, num_experts: undefined }));
    const newer = writeQuantised(folder, 200, 2, 'block', 'apart');
    const error = await mergeError(() =>
      buildPlan({
        inputs: [{ path: older }, { path: newer }],
        outputs: [{ path: join(folder, 'out'), method: 'sma' }],
        allowConfigs: true,
      }),
    );
    expect((error.details.conflicts ?? []).map(({ code }) => code).concat(error.code)).not.toContain('E_INTERNAL');
    expect(error.code).not.toBe('E_INTERNAL');
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
