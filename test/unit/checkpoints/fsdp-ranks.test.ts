import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeTree } from '../../support/run-trees.ts';
import { mergeError } from '../../support/safetensors.ts';
import { dictOf, number, op, pickle, tensor, torchFiles, tupleOf, zipOf } from '../../support/torch-files.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const TENSOR = 'torch.distributed.tensor';
const numbers = (...values: readonly number[]): Buffer => tupleOf(...values.map(number));
const object = (module: string, name: string, state: Uint8Array): Buffer =>
  Buffer.concat([op.global(module, name), op.emptyTuple, op.newObject, state, op.build]);

interface Sharded {
  readonly shape: readonly number[];
  readonly local: readonly number[];
  readonly mesh: readonly number[];
  readonly at: readonly number[];
  /** The dimension that each axis of the mesh cuts. */
  readonly dims: readonly number[];
  readonly order?: readonly (readonly [dim: number, axes: readonly number[]])[];
}

/** A DTensor of one rank, in storage 0. */
function dtensor({ shape, local, mesh, at, dims, order }: Sharded): Buffer {
  const axes = mesh.map((ranks) => object('torch.distributed._mesh_layout', '_FlatLayout', dictOf({ shape: numbers(ranks) })));
  const layout = object('torch.distributed._mesh_layout', '_MeshLayout', dictOf({ axes: tupleOf(...axes) }));
  const [rows, columns] = local as [number, number];
  const entry = ([dim, cut]: readonly [number, readonly number[]]): Buffer =>
    Buffer.concat([op.global(`${TENSOR}._dtensor_spec`, 'ShardOrderEntry'), tupleOf(number(dim), numbers(...cut)), op.newObject]);
  const spec = dictOf({
    mesh: object('torch.distributed.device_mesh', 'DeviceMesh', dictOf({ _layout: layout, _coordinate_on_dim: numbers(...at) })),
    placements: tupleOf(...dims.map((dim) => object(`${TENSOR}.placement_types`, 'Shard', dictOf({ dim: number(dim) })))),
    tensor_meta: Buffer.concat([op.global(`${TENSOR}._dtensor_spec`, 'TensorMeta'), tupleOf(numbers(...shape)), op.newObject]),
    ...(order !== undefined && { shard_order: tupleOf(...order.map(entry)) }),
  });
  const slots = dictOf({
    _local_tensor: tensor({ shape: local, stride: [columns, 1], numel: rows * columns }),
    _spec: object(`${TENSOR}._dtensor_spec`, 'DTensorSpec', spec),
  });
  const args = tupleOf(op.global('torch._utils', '_rebuild_wrapper_subclass'), op.global(TENSOR, 'DTensor'), op.emptyTuple, slots);
  return Buffer.concat([op.global('torch._tensor', '_rebuild_from_type_v2'), args, op.reduce]);
}

const floats = (...values: readonly number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);

/** Writes a file a rank, whose tensors all lie in its storage 0. */
function writeRanks(ranks: readonly { readonly values: Readonly<Record<string, Uint8Array>>; readonly data: Buffer }[]): string {
  const name = (rank: number): string => `model_world_size_${ranks.length}_rank_${rank}.pt`;
  const path = join(folder.path, 'ranks');
  writeTree(
    path,
    Object.fromEntries(ranks.map(({ values, data }, i) => [name(i), zipOf(torchFiles(pickle(dictOf(values)), { 0: data }))])),
  );
  return path;
}

/** For each row of a tensor of 2 columns the rank that it is taken from. */
async function rowsOf(path: string, rows: number): Promise<number[]> {
  const { shards } = await openCheckpoint(path);
  const { boxes } = shards[0]!.tensors;
  const from: number[] = new Array(rows).fill(-1);
  for (let box = 0; box < boxes!.file.length; box++) {
    const [start, , size] = boxes!.bounds.subarray(6 * box, 6 * box + 6) as unknown as [number, number, number];
    from.fill(boxes!.file[box]!, start, start + size);
  }
  return from;
}

