import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dtypeByName } from '../../../src/base/dtype.ts';
import { blocksOf } from '../../../src/model/quantised/blocks.ts';
import { recogniseQuantised } from '../../../src/model/quantised/recognise.ts';
import { MXFP4, type QuantisedTensors } from '../../../src/model/quantised/types.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { checkpointOf } from '../../support/quantised.ts';

let temporary: ReturnType<typeof temporaryFolder>;
beforeAll(() => {
  temporary = temporaryFolder();
});
afterAll(() => temporary.remove());

let count = 0;
async function recognise(
  lines: readonly string[] | readonly (readonly string[])[],
  config: Record<string, unknown> | null = null,
): Promise<QuantisedTensors> {
  const shards = (typeof lines[0] === 'string' ? [lines] : lines) as readonly (readonly string[])[];
  return recogniseQuantised(await checkpointOf(join(temporary.path, `c${count++}`), shards, config), config);
}
const codes = ({ conflicts }: QuantisedTensors) => conflicts.map((c) => `${c.code} ${c.tensor ?? ''}`.trim());
const E4M3 = dtypeByName('F8_E4M3')!.code;
const fp8Config = { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } };

describe('quantised weights by dtype, name and shape', () => {
  it.each([
    // name of the codes, dtype and shape, scale, matrices, rows, cols, block
    ['DeepSeek blocks', 'l.q_proj.weight F8_E4M3 200x300', 'l.q_proj.weight_scale_inv F32 2x3', [1, 200, 300, 128, 128]],
    ['DeepSeek native', 'l.wq.weight F8_E4M3 256x128', 'l.wq.scale F8_E8M0 2x1', [1, 256, 128, 128, 128]],
    ['fused experts', 'l.experts.gate_up_proj F8_E4M3 4x256x128', 'l.experts.gate_up_proj_scale_inv F32 4x2x1', [4, 256, 128, 128, 128]],
    ['a scale a tensor', 'l.up_proj.weight F8_E5M2 64x32', 'l.up_proj.weight_scale F32 1', [1, 64, 32, 64, 32]],
    ['a scalar scale', 'l.up_proj.weight F8_E4M3 64x32', 'l.up_proj.weight_scale BF16', [1, 64, 32, 64, 32]],
    ['a scale a channel', 'l.up_proj.weight F8_E4M3 64x32', 'l.up_proj.weight_scale BF16 64x1', [1, 64, 32, 1, 32]],
    ['a scale a channel, as FBGEMM', 'l.up_proj.weight F8_E4M3 64x32', 'l.up_proj.weight_scale F32 64', [1, 64, 32, 1, 32]],
    ['a scale an input channel', 'l.up_proj.weight F8_E4M3 64x32', 'l.up_proj.weight_scale F32 1x32', [1, 64, 32, 64, 1]],
    ['Mistral', 'layers.1.wq.weight F8_E4M3 64x32', 'layers.1.wq.qscale_weight F32', [1, 64, 32, 64, 32]],
    ['a scale an expert', 'l.experts.down_proj F8_E4M3 4x64x32', 'l.experts.down_proj_scale F32 4x1x1', [4, 64, 32, 64, 32]],
    ['FNUZ', 'l.up_proj.weight F8_E4M3FNUZ 64x32', 'l.up_proj.weight_scale F32 1', [1, 64, 32, 64, 32]],
  ])('%s', async (_, weight, scale, [matrices, rows, cols, blockRows, blockCols]) => {
    const found = await recognise(['model.norm.weight BF16 8', weight, scale]);
    expect(found.conflicts).toEqual([]);
    expect(found.weights).toHaveLength(1);
    expect(found.weights[0]).toMatchObject({ scheme: 'fp8', matrices, rows, cols, blockRows, blockCols, transposed: false });
    expect(found.weights[0]!.plain.name).toBe(weight.split(' ')[0]);
  });

  it('MXFP4 of gpt-oss: codes of a matrix a row, which the float form has transposed', async () => {
    const { weights } = await recognise([
      'l.experts.down_proj_blocks U8 4x6x2x16',
      'l.experts.down_proj_scales U8 4x6x2',
      'l.experts.down_proj_bias BF16 4x6',
    ]);
    expect(weights).toHaveLength(1);
    expect(weights[0]).toMatchObject({
      scheme: 'mxfp4',
      encoding: MXFP4,
      matrices: 4,
      rows: 6,
      cols: 64,
      blockRows: 1,
      blockCols: 32,
      powerOfTwo: true,
    });
    expect(weights[0]).toMatchObject({ plain: { name: 'l.experts.down_proj', shape: [4, 64, 6] }, transposed: true });
  });

  it.each([
    [
      'gpt-oss as OpenAI stores it',
      'block.1.mlp.mlp1_weight.blocks U8 4x6x2x16',
      'block.1.mlp.mlp1_weight.scales U8 4x6x2',
      'block.1.mlp.mlp1_weight',
    ],
    ['compressed-tensors', 'l.up_proj.weight_packed U8 6x32', 'l.up_proj.weight_scale U8 6x2', 'l.up_proj.weight'],
    ['DeepSeek V4', 'l.experts.3.w1.weight I8 6x32', 'l.experts.3.w1.scale F8_E8M0 6x2', 'l.experts.3.w1.weight'],
    ['F4', 'l.up_proj.weight F4 6x64', 'l.up_proj.weight_scale F8_E8M0 6x2', 'l.up_proj.weight'],
  ])('MXFP4 of %s keeps its rows', async (_, blocks, scales, name) => {
    const { weights, conflicts } = await recognise([blocks, scales]);
    expect(conflicts).toEqual([]);
    expect(weights[0]).toMatchObject({ scheme: 'mxfp4', rows: 6, cols: 64, transposed: false, plain: { name } });
    expect(weights[0]!.plain.shape.slice(-2)).toEqual([6, 64]);
  });

  it('finds scales in another shard, and says where they are', async () => {
    const { weights } = await recognise([['a.weight F8_E4M3 128x128'], ['a.weight_scale_inv F32 1x1', 'b F32 2']]);
    expect(weights[0]).toMatchObject({ codes: { shard: 0, row: 0 }, scales: { shard: 1, row: 0 }, encoding: E4M3 });
  });

  it('plain FP8 without any scale is a float like any other', async () => {
    expect(await recognise(['a.weight F8_E4M3 4x4', 'b.weight F8_E5M2 4x4'])).toEqual({ weights: [], activationScales: [], conflicts: [] });
  });

  it('reads powers of two and the sides of blocks from the configuration', async () => {
    const lines = ['a.weight F8_E4M3 128x96', 'a.weight_scale_inv F32 2x3'];
    const config = { quantization_config: { quant_method: 'fp8', weight_block_size: [64, 32], scale_fmt: 'ue8m0' } };
    expect((await recognise(lines, { text_config: config })).weights[0]).toMatchObject({ powerOfTwo: true, blockRows: 64, blockCols: 32 });
    const groups = { quant_method: 'compressed-tensors', config_groups: { group_0: { weights: { block_structure: '64x32' } } } };
    expect((await recognise(lines, { quantization_config: groups })).weights[0]).toMatchObject({ powerOfTwo: false, blockRows: 64 });
  });

  it('lists the scales of activations and caches, but only where weights are quantised', async () => {
    const scales = ['a.input_scale F32', 'a.k_scale F32 1', 'a.qscale_act F32'];
    expect((await recognise(['a.weight F8_E4M3 4x4', 'a.weight_scale F32', ...scales])).activationScales.map((p) => p.row)).toEqual([
      2, 3, 4,
    ]);
    expect((await recognise(['a.weight BF16 4x4', ...scales])).activationScales).toEqual([]);
  });

  it('a norm or a router called scale is none', async () => {
    const { weights, conflicts } = await recognise([
      'norm.scale BF16 4',
      'router.scale F32 1',
      'a.weight F8_E4M3 4x4',
      'a.weight_scale F32',
    ]);
    expect([weights.length, conflicts]).toEqual([1, []]);
  });
});

