import { describe, expect, it } from 'vitest';
import { batchesOf } from '../../../src/merge/grid/batches.ts';
import { bytesBeside, mostOutputs } from '../../../src/merge/grid/bounds.ts';
import { randomFrom } from '../../support/run-objects.ts';

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const bytesOf = (
  outputs: readonly { readonly members: readonly number[] }[],
  batches: readonly (readonly number[])[],
  bytes: readonly number[],
) => batches.reduce((sum, batch) => sum + [...new Set(batch.flatMap((i) => outputs[i]!.members))].reduce((s, m) => s + bytes[m]!, 0), 0);

/** Every way to put 0 … n − 1 into batches of at most `most`. */
function* partitions(n: number, most: number, at = 0, batches: number[][] = []): Generator<number[][]> {
  if (at === n) {
    yield batches;
    return;
  }
  for (const [b, batch] of batches.entries()) {
    if (batch.length < most)
      yield* partitions(
        n,
        most,
        at + 1,
        batches.map((other, i) => (i === b ? [...batch, at] : other)),
      );
  }
  yield* partitions(n, most, at + 1, [...batches, [at]]);
}

describe('batches', () => {
  it('are one where all fit', () => {
    expect(batchesOf([{ members: [3] }, { members: [0, 1] }, { members: [0] }], 3, [1, 1, 1, 1])).toEqual([[2, 1, 0]]);
  });

  it('of windows that end at a few places read as little as any way to part them', () => {
    const random = randomFrom(7);
    for (let round = 0; round < 20; round++) {
      const bytes = range(0, 11).map(() => 1 + Math.floor(random() * 3));
      const outputs = [5, 8, 11].flatMap((end) => [1, 2 + Math.floor(random() * 2)].map((width) => ({ members: range(end - width, end) })));
      const most = 2 + Math.floor(random() * 2);
      const least = Math.min(...[...partitions(outputs.length, most)].map((way) => bytesOf(outputs, way, bytes)));
      const batches = batchesOf(outputs, most, bytes);
      expect(batches.flat().sort()).toEqual(range(0, outputs.length - 1));
      expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(most);
      expect(bytesOf(outputs, batches, bytes)).toBe(least);
    }
  });

  it('are as few as can be among ways that read alike', () => {
    const outputs = [0, 1, 2, 3].map((m) => ({ members: [m] }));
    expect(batchesOf(outputs, 2, [1, 1, 1, 1]).map(({ length }) => length)).toEqual([2, 2]);
  });
});

describe('the bound of a batch', () => {
  it('is that of the memory for tiles, of what is kept of tensors, and of open files', () => {
    const MiB = 2 ** 20;
    expect(mostOutputs({ memory: 256 * MiB, threads: 16 }, 100, Number.POSITIVE_INFINITY)).toBe(128);
    expect(mostOutputs({ memory: 64 * MiB, threads: 16 }, 100, Number.POSITIVE_INFINITY)).toBe(32);
    expect(mostOutputs({ memory: 256 * MiB, threads: 16 }, 100, 1024)).toBe(128);
    expect(mostOutputs({ memory: 256 * MiB, threads: 2 }, 100, 1024)).toBe(153);
    expect(mostOutputs({ memory: 256 * MiB, threads: 2 }, 92_000, 1024)).toBe(5);
    expect(bytesBeside(5, 92_000)).toBeLessThan(128 * MiB);
    expect(mostOutputs({ memory: MiB, threads: 64 }, 1e6, 100)).toBe(1);
  });
});
