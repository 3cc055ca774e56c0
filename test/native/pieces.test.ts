import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadBinding } from '../../src/merge/native/load.ts';
import { descriptorsIn } from '../support/descriptors.ts';
import { randomSource, tempDir } from '../support/native-job.ts';
import { systemTool } from '../support/system-tool.ts';

const binding = loadBinding();
type Piece = readonly [file: number, at: number, length: number];

function read(
  files: readonly (string | number)[],
  pieces: readonly Piece[],
  options: { inFlight?: number; cancel?: Int32Array; bytes?: number } = {},
) {
  const {
    inFlight = 8,
    cancel = new Int32Array(new SharedArrayBuffer(4)),
    bytes = pieces.reduce((sum, [, , length]) => sum + length, 0),
  } = options;
  const into = new Uint8Array(bytes);
  const columns = {
    of: Int32Array.from(pieces, ([file]) => file),
    offsets: Float64Array.from(pieces, ([, at]) => at),
    lengths: Float64Array.from(pieces, ([, , length]) => length),
  };
  return { into, done: binding.readPieces({ files, ...columns, into, inFlight, cancel }) };
}

describe('pieces of files', () => {
  test.each([1, 2, 64])('are what lies there, in any order, %i at a time', async (inFlight) => {
    using dir = tempDir();
    const random = randomSource(inFlight);
    const contents = Array.from({ length: 20 }, (_, f) => {
      const bytes = Uint8Array.from({ length: 1 + Math.floor(random() * 50_000) }, () => random() * 256);
      writeFileSync(dir.file(`f${f}`), bytes);
      return bytes;
    });
    const pieces = contents.flatMap((bytes, f) =>
      Array.from({ length: 30 }, (): Piece => [f, Math.floor(random() * bytes.length * 1.2), Math.floor(random() * 5000)]),
    );
    const { into, done } = read(
      contents.map((_, f) => dir.file(`f${f}`)),
      pieces,
      { inFlight },
    );
    const { counts, stats } = await done;
    let from = 0;
    for (const [i, [f, at, length]] of pieces.entries()) {
      const expected = contents[f]!.subarray(at, at + length);
      expect(counts[i]).toBe(expected.length);
      expect(Buffer.compare(into.subarray(from, from + expected.length), expected)).toBe(0);
      from += length;
    }
    for (const [f] of contents.entries()) {
      const { dev, ino, mtimeNs, size } = statSync(dir.file(`f${f}`), { bigint: true });
      expect([...stats.subarray(4 * f, 4 * f + 4)]).toEqual([dev, ino, mtimeNs, size]);
    }
  });

  test('come through links and open descriptors, which stay open', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'hello');
    symlinkSync(dir.file('a'), dir.file('link'));
    const fd = openSync(dir.file('a'), 'r');
    const { into, done } = read(
      [dir.file('link'), fd],
      [
        [0, 1, 2],
        [1, 3, 9],
      ],
    );
    expect([...(await done).counts]).toEqual([2, 2]);
    expect(Buffer.from(into).toString('latin1', 0, 4)).toBe('ello');
    closeSync(fd);
  });

  test('of no file, of no bytes and of an empty file are none', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), '');
    expect(await read([], []).done).toEqual({ counts: new Float64Array(), stats: new BigInt64Array() });
    expect([
      ...(
        await read(
          [dir.file('a')],
          [
            [0, 0, 0],
            [0, 5, 10],
          ],
        ).done
      ).counts,
    ]).toEqual([0, 0]);
    expect((await read([dir.file('a')], []).done).stats[3]).toBe(0n);
  });

  test('a file at fault is named by its number, and none is left open', async () => {
    using dir = tempDir();
    for (const name of ['a', 'b', 'c']) writeFileSync(dir.file(name), 'x'.repeat(1000));
    mkdirSync(dir.file('folder'));
    execFileSync(systemTool('mkfifo'), [dir.file('fifo')]);
    const open = () => (process.platform === 'linux' ? descriptorsIn(dir.path) : 0);
    const before = open();
    for (const [name, errno, syscall] of [
      ['none', 'ENOENT', 'stat'],
      ['a/x', 'ENOTDIR', 'stat'],
      ['folder', 'EISDIR', 'open'],
      ['fifo', 'EINVAL', 'open'],
    ] as const) {
      for (const inFlight of [1, 16]) {
        const files = ['a', 'b', name, 'c'].map((own) => dir.file(own));
        const pieces = files.flatMap((_, f) => Array.from({ length: 40 }, (_, i): Piece => [f, i, 10]));
        await expect(read(files, pieces, { inFlight }).done).rejects.toMatchObject({ code: 'E_IO', errno, syscall, fileIndex: 2 });
      }
    }
    await expect(read([9999], [[0, 0, 1]]).done).rejects.toMatchObject({ errno: 'EBADF', fileIndex: 0 });
    expect(open()).toBe(before);
  });

  test('end when they are cancelled', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'hello');
    const cancel = new Int32Array(new SharedArrayBuffer(4));
    cancel[0] = 1;
    await expect(read([dir.file('a')], [[0, 0, 5]], { cancel }).done).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  test('a job that contradicts itself is refused', () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'hello');
    const refused = (files: readonly (string | number)[], pieces: readonly Piece[], bytes?: number) =>
      expect(() => read(files, pieces, bytes === undefined ? {} : { bytes })).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
    refused([dir.file('a')], [[1, 0, 5]]);
    refused([dir.file('a')], [[-1, 0, 5]]);
    refused([dir.file('a')], [[0, -1, 5]]);
    refused([dir.file('a')], [[0, 0.5, 5]]);
    refused([dir.file('a')], [[0, 0, 5]], 4);
    refused([dir.file('a')], [[0, 0, 5]], 6);
    refused(['a\0b'], [[0, 0, 5]]);
    refused([-1], [[0, 0, 5]]);
  });
});