const MESH = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;

describe('DTensors of several axes of a mesh', () => {
  const cut = (order?: Sharded['order'], dims: readonly number[] = [0, 0]) =>
    writeRanks(
      MESH.map((at) => ({
        values: { w: dtensor({ shape: [4, 2], local: [1, 2], mesh: [2, 2], at, dims, ...(order !== undefined && { order }) }) },
        data: floats(0, 0),
      })),
    );

  it.each<[string, Sharded['order'], number[]]>([
    ['from left to right where nothing is said', undefined, [0, 1, 2, 3]],
    ['from left to right where that is said', [[0, [0, 1]]], [0, 1, 2, 3]],
    ['in another order', [[0, [1, 0]]], [0, 2, 1, 3]],
  ])('cut %s', async (_what, order, from) => {
    expect(await rowsOf(cut(order), 4)).toEqual(from);
  });

  it.each<[string, Sharded['order']]>([
    ['an axis that does not cut', [[1, [0, 1]]]],
    ['an axis twice', [[0, [0, 0]]]],
    ['fewer axes than cut', [[0, [1]]]],
  ])('refused where the order names %s', async (_what, order) => {
    const { code, message } = await mergeError(() => openCheckpoint(cut(order)));
    expect([code, message]).toEqual(['E_TORCH_FILE', expect.stringContaining('w is cut in an order that does not fit its placement')]);
  });
});

describe('tensors that each rank has whole', () => {
  const plain = (...data: readonly Buffer[]) => writeRanks(data.map((one) => ({ values: { w: tensor() }, data: one })));

  it('are one where their bytes are the same', async () => {
    expect((await openCheckpoint(plain(floats(1, 2, 3, 4), floats(1, 2, 3, 4)))).tensorCount).toBe(1);
  });

  it('are refused where their bytes are not', async () => {
    const { code, message, help } = await mergeError(() => openCheckpoint(plain(floats(1, 2, 3, 4), floats(1, 2, 3, 5))));
    expect([code, message]).toEqual(['E_TORCH_FILE', expect.stringMatching(/rank_1\.pt: w has other bytes than in .*rank_0\.pt/)]);
    expect(help).toContain('gather the state');
  });

  it('may lie among other bytes', async () => {
    const w = tensor({ numel: 6, stride: [3, 1] });
    const path = writeRanks([floats(1, 2, 7, 3, 4, 0), floats(1, 2, 8, 3, 4, 0)].map((data) => ({ values: { w }, data })));
    expect((await openCheckpoint(path)).tensorCount).toBe(1);
  });

  it('are told of where not all ranks have them', async () => {
    const data = floats(1, 2, 3, 4);
    const { warnings, tensorCount } = await openCheckpoint(
      writeRanks([
        { values: { w: tensor() }, data },
        { values: { w: tensor(), v: tensor(), u: tensor() }, data },
      ]),
    );
    expect(tensorCount).toBe(3);
    expect(warnings).toEqual([
      { code: 'W_SOME_RANKS', message: expect.stringMatching(/2 tensors are not in the files of all 2 ranks \(v, u\)/) },
    ]);
  });
});

describe('a mesh of some of the ranks', () => {
  const half = (last: number) =>
    writeRanks(
      MESH.map((at, rank) => ({
        values: { w: dtensor({ shape: [4, 2], local: [2, 2], mesh: [2], at: [at[1]], dims: [0] }) },
        data: floats(at[1], at[1], at[1], rank === 3 ? last : at[1]),
      })),
    );

  it('is one of several that hold the same', async () => {
    expect(await rowsOf(half(1), 4)).toEqual([0, 0, 1, 1]);
  });

  it('is refused where they do not', async () => {
    expect((await mergeError(() => openCheckpoint(half(5)))).message).toMatch(/rank_3\.pt: w has other bytes than in .*rank_1\.pt/);
  });
});
