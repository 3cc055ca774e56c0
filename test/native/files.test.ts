import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { crc32cReference as crc32c } from '../../src/analysis/verify/twin/crc32c.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { descriptorsIn } from '../support/descriptors.ts';
import { randomElements, randomSource, tempDir } from '../support/native-job.ts';
import { systemTool } from '../support/system-tool.ts';

const binding = loadBinding();

describe('inputs', () => {
  test.each(['map', 'read'] as const)('say what fstat said (%s)', (mode) => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'hello');
    symlinkSync(dir.file('a'), dir.file('link'));
    const input = binding.openInput(dir.file('link'), mode);
    const { size, dev, ino, mtimeNs, ctimeNs } = statSync(dir.file('a'), { bigint: true });
    expect(input.mode).toBe(mode);
    expect(input.stat).toEqual({ size: Number(size), dev, ino, mtimeNs, ctimeNs });
    input.close();
    input.close();
  });

  test('an empty file opens', () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), '');
    for (const mode of ['map', 'read'] as const) expect(binding.openInput(dir.file('a'), mode).stat.size).toBe(0);
  });

  test.skipIf(process.platform !== 'linux')('opened and closed ten thousand times they leave no descriptor and no mapping', () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'hello');
    const held = () => descriptorsIn(dir.path) + readFileSync('/proc/self/maps', 'utf8').split(dir.file('a')).length;
    const before = held();
    for (let i = 0; i < 10_000; i++) binding.openInput(dir.file('a'), i % 2 === 0 ? 'map' : 'read').close();
    expect(held()).toBe(before);
  });

  test('what is not a regular file is refused, a FIFO without waiting for a writer', () => {
    using dir = tempDir();
    execFileSync(systemTool('mkfifo'), [dir.file('fifo')]);
    const refused = (path: string, errno: string) =>
      expect(() => binding.openInput(path, 'map')).toThrow(expect.objectContaining({ code: 'E_IO', errno, syscall: 'open' }));
    refused(dir.file('fifo'), 'EINVAL');
    refused(dir.path, 'EISDIR');
    refused(dir.file('none'), 'ENOENT');
    refused(`${dir.file('none')}/x`, 'ENOENT');
    expect(() => binding.openInput('a\0b', 'map')).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
    expect(() => binding.openInput(dir.path, 'other' as never)).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
  });
});

describe('outputs', () => {
  test('are created exclusively, sized, with the modes that umask leaves', async () => {
    using dir = tempDir();
    const output = binding.openOutput(dir.file('out'), 100_000, { reopen: false });
    expect(statSync(dir.file('out'))).toMatchObject({ size: 100_000 });
    expect(statSync(dir.file('out')).mode & 0o777).toBe(0o666 & ~process.umask());
    output.write(99_998, Uint8Array.of(7, 8));
    await output.sync();
    output.close();
    output.close();
    expect([...readFileSync(dir.file('out')).subarray(99_997)]).toEqual([0, 7, 8]);
    expect(() => binding.openOutput(dir.file('out'), 1, { reopen: false })).toThrow(
      expect.objectContaining({ code: 'E_IO', errno: 'EEXIST' }),
    );
    expect(() => output.write(0, Uint8Array.of(1))).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
    expect(() => output.sync()).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
  });

  test('reopened they keep their bytes and take the size asked for', () => {
    using dir = tempDir();
    writeFileSync(dir.file('out'), 'hello');
    for (const size of [5, 9, 3, 0]) {
      binding.openOutput(dir.file('out'), size, { reopen: true }).close();
      expect(statSync(dir.file('out')).size).toBe(size);
      expect(readFileSync(dir.file('out'), 'latin1')).toBe('hello\0\0\0\0'.slice(0, Math.min(size, size === 9 ? 9 : 5)));
    }
    expect(() => binding.openOutput(dir.file('none'), 1, { reopen: true })).toThrow(expect.objectContaining({ errno: 'ENOENT' }));
  });

  test('a write beyond the end is refused; no space leaves no file', () => {
    using dir = tempDir();
    const output = binding.openOutput(dir.file('out'), 10, { reopen: false });
    expect(() => output.write(9, Uint8Array.of(1, 2))).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
    output.close();
    expect(() => binding.openOutput(dir.file('huge'), 2 ** 52, { reopen: false })).toThrow(expect.objectContaining({ code: 'E_NO_SPACE' }));
    expect(existsSync(dir.file('huge'))).toBe(false);
  });
});

