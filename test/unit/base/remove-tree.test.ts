import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeTree } from '../../../src/base/disk/remove-tree.ts';
import { descriptorsIn } from '../../support/descriptors.ts';
import { systemTool } from '../../support/system-tool.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remove-tree-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('removing a tree', () => {
  it('takes links away and leaves what they lead to', async () => {
    const victim = join(folder, 'victim');
    mkdirSync(victim);
    writeFileSync(join(victim, 'file'), 'kept');
    const tree = join(folder, 'tree');
    mkdirSync(join(tree, 'sub'), { recursive: true });
    symlinkSync(victim, join(tree, 'sub', 'folder'));
    symlinkSync(join(victim, 'file'), join(tree, 'file'));
    symlinkSync('/not/there', join(tree, 'nothing'));
    symlinkSync('..', join(tree, 'sub', 'up'));
    spawnSync(systemTool('mkfifo'), [join(tree, 'fifo')]);
    await removeTree({ fs }, tree);
    expect(existsSync(tree)).toBe(false);
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe('kept');
    symlinkSync(victim, tree);
    await removeTree({ fs }, tree);
    expect(lstatSync(tree, { throwIfNoEntry: false })).toBeUndefined();
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe('kept');
  });

  it.skipIf(!existsSync('/proc/self/fd'))('of any depth takes few descriptors, and every branch goes', async () => {
    // Longer than a path can be: each folder is made from the one above it.
    const script = `const fs = require('node:fs');
      process.chdir(${JSON.stringify(folder)});
      fs.mkdirSync('tree'); process.chdir('tree');
      for (let i = 0; i < 1500; i++) {
        if (i % 7 === 0) { fs.mkdirSync('b'); fs.mkdirSync('b/c'); fs.writeFileSync('b/c/f', ''); }
        fs.writeFileSync('f', ''); fs.mkdirSync('d'); process.chdir('d');
      }`;
    expect(spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' }).stderr).toBe('');
    let most = 0;
    const counting = {
      ...fs,
      unlink: (path: string) => {
        most = Math.max(most, descriptorsIn(folder));
        return fs.unlink(path);
      },
    } as typeof fs;
    await removeTree({ fs: counting }, join(folder, 'tree'));
    expect(readdirSync(folder)).toEqual([]);
    expect(most).toBeLessThan(40);
    expect(descriptorsIn(folder)).toBe(0);
  });

  it.each([1, 2, 3])('that another process removes meanwhile is gone, wherever this one is: folder %i', async (nth) => {
    for (const name of ['a', 'c/d']) mkdirSync(join(folder, 'tree', name), { recursive: true });
    let count = 0;
    const raced = {
      ...fs,
      readdir: (path: string) => {
        if (++count === nth) rmSync(join(folder, 'tree'), { recursive: true });
        return fs.readdir(path);
      },
    } as typeof fs;
    await removeTree({ fs: raced }, join(folder, 'tree'));
    expect(count).toBeGreaterThanOrEqual(nth);
    expect(readdirSync(folder)).toEqual([]);
  });
});