describe('what is no MXFP4', () => {
  it.each([
    ['MXFP6 (6-bit codes)', ['a.weight U8 8x48', 'a.weight_scale U8 8x2']],
    ['MXFP6 (6-bit codes)', ['l.down_proj_blocks U8 2x4x2x24', 'l.down_proj_scales U8 2x4x2']],
    ['8-bit codes as bytes', ['a.weight U8 8x64', 'a.weight_scale U8 8x2']],
    ['8-bit codes as bytes', ['a.weight_packed U8 8x64', 'a.weight_scale U8 8x2']],
  ])('%s, told by the bytes that share a scale', async (what, lines) => {
    const { conflicts, weights } = await recognise(lines);
    expect(weights).toEqual([]);
    expect(conflicts).toMatchObject([{ code: 'E_QUANTISED_UNSUPPORTED', message: expect.stringContaining(`holds ${what}`) }]);
  });
});

describe('blocks that scales lie over', () => {
  it.each([
    [[200, 300], [2, 3], null, [128, 128]],
    [[200, 300], [4, 5], null, [64, 64]],
    [[512, 512], [2, 2], null, [256, 256]],
    [[90, 90], [9, 9], null, [10, 10]],
    [[200, 300], [200, 3], null, [1, 128]],
    [
      [100, 100],
      [1, 1],
      [128, 128],
      [100, 100],
    ],
    [
      [200, 300],
      [2, 3],
      [100, 100],
      [100, 100],
    ],
  ] as const)('%j with scales %j, configured %j: %j', (weight, scale, configured, [rows, cols]) => {
    expect(blocksOf(weight, scale, configured)).toMatchObject({ blockRows: rows, blockCols: cols });
  });

  it.each([
    [
      [200, 300],
      [3, 3],
      [128, 128],
    ],
    [[200, 300], [9, 3], null],
    [[256, 256], [4, 2], null],
    [[4, 128, 128], [3, 1, 1], null],
    [[128, 128], [1, 2, 3], null],
  ] as const)('%j with scales %j, configured %j: none fit', (weight, scale, configured) => {
    expect(blocksOf(weight, scale, configured)).toBeNull();
  });
});

