import { join } from 'node:path';
import { encodeFloat } from '../../src/base/numbers/float.ts';
import { SMALL_FLOATS } from '../../src/base/numbers/small-float.ts';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import { normals } from './moe-run.ts';

/** Of each expert: gate and up are [INNER, HIDDEN], down is its transpose. */
const [EXPERTS, INNER, HIDDEN, SIDE] = [3, 32, 64, 16];

export type Form = 'BF16' | 'block' | 'block of E8M0' | 'row' | 'row as a vector' | 'tensor' | 'MXFP4';
export type Layout = 'apart' | 'fused';

interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array;
}

/** Codes and scales of a matrix. */
interface Coded {
  readonly codes: Uint8Array;
  readonly scales: Uint8Array;
  readonly grid: readonly number[];
}

/** FP8 in blocks, or MXFP4: the plainest way to do it. */
function coded({ rows, cols, values }: Matrix, form: Exclude<Form, 'BF16'>): Coded {
  const sides = { block: [SIDE, SIDE], 'block of E8M0': [SIDE, SIDE], MXFP4: [1, 32], tensor: [rows, cols] } as const;
  const [down, across] = form === 'row' || form === 'row as a vector' ? [1, cols] : sides[form];
  const [gridRows, gridCols] = [Math.ceil(rows / down), Math.ceil(cols / across)];
  const powers = form === 'block of E8M0' || form === 'MXFP4';
  const scales = new Float32Array(gridRows * gridCols);
  for (const [i, value] of values.entries()) {
    const block = Math.floor(Math.floor(i / cols) / down) * gridCols + Math.floor((i % cols) / across);
    scales[block] = Math.max(scales[block]!, Math.abs(value));
  }
  const largest = form === 'MXFP4' ? 6 : 448;
  for (const [i, most] of scales.entries()) scales[i] = powers ? 2 ** Math.ceil(Math.log2(most / largest)) : most / largest;
  const small = SMALL_FLOATS[form === 'MXFP4' ? 'E2M1' : 'F8_E4M3'];
  const all = Uint8Array.from(values, (value, i) => {
    const block = Math.floor(Math.floor(i / cols) / down) * gridCols + Math.floor((i % cols) / across);
    return small.encode(value / scales[block]!).code;
  });
  const packed = Uint8Array.from({ length: all.length / 2 }, (_, i) => all[2 * i]! | (all[2 * i + 1]! << 4));
  const exponents = Uint8Array.from(scales, (scale) => Math.log2(scale) + 127);
  const grid = {
    tensor: [],
    row: [rows, 1],
    'row as a vector': [rows],
    MXFP4: [rows, gridCols],
    block: [gridRows, gridCols],
    'block of E8M0': [gridRows, gridCols],
  };
  return { codes: form === 'MXFP4' ? packed : all, scales: powers ? exponents : new Uint8Array(scales.buffer), grid: grid[form] };
}

function bf16(values: Float32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(2 * values.length));
  for (const [i, value] of values.entries()) encodeFloat('BF16', value, view, i);
  return new Uint8Array(view.buffer);
}

/** One weight of a checkpoint: `name` as plain floats have it. */
function tensorsOf(name: string, matrices: readonly Matrix[], form: Form, stacked: boolean): FixtureTensor[] {
  const { rows, cols } = matrices[0]!;
  const lead = stacked ? [matrices.length] : [];
  if (form === 'BF16')
    return [{ name, dtype: 'BF16', shape: [...lead, rows, cols], data: Buffer.concat(matrices.map(({ values }) => bf16(values))) }];
  const parts = matrices.map((matrix) => coded(matrix, form));
  const codes = Buffer.concat(parts.map((part) => part.codes));
  const scales = Buffer.concat(parts.map((part) => part.scales));
  const shape = [...lead, ...parts[0]!.grid];
  if (form === 'MXFP4') {
    if (stacked) {
      return [
        { name: `${name}.blocks`, dtype: 'U8', shape: [...lead, rows, cols / 32, 16], data: codes },
        { name: `${name}.scales`, dtype: 'U8', shape, data: scales },
      ];
    }
    return [
      { name: `${name}_packed`, dtype: 'U8', shape: [rows, cols / 2], data: codes },
      { name: `${name}_scale`, dtype: 'U8', shape, data: scales },
    ];
  }
  const suffix = form === 'block' || form === 'block of E8M0' ? '_scale_inv' : '_scale';
  return [
    { name, dtype: 'F8_E4M3', shape: [...lead, rows, cols], data: codes },
    { name: `${name}${suffix}`, dtype: form === 'block of E8M0' ? 'F8_E8M0' : 'F32', shape, data: scales },
  ];
}

/**
 * Writes `checkpoint-STEP` of a small Qwen3-MoE: router and embedding in BF16, experts in a form and layout.
 * Of one `seed` always the same weights, whatever the form.
 * @param order which expert lies where @returns the folder
 */
export function writeQuantised(
  folder: string,
  step: number,
  seed: number,
  form: Form,
  layout: Layout,
  { inner = INNER, order = [0, 1, 2] }: { readonly inner?: number; readonly order?: readonly number[] } = {},
): string {
  const [base, noise] = [normals(1), normals(1000 + seed)];
  const matrix = (rows: number, cols: number): Matrix => ({
    rows,
    cols,
    values: Float32Array.from({ length: rows * cols }, () => base() + 0.2 * noise()),
  });
  const block = 'model.layers.0.mlp';
  const inPlace = Array.from({ length: EXPERTS }, () => ({
    gate: matrix(inner, HIDDEN),
    up: matrix(inner, HIDDEN),
    down: matrix(HIDDEN, inner),
  }));
  const experts = order.map((e) => inPlace[e]!);
  const rows = matrix(EXPERTS, HIDDEN);
  const router = Float32Array.from(order.flatMap((e) => [...rows.values.subarray(e * HIDDEN, (e + 1) * HIDDEN)]));
  const both = ({ gate, up }: { gate: Matrix; up: Matrix }): Matrix => ({
    ...{ rows: 2 * inner, cols: HIDDEN },
    values: Float32Array.from([...gate.values, ...up.values]),
  });
  const tensors = [
    { name: `${block}.gate.weight`, dtype: 'BF16' as const, shape: [EXPERTS, HIDDEN], data: bf16(router) },
    ...(layout === 'fused'
      ? [
          ...tensorsOf(`${block}.experts.gate_up_proj`, experts.map(both), form, true),
          ...tensorsOf(
            `${block}.experts.down_proj`,
            experts.map(({ down }) => down),
            form,
            true,
          ),
        ]
      : experts.flatMap((own, e) =>
          (['gate', 'up', 'down'] as const).flatMap((part) =>
            tensorsOf(`${block}.experts.${e}.${part}_proj.weight`, [own[part]], form, false),
          ),
        )),
  ];
  const method = { ...(form.startsWith('block') && { weight_block_size: [SIDE, SIDE] }), quant_method: form === 'MXFP4' ? 'mxfp4' : 'fp8' };
  const config = {
    ...{ model_type: 'qwen3_moe', num_hidden_layers: 1, hidden_size: HIDDEN, num_experts: EXPERTS, num_experts_per_tok: 2 },
    ...(form !== 'BF16' && { quantization_config: method }),
  };
  return writeCheckpoint(join(folder, `checkpoint-${step}`), [tensors], 0, { 'config.json': JSON.stringify(config) });
}
