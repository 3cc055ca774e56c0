import { closeSync, mkdirSync, openSync, readdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HeaderCache, openCheckpoint, readHeader } from '../../../src/safetensors.ts';
import { folderOfManyFaults, HOSTILE_FOLDERS } from '../../support/hostile-folders.ts';
import { folderOf, indexText, mergeError, smallFile } from '../../support/safetensors.ts';

const INDEX = 'model.safetensors.index.json';

for (const { what, make, code, file, tensor, notAsRoot } of HOSTILE_FOLDERS) {
  test.skipIf(notAsRoot === true && process.getuid?.() === 0)(`refuses ${what} with ${code}`, async () => {
    const path = make();
    const error = await mergeError(() => openCheckpoint(path));
    const place = path.endsWith(file) ? path : join(path, file);
    expect({ code: error.code, file: error.details.file, tensor: error.details.tensor }).toEqual({ code, file: place, tensor });
    expect(error.message).toContain(place);
    expect(error.exitCode).toBe(3);
    expect(error.help).not.toBe('');
  });
}

test('the table of folders', () => {
  console.log(
    [
      'code, what, file, tensor',
      ...HOSTILE_FOLDERS.map((row) => [row.code, row.what, row.file || 'folder', row.tensor ?? '-'].join(', ')).sort(),
    ].join('\n'),
  );
  expect(new Set(HOSTILE_FOLDERS.map(({ what }) => what)).size).toBe(HOSTILE_FOLDERS.length);
});

test('an ambiguous folder is told by both names', async () => {
  const folder = folderOf({
    [INDEX]: indexText({ a: 's.safetensors' }),
    's.safetensors': smallFile('a'),
    'model.safetensors': smallFile('a'),
  });
  const { message } = await mergeError(() => openCheckpoint(folder));
  expect(message).toContain('model.safetensors and model.safetensors.index.json');
});

test('all broken shards are reported together', async () => {
  const error = await mergeError(() => openCheckpoint(folderOfManyFaults()));
  const codes = error.details.conflicts?.map(({ code, file }) => [code, file?.split('/').at(-1)]);
  expect(codes).toHaveLength(20);
  expect(codes).toContainEqual(['E_SHARD_MISSING', 's27.safetensors']);
  expect(codes).toContainEqual(['E_OTHER_CONTENT', 's29.safetensors']);
});

test('all disagreements between index and shards are reported together', async () => {
  const folder = folderOf({
    [INDEX]: indexText({ a: 's1', b: 's1', c: 's2', d: 's2' }),
    s1: smallFile('a', 'c', 'x'),
    s2: smallFile('a', 'd', 'y'),
  });
  const error = await mergeError(() => openCheckpoint(folder));
  expect(error.details.conflicts?.map(({ code, file, tensor }) => [code, file?.split('/').at(-1), tensor])).toEqual([
    ['E_TENSOR_UNINDEXED', 's1', 'x'],
    ['E_TENSOR_UNINDEXED', 's2', 'y'],
    ['E_TENSOR_MISPLACED', 's1', 'c'],
    ['E_TENSOR_TWICE', 's2', 'a'],
    ['E_TENSOR_MISPLACED', 's1', 'b'],
  ]);
  expect(error.message).toContain('4 more');
});

test('a folder with an index', async () => {
  const folder = folderOf({
    [INDEX]: indexText({ a: 's2.safetensors', b: 's1.safetensors', c: 's2.safetensors' }, { total_size: 12, total_parameters: 3 }),
    's1.safetensors': smallFile('b'),
    's2.safetensors': smallFile('c', 'a'),
    'adapter_model.safetensors': smallFile('z'),
  });
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint).toMatchObject({ path: folder, kind: 'folder', indexName: INDEX, tensorCount: 3, bytes: 12, step: null, tokens: null });
  expect(checkpoint.indexMetadata).toEqual(
    new Map([
      ['total_size', 12],
      ['total_parameters', 3],
    ]),
  );
  expect(checkpoint.shards.map(({ name }) => name)).toEqual(['s1.safetensors', 's2.safetensors']);
  expect(checkpoint.locate('a')).toEqual({ shard: 1, row: 1 });
  expect(checkpoint.locate('b')).toEqual({ shard: 0, row: 0 });
  expect(checkpoint.locate('c')).toEqual({ shard: 1, row: 0 });
  expect(checkpoint.locate('z')).toBeUndefined();
  expect(checkpoint.locate('__proto__')).toBeUndefined();
  expect(checkpoint.warnings).toEqual([{ code: 'W_UNINDEXED_FILE', message: expect.stringContaining('adapter_model.safetensors') }]);
});

