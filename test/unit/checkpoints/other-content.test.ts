import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspect } from '../../../src/analysis/inspect/inspect.ts';
import { OpenCache } from '../../../src/checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { discoverRun } from '../../../src/checkpoints/run/discover.ts';
import { sideFiles } from '../../../src/checkpoints/side-files.ts';
import { fileBytes, folderOf, indexText, mergeError, smallFile } from '../../support/safetensors.ts';

const LFS = `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 14483464192\n`;

/** What servers, tools and people put in the place of a file of weights. */
const CONTENTS: readonly (readonly [what: string, bytes: string | Uint8Array, said: RegExp])[] = [
  ['a pointer of Git LFS', LFS, /Git LFS pointer.*of 14483464192 bytes.*`git lfs pull`/],
  ['a pointer of its predecessor', LFS.replace('git-lfs', 'hawser'), /Git LFS pointer/],
  ['a web page', '<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>', /web page \(HTML\).*download it again/],
  ['a web page after a blank line', '\n  <html>', /web page/],
  ["a bucket's answer", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', /XML/],
  ["a hub's answer", 'Entry not found', /is a text \("Entry not found"\)/],
  ['an error as JSON', '{"error":"Repository not found"}', /is a text .*Repository not found/],
  ['what torch.save writes', 'PK\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00', /torch\.save/],
  ['GGUF', 'GGUF\x03\x00\x00\x00\x00\x00\x00\x00', /GGUF/],
  ['a pickle of old', Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0x28, 0x58, 6, 0, 0), /pickle.*torch\.load/],
  ['a pickle', Uint8Array.of(0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0), /pickle/],
  ['a compressed file', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3), /gzip/],
  ['a download that has not begun', new Uint8Array(4096), /holds zeros/],
];

describe.each(CONTENTS)('%s', (_what, bytes, said) => {
  test('is named in the place of weights, and of one shard of several', async () => {
    const folder = folderOf({ 'model.safetensors': bytes });
    const sharded = folderOf({
      'model-1.safetensors': smallFile('a'),
      'model-2.safetensors': bytes,
      'model.safetensors.index.json': indexText({ a: 'model-1.safetensors', b: 'model-2.safetensors' }),
    });
    for (const path of [folder, join(folder, 'model.safetensors'), sharded]) {
      expect(await mergeError(() => openCheckpoint(path))).toMatchObject({ code: 'E_OTHER_CONTENT', message: expect.stringMatching(said) });
    }
  });

  test('is named where a run is listed', async () => {
    const run = folderOf({ 'checkpoint-1/model.safetensors': smallFile('a'), 'checkpoint-2/model.safetensors': bytes });
    expect((await discoverRun(run)).excluded).toMatchObject([{ step: 2, reason: expect.stringMatching(said) }]);
  });

  test('is named where a header was read before that is shorter', async () => {
    const cache = new OpenCache();
    await openCheckpoint(folderOf({ 'model.safetensors': smallFile('a') }), { cache });
    const error = await mergeError(() => openCheckpoint(folderOf({ 'model.safetensors': bytes }), { cache }));
    expect(error).toMatchObject({ code: 'E_OTHER_CONTENT', message: expect.stringMatching(said) });
  });
});

test('other faults of a header stay what they are', async () => {
  const cases: readonly (readonly [Uint8Array | string, string])[] = [
    ['', 'E_HEADER_TRUNCATED'],
    [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 0x7b), 'E_HEADER_TOO_LARGE'],
    [fileBytes('[]'), 'E_HEADER_START'],
  ];
  for (const [bytes, code] of cases) {
    expect(await mergeError(() => openCheckpoint(folderOf({ 'model.safetensors': bytes })))).toMatchObject({ code });
  }
});

test('pointers in the place of the index, the configuration and the tokenizer', async () => {
  const index = folderOf({ 'model-1.safetensors': smallFile('a'), 'model.safetensors.index.json': LFS });
  expect(await mergeError(() => openCheckpoint(index))).toMatchObject({ code: 'E_OTHER_CONTENT', message: expect.stringContaining('LFS') });

  const folder = folderOf({ 'model.safetensors': smallFile('a'), 'config.json': LFS, 'tokenizer.json': LFS });
  expect((await inspect(folder)).summary.problems).toMatchObject([
    { code: 'E_CONFIG_UNREADABLE', message: expect.stringContaining('LFS') },
  ]);
  const { faults, copied } = await sideFiles(await openCheckpoint(folder));
  expect(copied).toEqual([]);
  expect(faults.map(({ message }) => message)).toEqual([
    expect.stringMatching(/config\.json: is a Git LFS pointer/),
    expect.stringMatching(/tokenizer\.json: is a Git LFS pointer.*belongs to the model/),
  ]);
  writeFileSync(join(folder, 'tokenizer.json'), '{}');
  expect((await sideFiles(await openCheckpoint(folder))).copied.map(({ name }) => name)).toEqual(['tokenizer.json']);
});

test('the emptied weights of ZeRO-3 are named, and a few empty tensors are a checkpoint like any other', async () => {
  const entry = (name: string, shape: readonly number[], at: number) =>
    `"${name}":{"dtype":"F32","shape":[${shape}],"data_offsets":[${at},${at + 4 * shape.reduce((a, b) => a * b, 1)}]}`;
  const file = (...tensors: readonly (readonly [string, readonly number[]])[]) => {
    let at = 0;
    const entries = tensors.map(([name, shape]) => {
      const text = entry(name, shape, at);
      at += 4 * shape.reduce((a, b) => a * b, 1);
      return text;
    });
    return fileBytes(`{${entries.join()}}`, at);
  };
  const emptied = folderOf({ 'model.safetensors': file(['q.weight', [0]], ['k.weight', [0]], ['norm.weight', [4]]) });
  expect(await mergeError(() => openCheckpoint(emptied))).toMatchObject({
    code: 'E_NO_TENSORS',
    message: expect.stringMatching(/2 of 3 tensors are empty \(q\.weight has shape \[0\]\).*ZeRO-3/),
    help: expect.stringContaining('zero_to_fp32.py'),
  });
  const some = folderOf({ 'model.safetensors': file(['a', [4]], ['b', [4]], ['c', [4]], ['d', [4]], ['e', [0]], ['f', [0, 4]]) });
  expect((await openCheckpoint(some)).tensorCount).toBe(6);
});
