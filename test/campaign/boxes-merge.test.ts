import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { randomOf } from '../../src/base/numbers/random.ts';
import { average } from '../../src/merge/average.ts';
import { type FixtureTensor, writeCheckpoint } from '../support/checkpoints.ts';
import { along, both, type Cut, whole, writeCut } from '../support/dcp-cuts.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const random = randomOf(15, 3);
const below = (count: number): number => Math.floor(random() * count);

/** Names, and shapes of one to three dimensions. */
const TENSORS: readonly (readonly [name: string, dtype: 'BF16' | 'F32', shape: readonly number[]])[] = [
  ['model.embed_tokens.weight', 'BF16', [97, 64]],
  ['model.layers.0.self_attn.q_proj.weight', 'BF16', [64, 64]],
  ['model.layers.0.mlp.experts.gate_up_proj', 'BF16', [6, 40, 24]],
  ['model.layers.0.mlp.down_proj.weight', 'F32', [33, 130]],
  ['model.layers.0.input_layernorm.weight', 'F32', [64]],
  ['model.norm.weight', 'F32', [1]],
];
const WIDTH = { BF16: 2, F32: 4 } as const;

/** At places that no trainer would choose. */
const anywhere: Cut = (shape) => {
  const axis = below(shape.length);
  const at = below(shape[axis]! + 1);
  const part = (from: number, length: number) => ({
    start: shape.map((_, a) => (a === axis ? from : 0)),
    size: shape.map((all, a) => (a === axis ? length : all)),
  });
  return [part(0, at), part(at, shape[axis]! - at)];
};

const CUTS: Readonly<Record<string, Cut>> = {
  whole,
  rows: along(0, 3),
  columns: along(1, 5),
  'rows and columns': both(along(0, 2), along(1, 3)),
  'the last dimension': along(2, 4),
  'two inner dimensions': both(along(1, 3), along(2, 2)),
  'more ranks than rows': along(0, 9),
  anywhere: both(anywhere, anywhere),
};

/** Finite values of any size that a weight has. */
function valuesOf(dtype: 'BF16' | 'F32', count: number): Buffer {
  const bytes = Buffer.alloc(count * WIDTH[dtype]);
  for (let i = 0; i < count; i++) {
    const value = (random() - 0.5) * 2 ** (below(12) - 8);
    const word = new Uint32Array(Float32Array.of(value).buffer)[0]!;
    if (dtype === 'F32') bytes.writeUInt32LE(word, 4 * i);
    else bytes.writeUInt16LE(word >>> 16, 2 * i);
  }
  return bytes;
}

const STEPS = [100, 200, 300];
const data = STEPS.map(
  () =>
    new Map(
      TENSORS.map(([name, dtype, shape]) => [
        name,
        valuesOf(
          dtype,
          shape.reduce((p, n) => p * n, 1),
        ),
      ]),
    ),
);

const asDcp = (path: string, member: number, cut: Cut): string =>
  writeCut(
    path,
    TENSORS.map(([name, dtype, shape]) => ({ name, dtype, shape, data: data[member]!.get(name)! })),
    cut,
  );

const asSafetensors = (path: string, member: number): string =>
  writeCheckpoint(
    path,
    [TENSORS.map(([name, dtype, shape]): FixtureTensor => ({ name, dtype, shape, data: data[member]!.get(name)! }))],
    member,
  );

/** All tensors of a merge, as they lie behind its header. */
function tensorsOf(output: string): Map<string, Buffer> {
  const bytes = readFileSync(join(output, 'model.safetensors'));
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, end)) as Record<string, { data_offsets: [number, number] }>;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            data_offsets: [from, to],
          },
        ]) => [name, bytes.subarray(end + from, end + to)],
      ),
  );
}

const WAYS: readonly (readonly [what: string, cuts: readonly (keyof typeof CUTS)[]])[] = [
  ...Object.keys(CUTS).map((cut) => [`all members by ${cut}`, [cut, cut, cut]] as const),
  ['members each in its own way', ['rows', 'columns', 'rows and columns']],
  ['members each at places of its own', ['anywhere', 'anywhere', 'two inner dimensions']],
  ['columns in the first alone', ['columns', 'whole', 'whole']],
];

it.each(WAYS)('%s: the bytes are those of the same values in safetensors', async (what, cuts) => {
  const home = join(folder, what.replaceAll(/\W/g, '-'));
  const plain = STEPS.map((step, m) => asSafetensors(join(home, 'plain', `checkpoint-${step}`), m));
  const boxed = STEPS.map((step, m) => asDcp(join(home, 'boxed', `checkpoint-${step}`), m, CUTS[cuts[m]!]!));
  await average({ inputs: plain, output: join(home, 'of-plain'), method: 'wma' });
  const wanted = tensorsOf(join(home, 'of-plain'));
  expect(wanted.size).toBe(TENSORS.length);
  for (const [i, options] of [
    {},
    { io: 'read' },
    { io: 'map', tuning: { tileBytes: 1000 } },
    { io: 'read', tuning: { tileBytes: 704, requestBytes: 4096 } },
  ].entries()) {
    const output = join(home, `of-boxed-${i}`);
    await average({ inputs: boxed, output, format: 'safetensors', method: 'wma', ...(options as object) });
    const found = tensorsOf(output);
    expect([...wanted].filter(([name, bytes]) => found.get(name)?.equals(bytes) !== true).map(([name]) => name)).toEqual([]);
  }
  const mixed = join(home, 'of-both');
  await average({ inputs: [plain[0]!, boxed[1]!, plain[2]!], output: mixed, method: 'wma' });
  const found = tensorsOf(mixed);
  expect([...wanted].filter(([name, bytes]) => found.get(name)?.equals(bytes) !== true).map(([name]) => name)).toEqual([]);
  expect((await verify(join(home, 'of-boxed-0'), { full: true })).ok).toBe(true);
});