describe('scales of another size than the blocks that config.json names', () => {
  const message = async (lines: readonly string[], config: Record<string, unknown> | null = fp8Config) => {
    const { conflicts, weights } = await recognise(lines, config);
    expect(conflicts.map(({ code }) => code)).toEqual(['E_SCALE_SHAPE']);
    return [conflicts[0]!.message, weights] as const;
  };

  it.each([
    ['one scale', '1x1'],
    ['one for each row', '256x1'],
    ['one for each column', '1x384'],
    ['one for each half of the rows', '2x1'],
    ['one row too few', '1x3'],
    ['one column too many', '2x4'],
    ['twice as many', '4x6'],
    ['transposed', '3x2'],
    ['a vector', '256'],
    ['a scalar', ''],
    ['a scale a value', '256x384'],
  ])('%s: both are told', async (_, shape) => {
    const [text] = await message(['a.weight F8_E4M3 256x384', `a.weight_scale_inv F32 ${shape}`.trim()]);
    expect(text).toContain(`(F32 [${shape.replaceAll('x', ', ')}])`);
    expect(text).toContain('F8_E4M3 [256, 384]');
    expect(text).toContain('blocks of 128 x 128 need [2, 3]');
  });

  it('of experts in a stack', async () => {
    const [text] = await message(['l.experts.down_proj F8_E4M3 4x256x384', 'l.experts.down_proj_scale_inv F32 4x2x2']);
    expect(text).toContain('need [4, 2, 3]');
  });

  it('are no fault where they fit, or where the configuration knows other scales too', async () => {
    for (const [shape, scale] of [
      ['256x384', '2x3'],
      ['100x384', '1x3'],
      ['64x64', '1x1'],
      ['64x64', ''],
    ]) {
      expect((await recognise([`a.weight F8_E4M3 ${shape}`, `a.weight_scale_inv F32 ${scale}`.trim()], fp8Config)).conflicts).toEqual([]);
    }
    const weights = (own: object) => ({ weights: { num_bits: 8, type: 'float', ...own } });
    const both = { a: weights({ block_structure: [128, 128] }), b: weights({ strategy: 'channel' }) };
    const config = { quantization_config: { quant_method: 'compressed-tensors', config_groups: both } };
    const lines = ['a.weight F8_E4M3 256x384', 'a.weight_scale F32 2x3', 'b.weight F8_E4M3 256x384', 'b.weight_scale F32 256x1'];
    expect((await recognise(lines, config)).conflicts).toEqual([]);
    expect(
      (await recognise(lines, { quantization_config: { quant_method: 'compressed-tensors', config_groups: { a: both.a } } })).conflicts,
    ).toHaveLength(1);
  });

  it('without a configuration: what differs from all other weights', async () => {
    const usual = ['a', 'b', 'c'].flatMap((name) => [`${name}.weight F8_E4M3 384x384`, `${name}.weight_scale_inv F32 3x3`]);
    const [text] = await message([...usual, 'd.weight F8_E4M3 384x384', 'd.weight_scale_inv F32 2x2'], null);
    expect(text).toContain('d.weight_scale_inv (F32 [2, 2])');
    expect(text).toContain('a scale for each 256 rows');
    expect(text).toContain('other weights have one for each 128');
  });

  it('MXFP4 and MXFP8: a scale too many or too few', async () => {
    for (const [blocks, scales] of [
      ['l.down_proj_blocks U8 2x4x2x16', 'l.down_proj_scales U8 2x4x3'],
      ['l.up_proj.weight_packed U8 6x64', 'l.up_proj.weight_scale U8 6x3'],
      ['l.w1.weight I8 6x64', 'l.w1.scale F8_E8M0 5x4'],
    ]) {
      expect(codes(await recognise([blocks!, scales!]))).toEqual([`E_SCALE_SHAPE ${scales!.split(' ')[0]}`]);
    }
    const mxfp8 = ['a.weight F8_E4M3 8x96', 'a.weight_scale U8 8x3', 'b.weight F8_E4M3 8x64', 'b.weight_scale U8 8x2'];
    const { weights, conflicts } = await recognise(mxfp8);
    expect(conflicts).toEqual([]);
    expect(weights.map(({ blockRows, blockCols, powerOfTwo }) => [blockRows, blockCols, powerOfTwo])).toEqual([
      [1, 32, true],
      [1, 32, true],
    ]);
    expect(codes(await recognise([...mxfp8, 'c.weight F8_E4M3 8x96', 'c.weight_scale U8 8x2']))).toEqual(['E_SCALE_SHAPE c.weight_scale']);
  });
});

