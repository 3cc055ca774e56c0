import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dtypeByName } from '../../../src/base/dtype.ts';
import { stripsOf } from '../../../src/merge/plan/quantised/strips.ts';
import type { QuantisedPlan, QuantisedWork } from '../../../src/merge/plan/quantised/types.ts';
import { withoutQuantisation } from '../../../src/merge/record/config-dtype.ts';
import { MXFP4 } from '../../../src/model/quantised/types.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { checkpointOf, planOf } from '../../support/quantised.ts';

let temporary: ReturnType<typeof temporaryFolder>;
beforeAll(() => {
  temporary = temporaryFolder();
});
afterAll(() => temporary.remove());

let count = 0;
const open = (...lines: string[]) => checkpointOf(join(temporary.path, `c${count++}`), [lines]);
const code = (name: Parameters<typeof dtypeByName>[0]) => dtypeByName(name)!.code;
const codesOf = ({ conflicts }: QuantisedPlan) => conflicts.map((c) => `${c.code} ${c.tensor ?? ''}`.trim());

const FP8 = ['norm.weight BF16 4', 'a.weight F8_E4M3 256x256', 'a.weight_scale_inv F32 2x2', 'a.input_scale F32', 'b.weight BF16 4x4'];
const BF16 = ['norm.weight BF16 4', 'a.weight BF16 256x256', 'b.weight BF16 4x4'];
const FP4 = ['e.gate_blocks U8 2x6x2x16', 'e.gate_scales U8 2x6x2', 'norm.weight BF16 4'];

