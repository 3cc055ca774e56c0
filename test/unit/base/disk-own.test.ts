import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freshFileIn } from '../../../src/base/disk/fresh-file.ts';
import { HeldFolder, holdOwn } from '../../../src/base/disk/held-folder.ts';
import { LogFile } from '../../../src/base/disk/log-file.ts';
import { openOwn, readOwn, writeAnew } from '../../../src/base/disk/own-file.ts';
import { isPlainName } from '../../../src/base/disk/plain-name.ts';
import { removeTree } from '../../../src/base/disk/remove-tree.ts';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { interceptedFs, temporaryFolder } from '../../support/publication.ts';

const root = process.getuid?.() === 0;
const OTHER_USER = 4242;

describe('a held folder', () => {
  test('is the one that was opened, whatever has its name by now', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'own'));
    mkdirSync(join(folder, 'victim'));
    const held = await HeldFolder.open(SYSTEM, join(folder, 'own'));
    try {
      renameSync(join(folder, 'own'), join(folder, 'away'));
      symlinkSync('victim', join(folder, 'own'));
      writeFileSync(held.at('file'), 'mine');
      expect(readdirSync(join(folder, 'victim'))).toEqual([]);
      expect(readFileSync(join(folder, 'away', 'file'), 'utf8')).toBe('mine');
    } finally {
      await held.close();
    }
  });

  test('is no link to one, nor is a folder in it', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    symlinkSync('.', join(folder, 'real', 'inner'));
    await expect(HeldFolder.open(SYSTEM, join(folder, 'link'))).rejects.toThrow(/ENOTDIR|ELOOP/);
    const held = await HeldFolder.open(SYSTEM, join(folder, 'real'));
    await expect(held.child(SYSTEM, 'inner')).rejects.toThrow(/ENOTDIR|ELOOP/);
    await held.close();
  });

  test.each([
    ['0700', 0o700, 'own'],
    ['0755', 0o755, 'own'],
    ['0775: its group can write', 0o775, 'foreign'],
    ['0757: everybody can write', 0o757, 'foreign'],
    ['01777: sticky, and still everybody can add to it', 0o1777, 'foreign'],
  ])('of mode %s is %s', async (_, mode, expected) => {
    const folder = temporaryFolder();
    const path = join(folder, 'partial');
    mkdirSync(path);
    chmodSync(path, mode);
    const found = await holdOwn(SYSTEM, path, await freshFileIn(SYSTEM, folder, 'probe-'));
    expect(found === 'foreign' || found === null ? found : 'own').toBe(expected);
    if (found instanceof HeldFolder) await found.close();
  });

  test('that is not there is null; a file, a link, a dangling link are foreign', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    symlinkSync('.', join(folder, 'link'));
    symlinkSync('nowhere', join(folder, 'dangling'));
    const fresh = await freshFileIn(SYSTEM, folder, 'probe-');
    expect(await holdOwn(SYSTEM, join(folder, 'none'), fresh)).toBeNull();
    for (const name of ['file', 'link', 'dangling']) expect(await holdOwn(SYSTEM, join(folder, name), fresh)).toBe('foreign');
  });

  test.runIf(root)('of another user is foreign, however closed it is', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'partial');
    mkdirSync(path, 0o700);
    chownSync(path, OTHER_USER, OTHER_USER);
    expect(await holdOwn(SYSTEM, path, await freshFileIn(SYSTEM, folder, 'probe-'))).toBe('foreign');
  });

  test('is judged by what the file system says of a fresh file, not by numbers of this process', async () => {
    const folder = temporaryFolder();
    // A mount that shows one owner and no modes for everything, as CIFS and exFAT do.
    const fresh = { uid: statSync(folder).uid, withoutModes: true, mtimeMs: Date.now() };
    chmodSync(folder, 0o777);
    const found = await holdOwn(SYSTEM, folder, fresh);
    expect(found).toBeInstanceOf(HeldFolder);
    await (found as HeldFolder).close();
    expect(await holdOwn(SYSTEM, folder, { ...fresh, uid: fresh.uid + 1 })).toBe('foreign');
  });
});

