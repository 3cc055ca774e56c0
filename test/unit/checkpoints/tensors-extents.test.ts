import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { dtypeByName } from '../../../src/base/dtype.ts';
import { ByteReader } from '../../../src/base/store/byte-reader.ts';
import { extentsOf, readTensor, wholeExtent } from '../../../src/checkpoints/tensors/extents.ts';
import { ColumnTable } from '../../../src/checkpoints/tensors/table.ts';
import type { TensorSource } from '../../../src/checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../src/checkpoints/types.ts';
import { InputFiles, matchShard } from '../../../src/merge/plan/tensors/match.ts';
import { allRows } from '../../../src/merge/plan/tensors/target.ts';

const dir = mkdtempSync(join(tmpdir(), 'extents-'));
afterAll(() => rmSync(dir, { recursive: true }));

/**
 * Two tensors of BF16, [6] and [4], over two files: a stand-in for what a container of ranks' files gives.
 */
const A = [10, 11, 12, 13, 14, 15];
const B = [20, 21, 22, 23];
const bf16 = {
  names: ['a', 'b'],
  dtypes: Uint8Array.of(1, 1).fill(dtypeByName('BF16')!.code),
  shapes: [[6], [4]],
  bytes: Float64Array.of(12, 8),
};
const words = (values: readonly number[]) => Buffer.from(Uint16Array.from(values).buffer);
const file = (name: string, bytes: Buffer) => {
  writeFileSync(join(dir, name), bytes);
  return { name, path: join(dir, name) };
};
const opened = (table: ColumnTable, files: { name: string; path: string }[]) =>
  ({
    path: dir,
    namesPerFile: false,
    shards: [{ ...files[0]!, name: 'shard', tensors: table, metadata: null }],
    files,
    locate: (name: string) => (table.rowOf(name) < 0 ? undefined : { shard: 0, row: table.rowOf(name) }),
  }) as unknown as Checkpoint & TensorSource;

/** Rank 1 has the end of `a` and all of `b`, behind 3 bytes of its own: nothing is aligned. */
const parts = opened(
  new ColumnTable({
    ...bf16,
    offset: Float64Array.of(0, 3),
    boxes: {
      first: Int32Array.of(0, 2, 3),
      file: Int32Array.of(0, 1, 1),
      offset: Float64Array.of(0, 11, 3),
      boundsAt: Float64Array.of(0, 6, 9),
      bounds: Float64Array.of(0, 4, 1, 4, 2, 1, 0, 4, 1),
    },
  }),
  [file('rank0', words(A.slice(0, 4))), file('rank1', Buffer.concat([Buffer.alloc(3), words(B), words(A.slice(4))]))],
);
const whole = opened(new ColumnTable({ ...bf16, offset: Float64Array.of(8, 20) }), [
  file('whole', Buffer.concat([Buffer.alloc(8), words(A), words(B)])),
]);
const [a, b] = [
  { shard: 0, row: 0 },
  { shard: 0, row: 1 },
];

it('a tensor that is whole is one extent, of which a part is another', () => {
  expect(extentsOf(whole, b)).toEqual([{ from: 0, elements: 4, file: 0, offset: 20 }]);
  expect(extentsOf(whole, a, 2, 3)).toEqual([{ from: 2, elements: 3, file: 0, offset: 12 }]);
  expect(wholeExtent(whole, a).offset).toBe(8);
});

it('a tensor in parts is the extents that a range touches', () => {
  expect(extentsOf(parts, a)).toEqual([
    { from: 0, elements: 4, file: 0, offset: 0 },
    { from: 4, elements: 2, file: 1, offset: 11 },
  ]);
  expect(extentsOf(parts, a, 3, 2)).toEqual([
    { from: 3, elements: 1, file: 0, offset: 6 },
    { from: 4, elements: 1, file: 1, offset: 11 },
  ]);
  expect(extentsOf(parts, a, 5, 1)).toEqual([{ from: 5, elements: 1, file: 1, offset: 13 }]);
  expect(() => wholeExtent(parts, a)).toThrow(RangeError);
});

it('reads the same bytes however a tensor lies', async () => {
  const reader = new ByteReader();
  try {
    for (const place of [a, b]) {
      const bytes = await readTensor(reader, whole, place);
      expect(await readTensor(reader, parts, place)).toEqual(bytes);
      expect(await readTensor(reader, parts, place, 2, 6)).toEqual(bytes.subarray(2, 8));
    }
  } finally {
    await reader.close();
  }
});

it('plans a member in parts beside one that is whole, cut where the parts meet', () => {
  const all = [true, true];
  const work = { table: 0, needs: all, reads: all, equal: null, apart: false };
  const matching = {
    ...{ layout: whole, members: [parts, whole], participates: all, files: new InputFiles(), allowMixedDtypes: false },
    doubt: () => null,
    arrangement: () => ({ of: () => undefined, uses: () => false }),
  };
  const target = { table: whole.shards[0]!.tensors, origin: allRows(2) };
  const { spans, arranged } = matchShard(0, target, { kinds: [work], of: Int32Array.of(0, 0) }, matching, []);
  expect([...spans.row]).toEqual([0, 0, 1]);
  expect([...spans.elements]).toEqual([4, 2, 4]);
  const placesOf = (m: number) => [...spans.columns[m]!.file].map((f, i) => [matching.files.list[f]!.path, spans.columns[m]!.offset[i]]);
  expect(placesOf(0)).toEqual([
    [join(dir, 'rank0'), 0],
    [join(dir, 'rank1'), 11],
    [join(dir, 'rank1'), 3],
  ]);
  expect(placesOf(1)).toEqual([8, 16, 20].map((offset) => [join(dir, 'whole'), offset]));
  expect(arranged).toEqual([0, 0]);
});