describe('the plan of quantised weights', () => {
  it('leaves floats alone', async () => {
    const plan = planOf([await open(...BF16), await open(...BF16)], [null, null], [null]);
    expect(plan).toMatchObject({ works: [], copies: [], dequantised: false, conflicts: [], warnings: [] });
    expect([...plan.handled, ...plan.accounted.flat(), ...plan.changes.dropped].every((rows) => rows.size === 0)).toBe(true);
  });

  it.each([null, 'same'] as const)(
    'quantises FP8 anew (--dtype %s): codes and scales are work, activation scales are copied',
    async (dtype) => {
      const members = [await open(...FP8), await open(...FP8)];
      const plan = planOf(members, [null, null], [dtype, dtype], { roleOf: () => 'attn' });
      expect(plan.conflicts).toEqual([]);
      expect(plan.works).toHaveLength(1);
      const [work] = plan.works;
      expect(work).toMatchObject({ name: 'a.weight', role: 'attn', codes: { shard: 0, row: 1 }, scales: { shard: 0, row: 2 } });
      const source = {
        codes: { shard: 0, row: 1, from: 0 },
        encoding: code('F8_E4M3'),
        scales: { shard: 0, row: 2, from: 0, dtype: code('F32') },
      };
      expect(work!.sources).toEqual([source, source]);
      const target = { encoding: code('F8_E4M3'), scaleDtype: code('F32'), transposed: false };
      expect(work!.targets).toEqual([target, target]);
      expect(plan.copies).toEqual([{ place: { shard: 0, row: 3 }, member: 1, source: { shard: 0, row: 3 } }]);
      expect(plan.handled.map((rows) => [...rows])).toEqual([[1, 2]]);
      expect(plan.accounted.map((shards) => [...shards[0]!].sort())).toEqual([
        [1, 2, 3],
        [1, 2, 3],
      ]);
      expect(plan.changes.dropped[0]!.size + plan.changes.replaced[0]!.size).toBe(0);
      expect(plan.dequantised).toBe(false);
      expect(plan.warnings.map((w) => w.code)).toEqual(['W_ACTIVATION_SCALES']);
    },
  );

  it('dequantises FP8: scales go, the weight keeps name and shape', async () => {
    const plan = planOf([await open(...FP8), await open(...FP8)], [null, null], ['F32']);
    expect([...plan.changes.dropped[0]!].sort()).toEqual([2, 3]);
    expect([...plan.changes.replaced[0]!]).toEqual([[1, { name: 'a.weight', dtypeCode: code('F32'), shape: [256, 256] }]]);
    expect(plan.works[0]!.targets).toEqual([{ encoding: code('F32'), scaleDtype: null, transposed: false }]);
    expect(plan).toMatchObject({ dequantised: true, copies: [], conflicts: [] });
    expect(plan.warnings.map((w) => w.code)).toEqual(['W_DEQUANTISED']);
  });

  it('MXFP4 needs a dtype, and both choices are named', async () => {
    const members = [await open(...FP4), await open(...FP4)];
    const refused = planOf(members, [null, null], [null]);
    expect(codesOf(refused)).toEqual(['E_DTYPE_NEEDED e.gate_blocks']);
    expect(refused.conflicts[0]!.message).toMatch(/bf16 .*\(same\)/);
    const same = planOf(members, [null, null], ['same']);
    expect(same.works[0]!.targets).toEqual([{ encoding: MXFP4, scaleDtype: code('U8'), transposed: false }]);
    const floats = planOf(members, [null, null], ['BF16']);
    expect(floats.works[0]!.targets).toEqual([{ encoding: code('BF16'), scaleDtype: null, transposed: true }]);
    expect([...floats.changes.replaced[0]!]).toEqual([[0, { name: 'e.gate', dtypeCode: code('BF16'), shape: [2, 64, 6] }]]);
  });

  it('one run does not make both forms', async () => {
    const plan = planOf([await open(...FP8)], [null], ['BF16', null]);
    expect(codesOf(plan)).toEqual(['E_LAYOUTS_DIFFER']);
  });

  it('FP8 beside floats is refused, and allowed when asked: the output has the form of the layout', async () => {
    const [fp8, bf16] = [await open(...FP8.filter((l) => !l.includes('input'))), await open(...BF16)];
    expect(codesOf(planOf([bf16, fp8], [null, null], [null]))).toEqual(['E_MIXED_QUANTISATION a.weight']);
    expect(codesOf(planOf([fp8, bf16], [null, null], [null]))).toEqual(['E_MIXED_QUANTISATION a.weight']);
    const quantised = planOf([bf16, fp8], [null, null], [null], { allowMixedDtypes: true });
    expect(quantised.conflicts).toEqual([]);
    expect(quantised.works[0]!.sources[0]).toEqual({ codes: { shard: 0, row: 1, from: 0 }, encoding: code('BF16'), scales: null });
    expect(quantised.works[0]!.targets[0]!.encoding).toBe(code('F8_E4M3'));
    const floats = planOf([fp8, bf16], [null, null], [null], { allowMixedDtypes: true });
    expect(floats.conflicts).toEqual([]);
    expect(floats.works[0]).toMatchObject({
      scales: null,
      codes: { shard: 0, row: 1 },
      targets: [{ encoding: code('BF16'), scaleDtype: null }],
    });
    expect([...floats.accounted[0]![0]!].sort()).toEqual([1, 2]);
    expect(floats.dequantised).toBe(false);
  });

  it('MXFP4 members follow a layout of floats, transposed', async () => {
    const fp4 = await open(...FP4);
    const layout = await open('e.gate BF16 2x64x6', 'norm.weight BF16 4');
    const plan = planOf([fp4, fp4], [null, null], [null], { layout, allowMixedDtypes: true });
    expect(plan.conflicts).toEqual([]);
    expect(plan.works[0]).toMatchObject({ codes: { shard: 0, row: 0 }, targets: [{ encoding: code('BF16'), transposed: true }] });
    const mixed = planOf([fp4, layout], [null, null], [null], { allowMixedDtypes: true });
    expect(codesOf(mixed)).toEqual(['E_MIXED_QUANTISATION e.gate_blocks']);
    expect(mixed.conflicts[0]!.message).toContain('transposed');
  });

  it.each([
    ['another block size', 'E_MIXED_QUANTISATION', ['a.weight F8_E4M3 256x256', 'a.weight_scale_inv F32 4x4']],
    ['a scale a tensor', 'E_MIXED_QUANTISATION', ['a.weight F8_E4M3 256x256', 'a.weight_scale F32']],
    ['another FP8', 'E_MIXED_QUANTISATION', ['a.weight F8_E5M2 256x256', 'a.weight_scale_inv F32 2x2']],
    ['no scale', 'E_SCALE_MISSING', ['a.weight F8_E4M3 256x256']],
    ['another shape', 'E_SHAPE', ['a.weight F8_E4M3 256x384', 'a.weight_scale_inv F32 2x3']],
    ['another shape, as floats', 'E_SHAPE', ['a.weight BF16 256x384']],
    ['nothing of that name', 'E_TENSOR_MISSING', ['c.weight BF16 4x4']],
    ['integers', 'E_UNSUPPORTED_DTYPE', ['a.weight I32 256x256']],
  ])('a member with %s: %s', async (_, expected, lines) => {
    const newest = await open('a.weight F8_E4M3 256x256', 'a.weight_scale_inv F32 2x2');
    const plan = planOf([await open(...lines), newest], [null, null], [null]);
    expect(codesOf(plan)).toEqual([`${expected} a.weight`]);
    expect(plan.conflicts[0]!.message).toContain(temporary.path);
  });

  it('activation scales must be those of one member', async () => {
    const oldest = await open(...FP8.filter((l) => !l.includes('input_scale')));
    const newest = await open(...FP8);
    expect(codesOf(planOf([newest, oldest], [null, null], [null]))).toEqual([]);
    expect(codesOf(planOf([newest, oldest], [null, null], [null], { layout: newest }))).toEqual(['E_TENSOR_MISSING a.input_scale']);
    const wide = await open(...FP8.map((l) => l.replace('input_scale F32', 'input_scale F32 2')));
    expect(codesOf(planOf([newest, wide], [null, null], [null], { layout: newest }))).toEqual(['E_SHAPE a.input_scale']);
  });

  it('a dropped weight takes its scales with it', async () => {
    const members = [await open(...FP8), await open(...FP8)];
    const plan = planOf(members, [null, null], [null], {
      treatmentOf: (_, __, row) => ({ kind: row === 1 ? 'drop' : 'average', dtype: null }),
    });
    expect(plan.works).toEqual([]);
    expect([...plan.changes.dropped[0]!]).toEqual([2]);
    expect([...plan.handled[0]!].sort()).toEqual([1, 2]);
    expect(plan.conflicts).toEqual([]);
  });

  it('a policy dequantises all weights or none', async () => {
    const members = [await open(...FP8), await open(...FP8)];
    const treatmentOf = (): { kind: 'average'; dtype: 'BF16' } => ({ kind: 'average', dtype: 'BF16' });
    expect(codesOf(planOf(members, [null, null], [null], { treatmentOf }))).toEqual(['E_POLICY a.weight']);
    expect(codesOf(planOf(members, [null, null], ['F32'], { treatmentOf }))).toEqual([]);
  });

  it('what one checkpoint says wrongly is told of each that does', async () => {
    const lines = ['a.qweight I32 8x8', 'a.g_idx I32 64'];
    const [one, two] = [await open(...lines), await open(...lines)];
    const { conflicts } = planOf([one, two], [null, null], [null]);
    expect(conflicts.map((c) => c.file!.replace('/model.safetensors', ''))).toEqual([one.path, two.path]);
  });
});