describe('renames', () => {
  test('noreplace refuses an existing target, exchange swaps', () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'A');
    mkdirSync(dir.file('b'));
    expect(() => binding.rename(dir.file('a'), dir.file('b'), 'noreplace')).toThrow(expect.objectContaining({ errno: 'EEXIST' }));
    binding.rename(dir.file('a'), dir.file('b'), 'exchange');
    expect(readFileSync(dir.file('b'), 'utf8')).toBe('A');
    binding.rename(dir.file('b'), dir.file('c'), 'noreplace');
    expect(readFileSync(dir.file('c'), 'utf8')).toBe('A');
    expect(() => binding.rename(dir.file('b'), dir.file('c'), 'exchange')).toThrow(expect.objectContaining({ errno: 'ENOENT' }));
  });
});

describe('CRC32C', () => {
  test('matches the table-driven twin at every length around the ways it is computed', () => {
    const bytes = randomElements('F64', 5000, randomSource(8), true);
    for (const length of [0, 1, 7, 8, 9, 255, 256, 511, 512, 513, 800, 4096, 12_287, 12_288, 12_289, 39_999]) {
      expect(binding.crc32c(bytes.subarray(1, 1 + length), 0)).toBe(crc32c(bytes.subarray(1, 1 + length)));
    }
    expect(binding.crc32c(new TextEncoder().encode('123456789'), 0)).toBe(0xe3069283);
  });

  test('continues from a seed, combines, and reads files', async () => {
    using dir = tempDir();
    const bytes = randomElements('F64', 300_000, randomSource(8), true);
    writeFileSync(dir.file('a'), bytes);
    const whole = crc32c(bytes);
    for (const cut of [0, 1, 1000, bytes.length]) {
      const first = binding.crc32c(bytes.subarray(0, cut), 0);
      expect(binding.crc32c(bytes.subarray(cut), first)).toBe(whole);
      expect(binding.crc32cCombine(first, binding.crc32c(bytes.subarray(cut), 0), bytes.length - cut)).toBe(whole);
    }
    expect(await binding.crc32cFile(dir.file('a'), 0, bytes.length)).toBe(whole);
    expect(await binding.crc32cFile(dir.file('a'), 9, 1_500_000)).toBe(crc32c(bytes.subarray(9, 1_500_009)));
    await expect(binding.crc32cFile(dir.file('none'), 0, 1)).rejects.toMatchObject({ code: 'E_IO', errno: 'ENOENT' });
  });
});

test('a file system has a type, a file resident bytes, and eviction removes them', () => {
  using dir = tempDir();
  writeFileSync(dir.file('a'), new Uint8Array(1_000_001));
  expect(binding.fileSystemType(dir.path)).toMatch(/^([a-z0-9]+|0x[0-9a-f]+)$/);
  expect(binding.residentBytes(dir.file('a'))).toBe(1_000_001);
  binding.evict(dir.file('a'));
  // tmpfs has nowhere to put its pages
  if (!['tmpfs', 'ramfs'].includes(binding.fileSystemType(dir.path))) expect(binding.residentBytes(dir.file('a'))).toBeLessThan(1_000_001);
  expect(() => binding.fileSystemType(dir.file('none'))).toThrow(expect.objectContaining({ errno: 'ENOENT' }));
});

test('probes measure what they are told', async () => {
  using dir = tempDir();
  expect(await binding.probeWrite(dir.file('w'), 3_000_000, 2)).toMatchObject({ bytes: 3_000_000 });
  expect(statSync(dir.file('w')).size).toBe(3_000_000);
  const read = await binding.probeRead(dir.file('w'), 'read', 2);
  expect(read.bytes).toBe(3_000_000);
  expect(read.seconds).toBeGreaterThan(0);
  await expect(binding.probeWrite(dir.file('w'), 1, 1)).rejects.toMatchObject({ errno: 'EEXIST' });
});