describe('a fresh file', () => {
  test('leaves nothing, with a name or without', async () => {
    const folder = temporaryFolder();
    const named = interceptedFs((call, path) => {
      if (call === 'open' && path === folder) throw Object.assign(new Error('EOPNOTSUPP'), { errno: -95, code: 'EOPNOTSUPP' });
    });
    const [a, b] = [await freshFileIn(SYSTEM, folder, 'probe-'), await freshFileIn({ ...SYSTEM, fs: named }, folder, 'probe-')];
    expect([a.uid, a.withoutModes]).toEqual([b.uid, b.withoutModes]);
    expect(Math.abs(a.mtimeMs - Date.now())).toBeLessThan(60_000);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a file of our own', () => {
  test('is not written to through a link, nor where it has a second name, nor where it is none', async () => {
    const folder = temporaryFolder();
    const [secret, link, second] = ['secret', 'link', 'second'].map((name) => join(folder, name)) as [string, string, string];
    writeFileSync(secret, 'secret');
    symlinkSync(secret, link);
    for (const how of ['append', 'write', 'flush', 'read'] as const) await expect(openOwn(SYSTEM, link, how)).rejects.toThrow(/ELOOP/);
    linkSync(secret, second);
    for (const how of ['append', 'write', 'flush'] as const)
      await expect(openOwn(SYSTEM, second, how)).rejects.toMatchObject({ code: 'E_OUTPUT_KIND', message: expect.stringContaining(second) });
    await expect(openOwn(SYSTEM, folder, 'read')).rejects.toMatchObject({ code: 'E_OUTPUT_KIND' });
    expect(readFileSync(secret, 'utf8')).toBe('secret');
  });

  test('that is larger than it can be is not read', async () => {
    const path = join(temporaryFolder(), 'owner.json');
    const handle = await open(path, 'w');
    await handle.truncate(2 ** 40);
    await handle.close();
    await expect(readOwn(SYSTEM, path)).rejects.toMatchObject({ code: 'E_OUTPUT_KIND', details: { file: path } });
  });

  test('is begun anew in the place of a link, and what that leads to stays', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'secret'), 'secret');
    for (const name of ['config.json', 'log']) symlinkSync('secret', join(folder, name));
    await writeAnew(SYSTEM, join(folder, 'config.json'), '{}');
    const log = new LogFile(join(folder, 'log'));
    log.write('a line\n');
    log.close();
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe('secret');
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('{}');
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('a line\n');
    symlinkSync('secret', join(folder, 'late'));
    expect(() => LogFile.append(join(folder, 'late'), 'x')).toThrow(/ELOOP/);
  });
});

describe('removing', () => {
  test('takes links away and leaves what they lead to', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'victim/deep'), { recursive: true });
    writeFileSync(join(folder, 'victim/deep/file'), 'mine');
    mkdirSync(join(folder, 'old/sub'), { recursive: true });
    symlinkSync(join(folder, 'victim'), join(folder, 'old/sub/link'));
    symlinkSync('../victim/deep/file', join(folder, 'old/file'));
    symlinkSync('nowhere', join(folder, 'old/dangling'));
    await removeTree(SYSTEM, join(folder, 'old'));
    expect(readdirSync(folder)).toEqual(['victim']);
    symlinkSync('victim', join(folder, 'link'));
    await removeTree(SYSTEM, join(folder, 'link'));
    expect(readFileSync(join(folder, 'victim/deep/file'), 'utf8')).toBe('mine');
    expect(existsSync(join(folder, 'link'))).toBe(false);
  });

  test('is not led astray by a folder that becomes a link between two calls', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'victim'));
    writeFileSync(join(folder, 'victim/file'), 'mine');
    mkdirSync(join(folder, 'old/sub'), { recursive: true });
    // The attacker exchanges the folder in the moment after it was seen to be one, at each call in turn.
    for (let moment = 1; moment <= 12; moment++) {
      mkdirSync(join(folder, 'old/sub'), { recursive: true });
      let calls = 0;
      const fs = interceptedFs(() => {
        if (++calls !== moment || !existsSync(join(folder, 'old/sub'))) return;
        renameSync(join(folder, 'old/sub'), join(folder, `away-${moment}`));
        symlinkSync('../victim', join(folder, 'old/sub'));
      });
      await removeTree({ ...SYSTEM, fs }, join(folder, 'old')).catch(() => {});
      expect(readFileSync(join(folder, 'victim/file'), 'utf8')).toBe('mine');
      await removeTree(SYSTEM, join(folder, 'old'));
    }
  });

  test('of what is not there is fine', async () => {
    await removeTree(SYSTEM, join(temporaryFolder(), 'none'));
  });
});

test.each([
  ['merged-checkpoint-2', true],
  ['.hidden', true],
  ['..', false],
  ['.', false],
  ['', false],
  ['../other', false],
  ['a/b', false],
  ['/etc', false],
  ['a\\b', false],
  ['a\0b', false],
])('%j is a plain name: %s', (name, plain) => {
  expect(isPlainName(name)).toBe(plain);
});