describe('strips', () => {
  const work = (over: Partial<QuantisedWork>): QuantisedWork => ({
    name: 'w',
    scheme: 'fp8',
    role: null,
    codes: { shard: 0, row: 0, from: 0 },
    scales: null,
    powerOfTwo: false,
    sources: [],
    table: 0,
    targets: [{ encoding: code('F8_E4M3'), scaleDtype: code('F32'), transposed: false }],
    matrices: 1,
    rows: 1,
    cols: 1,
    blockRows: 1,
    blockCols: 1,
    ...over,
  });

  it.each([
    ['blocks', { rows: 5000, cols: 3000, blockRows: 128, blockCols: 128 }],
    ['blocks of several matrices', { matrices: 3, rows: 700, cols: 2048, blockRows: 128, blockCols: 128 }],
    ['a scale a row', { rows: 9000, cols: 500, blockRows: 1, blockCols: 500 }],
    ['a scale a tensor', { rows: 5000, cols: 3000, blockRows: 5000, blockCols: 3000 }],
    ['a scale a column', { rows: 5000, cols: 3000, blockRows: 5000, blockCols: 1 }],
    ['rows longer than a strip', { rows: 10, cols: 5_000_000, blockRows: 4, blockCols: 5_000_000 }],
    ['small', { rows: 3, cols: 5, blockRows: 128, blockCols: 128 }],
  ])('of %s cover every row once, and hold whole blocks or parts of one', (_, shape) => {
    const w = work(shape);
    const strips = stripsOf(w);
    const rows = strips.flatMap(({ matrix, row, rows: n }) => Array.from({ length: n }, (_, i) => matrix * w.rows + row + i));
    expect(rows).toEqual(Array.from({ length: w.matrices * w.rows }, (_, i) => i));
    for (const { row, rows: n, blockRow, part } of strips) {
      expect(Math.floor(row / w.blockRows)).toBe(blockRow);
      const [first, last] = [row / w.blockRows, (row + n) / w.blockRows];
      if (part) expect(Math.floor((row + n - 1) / w.blockRows)).toBe(blockRow);
      else expect(Number.isInteger(first) && (Number.isInteger(last) || row + n === w.rows)).toBe(true);
      if (!part && w.blockRows * w.cols <= 1 << 20) expect(n * w.cols).toBeLessThanOrEqual(1 << 20);
    }
  });
});

