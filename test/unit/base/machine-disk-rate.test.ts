import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectedSeconds, measureDisk } from '../../../src/base/machine/disk-rate.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const input = (name: string, bytes: number) => {
  const path = join(folder.path, name);
  writeFileSync(path, Buffer.alloc(bytes, 1));
  return { path, bytes };
};

describe('the measurement of a disk', () => {
  it('gives rates and leaves nothing, not even for a moment a name', async () => {
    const inputs = [input('a', 3 << 20), input('b', 100), input('empty', 0)];
    const out = join(folder.path, 'not/there/yet');
    const { readBytesPerSecond, writeBytesPerSecond } = await measureDisk(inputs, out);
    expect(readBytesPerSecond).toBeGreaterThan(0);
    // Some file systems cannot make a file without a name; then nothing is known, and that is said.
    if (writeBytesPerSecond !== null) expect(writeBytesPerSecond).toBeGreaterThan(0);
    expect(readdirSync(folder.path).sort()).toEqual(['a', 'b', 'empty']);
  });

  it('knows nothing of what is not there or holds nothing', async () => {
    expect((await measureDisk([], folder.path)).readBytesPerSecond).toBeNull();
    expect((await measureDisk([input('empty', 0)], folder.path)).readBytesPerSecond).toBeNull();
    expect((await measureDisk([{ path: join(folder.path, 'gone'), bytes: 5 }], folder.path)).readBytesPerSecond).toBeNull();
  });

  it('does not write where it may not', async () => {
    expect((await measureDisk([], '/proc/self/out')).writeBytesPerSecond).toBeNull();
  });
});

describe('expected seconds', () => {
  const work = { bytesRead: 600, bytesWritten: 100 };

  it('are those of reading and of writing', () => {
    expect(expectedSeconds(work, { readBytesPerSecond: 200, writeBytesPerSecond: 50 })).toBe(5);
  });

  it('are unknown without both rates', () => {
    expect(expectedSeconds(work, { readBytesPerSecond: null, writeBytesPerSecond: 50 })).toBeNull();
    expect(expectedSeconds(work, { readBytesPerSecond: 200, writeBytesPerSecond: null })).toBeNull();
  });
});