describe('what is wrong with a quantised checkpoint', () => {
  it.each([
    ['E_SCALE_MISSING', 'b.weight', ['a.weight F8_E4M3 4x4', 'a.weight_scale F32', 'b.weight F8_E4M3 4x4'], null],
    ['E_SCALE_MISSING', 'a.weight', ['a.weight F8_E4M3 4x4'], fp8Config],
    ['E_SCALE_MISSING', 'l.experts.down_proj_blocks', ['l.experts.down_proj_blocks U8 2x2x1x16'], null],
    ['E_SCALE_SHAPE', 'a.weight_scale_inv', ['a.weight F8_E4M3 256x256', 'a.weight_scale_inv F32 2x3'], fp8Config],
    ['E_SCALE_SHAPE', 'a.weight_scale', ['a.weight F8_E4M3 64x32', 'a.weight_scale F32 31'], null],
    ['E_SCALE_SHAPE', 'a.weight_scale', ['a.weight F8_E4M3 64x32', 'a.weight_scale I32 1'], null],
    ['E_SCALE_SHAPE', 'l.down_proj_scales', ['l.down_proj_blocks U8 2x2x2x16', 'l.down_proj_scales U8 2x2x1'], null],
    ['E_SCALE_SHAPE', 'l.down_proj_scales', ['l.down_proj_blocks U8 2x2x2x8', 'l.down_proj_scales U8 2x2x2'], null],
    ['E_SCALE_ORPHAN', 'b.weight_scale', ['a.weight F8_E4M3 4x4', 'a.weight_scale F32', 'b.weight_scale F32'], null],
    ['E_SCALE_ORPHAN', 'b.weight_scale_inv', ['b.weight BF16 4x4', 'b.weight_scale_inv F32 1x1'], null],
    [
      'E_SCALE_ORPHAN',
      'l.up_proj_scales',
      ['l.down_proj_blocks U8 2x2x2x16', 'l.down_proj_scales U8 2x2x2', 'l.up_proj_scales U8 2x2x2'],
      null,
    ],
    ['E_QUANTISATION_CONFIG', '', ['a.weight BF16 4x4'], fp8Config],
  ])('%s %s', async (code, tensor, lines, config) => {
    expect(codes(await recognise(lines, config))).toEqual([`${code} ${tensor}`.trim()]);
  });

  it('a configuration that quantises as it loads says nothing of what is stored', async () => {
    for (const quantization_config of [
      {},
      { quant_method: 'bitsandbytes', load_in_4bit: true },
      { quant_method: 'compressed-tensors', config_groups: {}, kv_cache_scheme: { num_bits: 8 } },
      { quant_method: 'compressed-tensors', format: 'dense', config_groups: { g: { weights: {} } } },
    ])
      expect((await recognise(['a.weight BF16 4x4'], { quantization_config })).conflicts).toEqual([]);
  });

  it('says which shape the scales should have', async () => {
    const { conflicts } = await recognise(['a.weight F8_E4M3 256x300', 'a.weight_scale_inv F32 2x2'], fp8Config);
    expect(conflicts[0]!.message).toContain('blocks of 128 x 128 need [2, 3]');
    expect(conflicts[0]!.message).toContain('a.weight_scale_inv (F32 [2, 2])');
  });

  it.each([
    ['GPTQ', ['a.qweight I32 8x8', 'a.qzeros I32 1x8', 'a.scales F16 1x8', 'a.g_idx I32 64'], null],
    ['GPTQ', ['a.qweight I32 8x8', 'a.qzeros I32 1x8', 'a.scales F16 1x8'], { quantization_config: { quant_method: 'gptq' } }],
    ['AWQ', ['a.qweight I32 8x8', 'a.qzeros I32 1x8', 'a.scales F16 1x8'], null],
    ['auto-round', ['a.qweight I32 8x8', 'a.qzeros I32 1x8', 'a.scales F16 1x8'], { quantization_config: { quant_method: 'auto-round' } }],
    [
      'bitsandbytes 4-bit',
      ['a.weight U8 32x1', 'a.weight.absmax F32 1', 'a.weight.quant_map F32 16', 'a.weight.quant_state.bitsandbytes__nf4 U8 80'],
      null,
    ],
    ['bitsandbytes INT8', ['a.weight I8 8x8', 'a.SCB F32 8'], null],
    ['compressed-tensors pack-quantized', ['a.weight_packed I32 8x8', 'a.weight_scale BF16 8x2', 'a.weight_shape I64 2'], null],
    ['NVFP4', ['a.weight U8 8x16', 'a.weight_scale F8_E4M3 8x2', 'a.weight_scale_2 F32', 'a.input_scale F32'], null],
    ['NVFP4', ['a.weight_packed U8 8x16', 'a.weight_scale F8_E4M3 8x2', 'a.weight_global_scale F32 1'], null],
    ['INT8 with scales', ['a.weight I8 8x8', 'a.weight_scale BF16 8x1'], null],
    ['W4AFP8', ['a.weight I8 8x64', 'a.weight_scale_inv F32 8x1'], { quantization_config: { quant_method: 'w4afp8' } }],
    ['W4AFP8', ['a.weight I8 8x64', 'a.weight_scale F32 8x2'], { quantization_config: { quant_method: 'modelopt', quant_algo: 'W4AFP8' } }],
    [
      'integers with scales for groups of them (W4AFP8',
      ['a.weight I8 8x64', 'a.weight_scale F32 8x2', 'b.weight F8_E4M3 8x8', 'b.weight_scale F32'],
      null,
    ],
    ['integers with scales for groups of them (W4AFP8', ['a.weight I8 8x64', 'a.weight_scale_inv BF16 8x2'], null],
    [
      'W4A8',
      ['a.weight U8 4x64', 'a.weight_scale BF16 8x1', 'a.weight_scale_2 F32'],
      { quantization_config: { quant_method: 'modelopt', quant_algo: 'W4A8_AWQ' } },
    ],
    [
      'NVFP4',
      ['a.weight U8 8x16', 'a.weight_scale F8_E4M3 8x2', 'a.weight_scale_2 F32'],
      { quantization_config: { quant_method: 'modelopt', quant_algo: 'W4A8_NVFP4_FP8' } },
    ],
    [
      'MXFP6',
      ['a.weight U8 8x48', 'a.weight_scale U8 8x2'],
      { quantization_config: { quant_method: 'quark', global_quant_config: { weight: { dtype: 'fp6_e2m3' } } } },
    ],
    ['FP6', ['a.weight F6_E3M2 8x64', 'a.weight_scale F8_E8M0 8x2'], null],
    ['EETQ', ['a.weight I8 8x8', 'a.weight_scales F16 8'], null],
    ['HQQ', ['a.W_q U8 8x8', 'a.meta U8 8'], null],
    ['quanto', ['a.weight._data I8 8x8', 'a.weight._scale BF16 8x1'], null],
    ['torchao', ['a._weight_qdata I8 8x8', 'a._weight_scale F32 8x1'], null],
    ['AQLM', ['a.codes I8 8x8x2', 'a.codebooks F16 2x16x1x8', 'a.scales F16 8'], null],
    ['BitNet', ['a.weight U8 2x8', 'a.weight_scale BF16 1'], { quantization_config: { quant_method: 'bitnet' } }],
    ['ExLlamaV2', ['a.q_weight I32 8x8', 'a.q_groups I16 4', 'a.q_scale I32 1x1'], null],
    ['ExLlamaV3', ['a.trellis I16 1x1x48', 'a.suh F16 8', 'a.svh F16 8'], null],
  ])('%s is refused by its name, once, and says what to do', async (family, lines, config) => {
    const { conflicts, weights } = await recognise(['model.norm.weight BF16 8', ...lines], config);
    expect(weights).toEqual([]);
    expect(new Set(conflicts.map((c) => c.code))).toEqual(new Set(['E_QUANTISED_UNSUPPORTED']));
    expect(conflicts[0]!.message).toContain(`is quantised as ${family}`);
    expect(conflicts[0]!.message).toMatch(/: (load|use|export|decompress) .*, and merge that$/);
    expect(conflicts.length).toBe(1);
  });
});
