import { describe, expect, test } from 'vitest';
import { type DtypeName, dtypeByName } from '../../../src/base/dtype.ts';
import { ColumnTable } from '../../../src/checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../../src/checkpoints/types.ts';
import { classify } from '../../../src/model/roles/classify.ts';
import { NO_CONTEXT } from '../../../src/model/roles/context.ts';
import { doubtByName, doubtByValues, hasCodesBeside, holdsCodes } from '../../../src/model/roles/unknown.ts';

/** A checkpoint of tensors `name DTYPE`. */
function holding(...tensors: string[]): Pick<Checkpoint, 'shards' | 'locate'> {
  const split = tensors.map((tensor) => tensor.split(' ') as [string, DtypeName]);
  const table = new ColumnTable({
    names: split.map(([name]) => name),
    shapes: split.map(() => [4, 4]),
    dtypes: Uint8Array.from(split, ([, dtype]) => dtypeByName(dtype)!.code),
    bytes: new Float64Array(split.length),
    offset: new Float64Array(split.length),
  });
  const shards = [{ name: 'model.safetensors', path: '/m/model.safetensors', tensors: table }];
  const locate = (name: string) => (table.rowOf(name) < 0 ? undefined : { shard: 0, row: table.rowOf(name) });
  return { shards, locate } as unknown as Checkpoint;
}

test.each<[string, boolean, string[]]>([
  ['floats as they are trained', false, ['a.weight BF16', 'b F32', 'c F16', 'd F64']],
  [
    'indices, flags, masks and blobs',
    false,
    ['position_ids I64', 'a.mask U8', 'tid2eid I32', 'a._extra_state U8', 'b BOOL', 'n_index I32'],
  ],
  ['FP8', true, ['a.weight BF16', 'b.weight F8_E4M3']],
  ['packed integers', true, ['a.qweight I32']],
  ['bytes of FP4', true, ['a.weight U8', 'a.weight_scale F8_E8M0']],
])('%s hold codes: %s', (_, codes, tensors) => {
  expect(holdsCodes(holding(...tensors))).toBe(codes);
});

test('a scale belongs to codes that lie beside it, in any of the forms in which they do', () => {
  const beside = (name: string, ...tensors: string[]) => hasCodesBeside(holding(`${name} F32`, ...tensors), name, 'model.safetensors');
  expect(beside('a.scale', 'a.weight F8_E4M3')).toBe(true);
  expect(beside('a.gate_up_proj_scales', 'a.gate_up_proj_blocks U8')).toBe(true);
  expect(beside('a.scales', 'a.qweight I32')).toBe(true);
  expect(beside('a.scale', 'a.weight BF16')).toBe(false);
  expect(beside('q_l2_clip.scale', 'q_proj.weight F8_E4M3')).toBe(false);
});

describe('what a name says', () => {
  const doubt = (name: string, codes: boolean, others: readonly string[] = [], dtype: DtypeName = 'F32') =>
    doubtByName(holding(`${name} ${dtype}`, ...others), { name, dtype, file: 'model.safetensors' }, codes);

  test.each(['x.weight_scale_inv', 'x.weight_scale', 'x.zero_point', 'x.weight_zero_point', 'x.absmax', 'x.qscale_weight', 'x.k_scale'])(
    '%s is of a quantised weight, whatever lies beside it',
    (name) => {
      expect(doubt(name, false)).toContain('scale or zero point of a quantised weight');
      expect(doubt(name, true)).not.toBeNull();
    },
  );

  test.each(['masked_spec_embed', 'lerope.alpha', 'x.scale', 'x.scales', 'mystery_scale', 'logit_scale', 'layer_scale', 'x.gamma'])(
    '%s is nothing of the kind where there are no codes',
    (name) => {
      expect(doubt(name, false)).toBeNull();
    },
  );

  test('beside codes, what ends like a scale is doubted, and so is what has scales of its own', () => {
    expect(doubt('x.mystery_scale', true)).toContain('ends like a scale');
    expect(doubt('x.mystery', true)).toBeNull();
    expect(doubt('x.mystery', true, ['x.mystery_scale F32'])).toContain('x.mystery_scale beside it');
    expect(doubt('x.mystery', false, ['x.mystery_scale F32'])).toBeNull();
    expect(doubt('x.mystery', false, [], 'F8_E4M3')).toContain('F8_E4M3 holds codes');
  });
});

