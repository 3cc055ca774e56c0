import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/store/byte-reader.ts';
import { fileLines } from '../../../src/base/store/file-lines.ts';
import { localStore } from '../../../src/base/store/local.ts';
import { readExactly, readIfThere, readWhole, storeOf } from '../../../src/base/store/store.ts';
import { systemTool } from '../../support/system-tool.ts';

let dir: string;
const at = (name: string) => join(dir, name);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'store-'));
  mkdirSync(at('folder/inner'), { recursive: true });
  writeFileSync(at('folder/inner/deep'), 'deep');
  writeFileSync(at('file'), '0123456789');
  symlinkSync('file', at('link'));
  symlinkSync('nothing', at('broken'));
  symlinkSync('circle', at('circle'));
  execFileSync(systemTool('mkfifo'), [at('fifo')]);
});
afterAll(() => rmSync(dir, { recursive: true }));

it('lists what is there by kind, links as links, and says null of what is no folder', async () => {
  const entries = (await storeOf(dir).list(dir))!;
  expect(Object.fromEntries(entries.map(({ name, kind }) => [name, kind]))).toEqual({
    ...{ folder: 'folder', file: 'file', link: 'link', broken: 'link', circle: 'link', fifo: 'other' },
  });
  expect(await storeOf(dir).list(at('file'))).toBeNull();
  expect(await storeOf(dir).list(at('file/below'))).toBeNull();
  await expect(storeOf(dir).list(at('gone'))).rejects.toMatchObject({ code: 'E_NOT_FOUND', details: { file: at('gone') } });
  expect((await storeOf(dir).listBelow(at('folder'))).sort()).toEqual(['inner', 'inner/deep']);
});

it('looks through links, and tells a change of content from a change of status', async () => {
  const before = await localStore.stat(at('link'));
  expect(before).toMatchObject({ kind: 'file', size: 10 });
  expect((await localStore.stat(at('file'))).version).toBe(before.version);
  execFileSync('ln', [at('file'), at('second-name')]);
  const named = await localStore.stat(at('file'));
  expect([named.version, named.identity]).toEqual([before.version, before.identity]);
  writeFileSync(at('other'), '0123456789');
  renameSync(at('other'), at('file'));
  const written = await localStore.stat(at('file'));
  expect(written.version).not.toBe(before.version);
  expect(written.identity).not.toBe(before.identity);
  for (const name of ['broken', 'gone']) await expect(localStore.stat(at(name))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(localStore.stat(at('circle'))).rejects.toMatchObject({ code: 'E_NOT_READABLE', details: { errno: 'ELOOP' } });
});

it.each([
  ['folder', 'a folder'],
  ['fifo', 'a FIFO'],
])('opens regular files alone: not %s, known to be one or not', async (name, kind) => {
  for (const known of [false, true]) {
    await expect(storeOf(dir).open(at(name), known)).rejects.toMatchObject({
      code: 'E_NOT_READABLE',
      message: `${at(name)}: is ${kind}, not a regular file`,
    });
  }
  await expect(readWhole(at(name), 100)).rejects.toMatchObject({ code: 'E_NOT_READABLE' });
});

it('reads as far as there is something, and says where a file ends that should not', async () => {
  const file = await storeOf(dir).open(at('link'));
  try {
    const bytes = Buffer.alloc(4);
    expect([await file.read(bytes, 3), bytes.toString()]).toEqual([4, '3456']);
    expect(await file.read(bytes, 8)).toBe(2);
    await expect(readExactly(file, bytes, 8)).rejects.toMatchObject({ code: 'E_INPUT_CHANGED', details: { position: 10 } });
  } finally {
    await file.close();
  }
  expect((await readWhole(at('link'), 10)).toString()).toBe('0123456789');
});

it('reads no more of a file than it may have', async () => {
  expect((await readWhole(at('link'), 10)).toString()).toBe('0123456789');
  const message = `${at('link')}: has 10 bytes, and a file of its kind is read up to 9 bytes`;
  await expect(readWhole(at('link'), 9)).rejects.toMatchObject({ code: 'E_NOT_READABLE', message });
  writeFileSync(at('sparse'), '');
  truncateSync(at('sparse'), 2 ** 40);
  await expect(readIfThere(at('sparse'), 2 ** 20)).rejects.toMatchObject({ code: 'E_NOT_READABLE', details: { file: at('sparse') } });
});

it('what is not there is null where that is asked for, and nothing else is', async () => {
  symlinkSync(at('nowhere'), at('dangling'));
  expect([await readIfThere(at('none'), 10), await readIfThere(at('dangling'), 10)]).toEqual([null, null]);
  expect((await readIfThere(at('link'), 10))?.toString()).toBe('0123456789');
  for (const name of ['fifo', 'folder']) await expect(readIfThere(at(name), 10)).rejects.toMatchObject({ code: 'E_NOT_READABLE' });
});

it('lines of a file of any length, each up to a length', async () => {
  const lines = async (text: string, longest: number) => {
    writeFileSync(at('lines'), text);
    const file = await storeOf(dir).open(at('lines'));
    try {
      const found: string[] = [];
      for await (const line of fileLines(file, longest)) found.push(line);
      return found;
    } finally {
      await file.close();
    }
  };
  expect(await lines('a\r\n\nbc\nd', 3)).toEqual(['a', '', 'bc', 'd']);
  expect(await lines('', 3)).toEqual([]);
  const long = 'x'.repeat(2 ** 20 + 5);
  expect(await lines(`${long}\né\n`, 2 ** 21)).toEqual([long, 'é']);
  await expect(lines('a\nbcde\n', 3)).rejects.toMatchObject({ code: 'E_NOT_READABLE', details: { file: at('lines') } });
});

it('small reads of many files say what is wrong with which', async () => {
  const reader = new ByteReader();
  try {
    writeFileSync(at('short'), 'abcdef');
    expect((await reader.read(at('short'), 2, 3)).toString()).toBe('cde');
    truncateSync(at('short'), 4);
    await expect(reader.read(at('short'), 2, 3)).rejects.toMatchObject({ code: 'E_INPUT_CHANGED', details: { file: at('short') } });
    await expect(reader.read(at('gone'), 0, 1)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    await expect(reader.read(at('fifo'), 0, 1)).rejects.toMatchObject({ code: 'E_NOT_READABLE' });
  } finally {
    await reader.close();
  }
});