describe('config.json of dequantised weights', () => {
  const entry = { quant_method: 'fp8', list: [1, { a: '}' }], nothing: null };
  it.each([
    ['in the middle', { a: 1e-5, quantization_config: entry, b: 2 }, { a: 1e-5, b: 2 }, ['quantization_config']],
    ['first', { quantization_config: entry, b: [2] }, { b: [2] }, ['quantization_config']],
    ['last', { a: 'quantization_config', quantization_config: entry }, { a: 'quantization_config' }, ['quantization_config']],
    ['alone', { quantization_config: {} }, {}, ['quantization_config']],
    [
      'nested, and twice',
      { text_config: { h: 1, quantization_config: entry }, compression_config: entry, x: {} },
      { text_config: { h: 1 }, x: {} },
      ['text_config.quantization_config', 'compression_config'],
    ],
    [
      'twice at the end',
      { a: 1, quantization_config: entry, compression_config: entry },
      { a: 1 },
      ['quantization_config', 'compression_config'],
    ],
    ['and nothing else', { quantization_config: entry, compression_config: entry }, {}, ['quantization_config', 'compression_config']],
    ['of MLX and Mistral', { dim: 1, quantization: { bits: 4 } }, { dim: 1 }, ['quantization']],
    ['that is a text', { expert_dtype: 'fp4', scale_fmt: 'ue8m0', a: [1] }, { a: [1] }, ['expert_dtype', 'scale_fmt']],
    ['that is a last text', { a: [1], quantization_config: {}, expert_dtype: 'fp4' }, { a: [1] }, ['quantization_config', 'expert_dtype']],
    ['null', { quantization_config: null }, { quantization_config: null }, []],
  ])('an entry %s goes', (_, before, after, removed) => {
    for (const indent of [0, 2]) {
      const result = withoutQuantisation(JSON.stringify(before, null, indent));
      expect(JSON.parse(result.text)).toEqual(after);
      expect(result.removed).toEqual(removed);
    }
  });

  it('keeps the floats that Python writes', () => {
    const text = '{"a": [0.0, Infinity], "b": NaN, "quantization_config": {"x": -Infinity}, "c": {"__float__": "Infinity"}}';
    expect(withoutQuantisation(text).text).toBe('{"a": [0.0, Infinity], "b": NaN, "c": {"__float__": "Infinity"}}');
  });

  it('keeps every other character', () => {
    const text = '{\n  "eps": 1e-05,\n  "theta": 10000.0,\n  "quantization_config": {\n    "fmt": "e4m3"\n  },\n  "vocab_size": 7\n}\n';
    expect(withoutQuantisation(text).text).toBe('{\n  "eps": 1e-05,\n  "theta": 10000.0,\n  "vocab_size": 7\n}\n');
    expect(withoutQuantisation('no JSON')).toEqual({ text: 'no JSON', removed: [] });
  });
});