describe('below an MLP, an attention or a mixer', () => {
  const BLOCKS = ['mlp', 'self_attn', 'mixer', 'linear_attn', 'mlp.experts.3', 'mlp.shared_expert', 'block_sparse_moe'];
  const role = (leaf: string, codes: boolean) =>
    BLOCKS.map((block) => classify(`model.layers.0.${block}.${leaf}`, 'F32', [4, 4], { ...NO_CONTEXT, codes }).role);

  test.each([
    ...['zero_point', 'absmax', 'zorp_zero_point', 'quant_map', 'amax', 'down_proj.amax_history_fwd', 'down_proj.fp8_meta.scale_fwd'],
    ...['down_proj.activation_post_process.scale', 'down_proj.weight_fake_quant.activation_post_process.min_val'],
  ])('%s is none of its weights', (leaf) => {
    expect(new Set([...role(leaf, false), ...role(leaf, true)])).toEqual(new Set([null]));
  });

  test.each(['gate_scale', 'zorp_scale', 'zorp_zeros'])('%s is one of them but beside codes', (leaf) => {
    expect(role(leaf, false)).not.toContain(null);
    expect(new Set(role(leaf, true))).toEqual(new Set([null]));
  });

  test('a number that multiplies the output of an MLP is learned', () => {
    for (const shape of [[], [1], [16]]) {
      const role = (name: string) => classify(`model.layers.0.${name}`, 'BF16', shape, { ...NO_CONTEXT, codes: false }).role;
      expect(role('mlp.output_scale')).toBe('mlp');
    }
    expect(classify('model.layers.0.self_attn.q_proj.output_scale', 'BF16', [], { ...NO_CONTEXT, codes: false }).role).not.toBe('attn');
  });

  test.each(['logit_scale', 'per_dim_scale', 'n_points_scale', 'scaler', 'upscale'])('%s always is', (leaf) => {
    expect([...role(leaf, false), ...role(leaf, true)]).not.toContain(null);
  });
});

describe('what values say', () => {
  const values = (...numbers: number[]) => Float64Array.from(numbers);
  const range = (count: number, at: (i: number) => number) => Float64Array.from({ length: count }, (_, i) => at(i));
  /** Rounded to BF16, as a checkpoint holds it. */
  const bf16 = (numbers: Float64Array) =>
    numbers.map((x) => {
      const word = new Uint32Array(Float32Array.of(x).buffer);
      word[0] = (word[0]! + 0x8000) & 0xffff0000;
      return new Float32Array(word.buffer)[0]!;
    });
  const trained = (seed: number) => range(64, (i) => Math.sin(i * 12.9898 + seed) * 0.02);

  test.each<[string, DtypeName, Float64Array[], string | null]>([
    ['trained weights', 'F32', [trained(1), trained(2)], null],
    ['gains near 1', 'F32', [range(64, () => 1), range(64, (i) => 1 + 1e-3 * Math.sin(i))], null],
    ['gains that BF16 keeps at 1 but for one', 'BF16', [range(64, () => 1), bf16(range(64, (i) => (i === 3 ? 1.01 : 1)))], null],
    ['what begins as zeros', 'F32', [range(64, () => 0), trained(1)], null],
    ['a temperature beyond the fractions of BF16', 'BF16', [values(200), values(202)], null],
    ['a temperature with a fraction', 'F32', [values(100), values(99.7)], null],
    ['ids kept as floats', 'F32', [values(3, 1, 2, 7, 5, 4, 0, 6), values(3, 1, 2, 6, 5, 4, 0, 7)], 'whole numbers'],
    ['a few numbers that somebody wrote', 'F32', [values(1, 3), values(3, 9)], null],
    ['a mask', 'F32', [values(0, Number.NEGATIVE_INFINITY, 0), values(0, 0, Number.NEGATIVE_INFINITY)], 'whole numbers'],
    ['ternary codes as BF16', 'BF16', [values(-1, 0, 1, 1, 0, 0, -1, 1), values(-1, 1, 1, 1, 0, 0, -1, 1)], 'whole numbers'],
    ['one number', 'F32', [values(100), values(200)], null],
    ['a bound that is none', 'BF16', [values(Number.POSITIVE_INFINITY), values(Number.POSITIVE_INFINITY)], 'infinite'],
    ['a short table', 'F32', [values(3, 1, 2), values(3, 1, 2)], 'whole numbers'],
    ['a table of one member', 'F32', [values(3, 1, 2)], 'whole numbers'],
    ['what one member has not trained', 'F32', [range(8, () => 1)], null],
    ['frequencies of another base', 'BF16', [1e4, 5e5].map((base) => bf16(range(32, (i) => base ** (-i / 32)))), 'even steps'],
    ['positions', 'F32', [range(16, (i) => i / 16 + 0.01), range(16, (i) => i / 32 + 0.01)], 'even steps'],
    [
      'decays that began as a sequence and were trained',
      'F32',
      [range(32, (i) => 0.9 ** i), range(32, (i) => 0.9 ** i + 1e-3 * Math.sin(i))],
      null,
    ],
    ['nothing at all', 'F32', [values(), values()], null],
  ])('%s', (_, dtype, members, told) => {
    const doubt = doubtByValues(dtype, members, true);
    if (told === null) expect(doubt).toBeNull();
    else expect(doubt).toContain(told);
  });

  test('a part of a tensor is no sequence, for the rest may be anything', () => {
    expect(doubtByValues('F32', [range(16, (i) => i / 16 + 0.01), range(16, (i) => i / 32 + 0.01)], false)).toBeNull();
  });
});
