import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DtypeName, dtypeByCode } from '../../src/base/dtype.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { type DcpTensor, type Part, writeDcp } from './dcp-files.ts';

/** Checkpoints of torch.distributed whose tensors are cut as trainers cut them, and as nobody would. */

interface Box {
  readonly start: number[];
  readonly size: number[];
}

/** The boxes of a tensor, one a rank. */
export type Cut = (shape: readonly number[]) => Box[];

export const whole: Cut = (shape) => [{ start: shape.map(() => 0), size: [...shape] }];

/** In even pieces along a dimension, as torch cuts: the last ones shorter, or empty. */
export const along =
  (axis: number, ranks: number): Cut =>
  (shape) => {
    if (axis >= shape.length) return whole(shape);
    const piece = Math.ceil(shape[axis]! / ranks);
    return Array.from({ length: ranks }, (_, rank) => {
      const from = Math.min(rank * piece, shape[axis]!);
      const length = Math.min(piece, shape[axis]! - from);
      return { start: shape.map((_, a) => (a === axis ? from : 0)), size: shape.map((all, a) => (a === axis ? length : all)) };
    });
  };

/** Each box of one cut, cut by another. */
export const both =
  (first: Cut, second: Cut): Cut =>
  (shape) =>
    first(shape).flatMap((outer) =>
      second(outer.size).map(({ start, size }) => ({ start: start.map((value, a) => value + outer.start[a]!), size })),
    );

/** The bytes of a box, row by row. @param width bytes of an element */
function boxBytes(bytes: Buffer, width: number, shape: readonly number[], { start, size }: Box): Buffer {
  const rank = shape.length;
  const run = rank === 0 ? 1 : size[rank - 1]!;
  const count = size.reduce((product, length) => product * length, 1);
  const out = Buffer.alloc(count * width);
  for (let element = 0; element < count; element += run) {
    let rest = element;
    let at = 0;
    let unit = 1;
    for (let axis = rank - 1; axis >= 0; axis--) {
      at += (start[axis]! + (rest % size[axis]!)) * unit;
      rest = Math.floor(rest / size[axis]!);
      unit *= shape[axis]!;
    }
    bytes.copy(out, element * width, at * width, (at + run) * width);
  }
  return out;
}

const TORCH: Partial<Record<DtypeName, readonly [dtype: string, storage: string, width: number]>> = {
  BF16: ['bfloat16', 'BFloat16Storage', 2],
  F16: ['float16', 'HalfStorage', 2],
  F32: ['float32', 'FloatStorage', 4],
  I64: ['int64', 'LongStorage', 8],
};

export interface CutTensor {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly shape: readonly number[];
  readonly data: Buffer;
}

/** Writes tensors so, a file a rank. */
export function writeCut(path: string, tensors: readonly CutTensor[], cut: Cut): string {
  const described: Record<string, DcpTensor> = {};
  for (const { name, dtype, shape, data } of tensors) {
    const [torch, kind, width] = TORCH[dtype]!;
    const parts = cut(shape).map((box, rank): Part => {
      return { ...box, file: `__${rank}_0.distcp`, stored: { class: kind, bytes: boxBytes(data, width, shape, box) } };
    });
    described[name] = { dtype: torch, shape, parts };
  }
  writeDcp(path, { tensors: described });
  return path;
}

/** Writes what a checkpoint of safetensors holds so, with the files that lie beside its tensors. */
export async function cutCopy(from: string, path: string, cut: Cut): Promise<string> {
  const { shards } = await openCheckpoint(from);
  const tensors = shards.flatMap(({ path: file, tensors: table }) => {
    const bytes = readFileSync(file);
    return table.names.map((name, row): CutTensor => {
      const data = bytes.subarray(table.offset[row]!, table.offset[row]! + table.bytes[row]!);
      return { name, dtype: dtypeByCode(table.dtypes[row]!).name, shape: table.shapes[row]!, data };
    });
  });
  writeCut(path, tensors, cut);
  for (const name of readdirSync(from)) if (!/\.safetensors/.test(name)) cpSync(join(from, name), join(path, name), { recursive: true });
  return path;
}
