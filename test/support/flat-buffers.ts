import { crc32 } from 'node:zlib';
import { encodeFloat } from '../../src/base/numbers/float.ts';
import { randomOf } from '../../src/base/numbers/random.ts';
import { type DcpTensor, type Part, writeDcp } from './dcp-files.ts';

/**
 * A run as Megatron-core's distributed optimizer saves it with dp_reshardable, by hand: two tensor-parallel
 * ranks, each with a buffer of its masters (and one of each moment) that begins each weight at a multiple of 64
 * and is cut over two data-parallel ranks in the middle of a row.
 */

/** A weight on a rank: its boxes there, one behind the other in the buffer. */
export interface Held {
  readonly name: string;
  readonly shape: readonly number[];
  /** [2 ranks] starts and sizes. */
  readonly boxes: readonly (readonly { readonly start: readonly number[]; readonly size: readonly number[] }[])[];
}

const box = (start: readonly number[], size: readonly number[]) => ({ start, size });
const NORM = [[box([0], [6])], [box([0], [6])]];
export const WEIGHTS: readonly Held[] = [
  { name: 'embedding.word_embeddings.weight', shape: [8, 4], boxes: [[box([0, 0], [4, 4])], [box([4, 0], [4, 4])]] },
  // Gate and up are one parameter of the rank.
  {
    name: 'decoder.layers.0.mlp.linear_fc1.weight',
    shape: [8, 4],
    boxes: [
      [box([0, 0], [2, 4]), box([4, 0], [2, 4])],
      [box([2, 0], [2, 4]), box([6, 0], [2, 4])],
    ],
  },
  { name: 'decoder.layers.0.mlp.linear_fc2.weight', shape: [4, 8], boxes: [[box([0, 0], [4, 4])], [box([0, 4], [4, 4])]] },
  { name: 'decoder.layers.0.input_layernorm.weight', shape: [6], boxes: NORM },
  { name: 'decoder.final_layernorm.weight', shape: [6], boxes: NORM },
];

export const bucketOf = (rank: number): string =>
  `optimizer.distributed.dp_group_idx_${rank}.gbuf_idx_0.dtype_(torch.bfloat16, torch.bfloat16).bucket_idx_0`;

export interface FlatRun {
  /** Where a buffer is cut over data-parallel ranks. */
  readonly cut?: number;
  /** What weights begin at multiples of. */
  readonly alignment?: number;
  /** Elements of padding behind the last weight. */
  readonly behind?: number;
  /** Changes the masters of a weight, whole, before weights are made of them. */
  readonly masters?: (name: string, values: Float32Array) => void;
  /** Changes a weight behind its masters. */
  readonly weights?: (name: string, values: Float32Array) => void;
  /** Weights are saved in one box. */
  readonly whole?: boolean;
  /** Of a vector that all ranks hold, what rank 1 has in its buffer. */
  readonly copies?: (name: string, values: Float32Array) => void;
  readonly held?: readonly Held[];
}

const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
const rowMajor = (shape: readonly number[], index: readonly number[]): number => index.reduce((at, i, axis) => at * shape[axis]! + i, 0);

function* indicesOf({ start, size }: ReturnType<typeof box>): Generator<number[]> {
  for (let i = 0; i < count(size); i++) {
    let rest = i;
    const index = size.map(() => 0);
    for (let axis = size.length - 1; axis >= 0; axis--) {
      index[axis] = start[axis]! + (rest % size[axis]!);
      rest = Math.floor(rest / size[axis]!);
    }
    yield index;
  }
}

/** Numbers that bfloat16 does not have, the same for the same words. */
function numbers(words: string, length: number): Float32Array {
  const random = randomOf(crc32(words));
  return Float32Array.from({ length }, () => random() - 0.5);
}

function inBf16(values: Float32Array): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const [i, value] of values.entries()) encodeFloat('BF16', value, view, i);
  return bytes;
}

/** The tensors of one step. */
export function flatTensors(
  step: number,
  { cut = 72, alignment = 64, behind = 0, masters, weights, whole = false, copies, held = WEIGHTS }: FlatRun = {},
): Record<string, DcpTensor> {
  const tensors: Record<string, DcpTensor> = {};
  const own = new Map<string, Float32Array>();
  for (const { name, shape, boxes } of held) {
    const values = numbers(`${name} ${step}`, count(shape));
    masters?.(name, values);
    own.set(name, values);
    const model = Float32Array.from(values);
    weights?.(name, model);
    const saved = whole
      ? [
          box(
            shape.map(() => 0),
            shape,
          ),
        ]
      : [...new Map(boxes.flat().map((one) => [one.start.join(), one])).values()];
    const parts = saved.map((one): Part => {
      const bytes = inBf16(Float32Array.from(indicesOf(one), (index) => model[rowMajor(shape, index)]!));
      return { ...one, stored: { class: 'BFloat16Storage', bytes } };
    });
    tensors[name] = { dtype: 'bfloat16', shape, parts };
  }
  for (const rank of [0, 1]) {
    for (const kind of ['param', 'exp_avg', 'exp_avg_sq']) {
      const values: number[] = [];
      const starts: number[] = [0, cut];
      for (const { name, shape, boxes } of held) {
        // What lies between weights is whatever was in memory.
        while (values.length % alignment !== 0) values.push(Number.NaN);
        starts.push(values.length);
        const of = kind === 'param' ? own.get(name)! : numbers(`${name} ${step} ${kind}`, count(shape)).map(Math.abs);
        const here = Float32Array.from(of);
        if (rank === 1 && kind === 'param' && shape.length === 1) copies?.(name, here);
        for (const one of boxes[rank]!) for (const index of indicesOf(one)) values.push(here[rowMajor(shape, index)]!);
        starts.push(values.length);
      }
      for (let i = 0; i < behind; i++) values.push(Number.NaN);
      const ends = [...new Set([...starts, values.length])].sort((a, b) => a - b);
      tensors[`${bucketOf(rank)}.${kind}`] = {
        shape: [values.length],
        parts: ends.slice(0, -1).map((start, i): Part => {
          const bytes = Buffer.from(Float32Array.from(values.slice(start, ends[i + 1])).buffer);
          return { start: [start], size: [ends[i + 1]! - start], stored: { class: 'FloatStorage', bytes } };
        }),
      };
    }
  }
  return tensors;
}

/** Writes a step, with some of its tensors changed or left out. */
export function writeFlat(path: string, step: number, run?: FlatRun, change?: (tensors: Record<string, DcpTensor>) => void): string {
  const tensors = flatTensors(step, run);
  change?.(tensors);
  writeDcp(path, { tensors });
  return path;
}

/** Masters of a step by weight, whole. */
export function mastersOf(step: number): Map<string, Float32Array> {
  return new Map(WEIGHTS.map(({ name, shape }) => [name, numbers(`${name} ${step}`, count(shape))]));
}