test.each([
  ['model.safetensors', {}],
  ['diffusion_pytorch_model.safetensors', {}],
  ['model.safetensors', { [INDEX]: indexText({ a: 'model.safetensors', b: 'model.safetensors' }) }],
])('a folder with %s alone, and %o', async (name, others) => {
  const folder = folderOf({ [name]: smallFile('a', 'b'), ...others });
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint.shards.map((shard) => [shard.name, shard.path])).toEqual([[name, join(folder, name)]]);
  expect(checkpoint.locate('b')).toEqual({ shard: 0, row: 1 });
  expect(checkpoint.locate('c')).toBeUndefined();
  expect(checkpoint.warnings).toEqual([]);
});

test('shards in a folder below, and an index of another stem', async () => {
  const folder = folderOf({ 'x.safetensors.index.json': indexText({ a: 'sub/s.safetensors' }), 'sub/s.safetensors': smallFile('a') });
  expect((await openCheckpoint(folder)).shards[0]?.path).toBe(join(folder, 'sub/s.safetensors'));
});

test('a single file, and files through symbolic links as in the Hugging Face cache', async () => {
  const folder = folderOf({ 'blobs/0a1b': smallFile('a'), 'blobs/2c3d': indexText({ a: 'model-00001-of-00001.safetensors' }) });
  mkdirSync(join(folder, 'snapshot'));
  symlinkSync('../blobs/0a1b', join(folder, 'snapshot/model-00001-of-00001.safetensors'));
  symlinkSync('../blobs/2c3d', join(folder, 'snapshot', INDEX));
  const whole = await openCheckpoint(join(folder, 'snapshot'));
  expect(whole.tensorCount).toBe(1);
  const single = await openCheckpoint(join(folder, 'snapshot/model-00001-of-00001.safetensors'));
  expect(single).toMatchObject({ kind: 'file', indexName: null, indexMetadata: null, tensorCount: 1 });
  expect(single.shards[0]?.stat).toEqual(whole.shards[0]?.stat);
});

test('equal headers and indexes are parsed and stored once', async () => {
  const files = { [INDEX]: indexText({ a: 's1', b: 's2' }), s1: smallFile('a'), s2: smallFile('b') };
  const cache = new HeaderCache();
  const [first, second] = await Promise.all([folderOf(files), folderOf(files)].map((folder) => openCheckpoint(folder, { cache })));
  expect(second!.shards[1]!.header.tensors).toBe(first!.shards[1]!.header.tensors);
  expect(second!.shards[1]!.header.path).not.toBe(first!.shards[1]!.header.path);
  expect(second!.locate).toBe(first!.locate);
  expect(first!.shards[1]!.header.tensors).not.toBe(first!.shards[0]!.header.tensors);
});

test('an equal header does not excuse a file of another size', async () => {
  const cache = new HeaderCache();
  const whole = folderOf({ 'model.safetensors': smallFile('a') });
  const short = folderOf({ 'model.safetensors': smallFile('a').subarray(0, -1) });
  const long = folderOf({ 'model.safetensors': Buffer.concat([smallFile('a'), Buffer.alloc(1)]) });
  await openCheckpoint(whole, { cache });
  expect((await mergeError(() => openCheckpoint(short, { cache }))).code).toBe('E_FILE_TRUNCATED');
  expect((await mergeError(() => openCheckpoint(long, { cache }))).code).toBe('E_TRAILING_BYTES');
});

test('a header that is longer than the first read', async () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `model.layers.${i}.weight`);
  const folder = folderOf({ 'model.safetensors': smallFile(...names) });
  const { tensors } = await readHeader(join(folder, 'model.safetensors'));
  expect(tensors.names).toEqual(names);
});

test.skipIf(process.platform !== 'linux')('no file stays open', async () => {
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`s${i}.safetensors`, smallFile(`t${i}`)]));
  const folder = folderOf({ ...files, [INDEX]: indexText(Object.fromEntries(Object.keys(files).map((name, i) => [`t${i}`, name]))) });
  await openCheckpoint(folder);
  expect(openFilesIn(folder)).toEqual([]);
  renameSync(join(folder, 's7.safetensors'), join(folder, 'gone'));
  writeFileSync(join(folder, 's8.safetensors'), 'x');
  await mergeError(() => openCheckpoint(folder));
  expect(openFilesIn(folder)).toEqual([]);
  const held = openSync(join(folder, 's9.safetensors'), 'r');
  expect(openFilesIn(folder)).toHaveLength(1);
  closeSync(held);
});

function openFilesIn(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) ? [target] : [];
    } catch {
      return []; // closed since it was listed
    }
  });
}
