import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  cpSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OpenCache } from '../../../src/checkpoints/containers/open-cache.ts';
import {
  assertUnchanged,
  combinedSample,
  digestOfFile,
  digestsOfFiles,
  type FileDigest,
  fingerprint,
  fingerprintLike,
  inputIdentity,
  isSampled,
  sampleOf,
} from '../../../src/checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { tensorOfSpot } from '../../../src/checkpoints/spots.ts';
import { entry, fileBytes, folderOf, indexText, mergeError, seeded, smallFile } from '../../support/safetensors.ts';

/** What is looked at of each file, as slowly as the definition reads. */
function sampledBytes(files: readonly string[]): Buffer[] {
  return files.map((file) => {
    const bytes = readFileSync(file);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(bytes.length));
    const dataStart = 8 + Number(bytes.readBigUInt64LE());
    const pieces: Buffer[] = [size, bytes.subarray(0, dataStart)];
    const n = bytes.length - dataStart;
    if (n <= 262_144) pieces.push(bytes.subarray(dataStart));
    else {
      for (let i = 0; i < 64; i++) {
        const at = dataStart + Number((BigInt(i) * BigInt(n - 4096)) / 63n);
        pieces.push(bytes.subarray(at, at + 4096));
      }
    }
    return Buffer.concat(pieces);
  });
}

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

function expectedFingerprint(files: readonly string[]): string {
  return `v2-${sha256(Buffer.concat(sampledBytes(files).map(sha256))).toString('hex')}`;
}

function randomFile(name: string, size: number): Uint8Array {
  const random = seeded(size);
  return fileBytes(
    `{${entry(name, 'U8', [size], 0, size)}}`,
    Uint8Array.from({ length: size }, () => random(256)),
  );
}

test.each([0, 1, 4096, 262_143, 262_144, 262_145, 1_000_003])('a shard of %i bytes of data', async (size) => {
  const folder = folderOf({ 'model.safetensors': randomFile('a', size) });
  expect(await fingerprint(await openCheckpoint(folder))).toBe(expectedFingerprint([join(folder, 'model.safetensors')]));
});

test('several shards, in the order of their names', async () => {
  const folder = folderOf({
    'model.safetensors.index.json': indexText({ b: 's10', a: 's9' }),
    s10: randomFile('b', 300_000),
    s9: randomFile('a', 10),
  });
  expect(await fingerprint(await openCheckpoint(folder))).toBe(expectedFingerprint([join(folder, 's10'), join(folder, 's9')]));
});

test('a recorded fingerprint of version 0.1.0 is compared in its own definition', async () => {
  const folder = folderOf({
    'model.safetensors.index.json': indexText({ a: 's1', b: 's2' }),
    s1: randomFile('a', 300_000),
    s2: randomFile('b', 10),
  });
  const files = [join(folder, 's1'), join(folder, 's2')];
  const first = sha256(Buffer.concat(sampledBytes(files))).toString('hex');
  const checkpoint = await openCheckpoint(folder);
  expect(await fingerprintLike(checkpoint, first)).toBe(first);
  expect(await fingerprintLike(checkpoint, expectedFingerprint(files))).toBe(expectedFingerprint(files));
  const now = await fingerprint(checkpoint);
  for (const [recorded, same] of [
    [first, true],
    [now, true],
    [`0${first.slice(1)}`, first.startsWith('0')],
    [`${now}0`, false],
    [undefined, false],
  ] as const) {
    expect(await isSampled(checkpoint, recorded, now)).toBe(same);
  }
});

test('digests of files taken one by one, in any order, are those of the whole', async () => {
  const names = Array.from({ length: 70 }, (_, i) => `s${String(i).padStart(3, '0')}`);
  const shards = names.map((name, i) => [name, randomFile(name, 1000 + i * 6000)] as const);
  const folder = folderOf({
    'model.safetensors.index.json': indexText(Object.fromEntries(names.map((n) => [n, n]))),
    ...Object.fromEntries(shards),
  });
  const checkpoint = await openCheckpoint(folder);
  const found = new Map<number, FileDigest>();
  const half = [...names.keys()].reverse().slice(35);
  for (const i of half) found.set(i, await digestOfFile(checkpoint, i));
  const others = [...names.keys()].filter((i) => !half.includes(i));
  let next = 0;
  for await (const digest of digestsOfFiles(checkpoint, others)) found.set(others[next++]!, digest);
  const bytes = sampledBytes(names.map((name) => join(folder, name)));
  for (const [i, content] of bytes.entries()) expect(found.get(i)!.digest).toEqual(sha256(content));
  expect(combinedSample(names.map((_, i) => found.get(i)!))).toEqual(await sampleOf(checkpoint));
});

test('steps of a run whose headers are the same, and those of other sizes, have the fingerprints that they have alone', async () => {
  const cache = new OpenCache();
  const step = (size: number, first: number): string => {
    const bytes = randomFile('a', size);
    bytes[bytes.length - 1]! ^= first;
    return folderOf({ 'model.safetensors': bytes });
  };
  for (const folder of [step(300_000, 1), step(300_000, 2), step(400_000, 3), step(300_000, 4), step(10, 5), step(10, 6)]) {
    const checkpoint = await openCheckpoint(folder, { cache });
    expect(await fingerprint(checkpoint)).toBe(expectedFingerprint([join(folder, 'model.safetensors')]));
  }
});

test('two checkpoints of many files, opened with one cache, have the tensors that each has alone', async () => {
  // A megabyte of headers, of equal length: what was read for one file may not be taken for that of another.
  const names = Array.from({ length: 200 }, (_, i) => `s${String(i).padStart(3, '0')}`);
  const index = indexText(Object.fromEntries(names.map((name) => [name, name])));
  const pad = ' '.repeat(6000);
  const saved = (data: number): string =>
    folderOf({
      'model.safetensors.index.json': index,
      ...Object.fromEntries(
        names.map((name) => [name, fileBytes(`{${entry(name, 'U8', [4], 0, 4)}}${pad}`, Uint8Array.of(data, 1, 2, 3))]),
      ),
    });
  const cache = new OpenCache();
  for (const folder of [saved(1), saved(2)]) {
    const checkpoint = await openCheckpoint(folder, { cache });
    for (const [i, { tensors }] of checkpoint.shards.entries()) expect(tensors.names).toEqual([names[i]]);
    expect(await fingerprint(checkpoint)).toBe(expectedFingerprint(names.map((name) => join(folder, name))));
  }
});

test('a header of megabytes is read as any other', async () => {
  const entries = Array.from({ length: 40_000 }, (_, i) => entry(`layers.${i}.a.name.that.is.rather.long.weight`, 'U8', [1], i, i + 1));
  const folder = folderOf({
    'model.safetensors': fileBytes(
      `{${entries.join()}}`,
      Uint8Array.from({ length: 40_000 }, (_, i) => i),
    ),
  });
  expect(readFileSync(join(folder, 'model.safetensors')).length).toBeGreaterThan(2 * 2 ** 20);
  expect(await fingerprint(await openCheckpoint(folder))).toBe(expectedFingerprint([join(folder, 'model.safetensors')]));
});

test('an abort ends it with its reason', async () => {
  const checkpoint = await openCheckpoint(folderOf({ 'model.safetensors': smallFile('a') }));
  const reason = new Error('enough');
  await expect(fingerprint(checkpoint, AbortSignal.abort(reason))).rejects.toBe(reason);
});

test('equal headers with other data have other fingerprints, equal files the same', async () => {
  const bytes = randomFile('a', 500_000);
  const changed = Uint8Array.from(bytes);
  changed[changed.length - 1]! ^= 1;
  const [one, same, other] = await Promise.all(
    [bytes, bytes, changed].map(async (content) => fingerprint(await openCheckpoint(folderOf({ 'model.safetensors': content })))),
  );
  expect(same).toBe(one);
  expect(other).not.toBe(one);
});

/** What can happen to a file behind the back of a merge. */
const CHANGES: readonly [what: string, change: (path: string) => void, changed: boolean][] = [
  ['nothing', () => {}, false],
  ['a hard link to it', (path) => linkSync(path, `${path}.link`), false],
  ['longer', (path) => appendFileSync(path, 'x'), true],
  ['rewritten in place', (path) => overwrite(path), true],
  ['replaced by an equal file', (path) => replace(path), true],
  ['removed', (path) => rmSync(path), true],
];

test.each(CHANGES)('a change is noticed: %s', async (_what, change, changed) => {
  const folder = folderOf({ 'model.safetensors': smallFile('a') });
  const path = join(folder, 'model.safetensors');
  // A time in the past, so that a write of this moment has another one whatever the clock's resolution.
  utimesSync(path, 1e9, 1e9);
  const checkpoint = await openCheckpoint(folder);
  change(path);
  if (!changed) {
    await assertUnchanged(checkpoint);
    return;
  }
  const error = await mergeError(() => assertUnchanged(checkpoint));
  expect(error).toMatchObject({ code: 'E_INPUT_CHANGED', details: { file: path } });
  const reading = await mergeError(() => fingerprint(checkpoint));
  expect(reading.code).toMatch(/^E_(INPUT_CHANGED|NOT_FOUND)$/);
});

function overwrite(path: string): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, 'x', statSync(path).size - 1);
  closeSync(fd);
}

function replace(path: string): void {
  writeFileSync(`${path}.new`, readFileSync(path));
  utimesSync(`${path}.new`, 1e9, 1e9);
  renameSync(`${path}.new`, path);
}

test('the identity of an input is its fingerprint, and size and time of each shard: not where it lies', async () => {
  const identityOf = async (folder: string): Promise<string> => {
    const checkpoint = await openCheckpoint(folder);
    return inputIdentity(await fingerprint(checkpoint), checkpoint);
  };
  const folder = folderOf({ 'model.safetensors': smallFile('a') });
  const { mtimeNs, size } = statSync(join(folder, 'model.safetensors'), { bigint: true });
  expect(await identityOf(folder)).toBe(`${await fingerprint(await openCheckpoint(folder))} ${size}:${mtimeNs / 1_000_000n}`);
  const copy = `${folder}-copy`;
  cpSync(folder, copy, { recursive: true, preserveTimestamps: true });
  utimesSync(join(folder, 'model.safetensors'), 1e9, 1e9);
  utimesSync(join(copy, 'model.safetensors'), 1e9, 1e9);
  expect(await identityOf(copy)).toBe(await identityOf(folder));
  utimesSync(join(copy, 'model.safetensors'), 1e9, 1e9 + 1);
  expect(await identityOf(copy)).not.toBe(await identityOf(folder));
  overwrite(join(copy, 'model.safetensors'));
  utimesSync(join(copy, 'model.safetensors'), 1e9, 1e9);
  expect(await identityOf(copy)).not.toBe(await identityOf(folder));
});

test('of matrices in the sampled blocks it is known whether they are zero there', async () => {
  const size = 3_000_000;
  const half = size / 2;
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i < half ? 1 : 0));
  const file = fileBytes(`{${entry('a', 'U8', [2, half / 2], 0, half)},${entry('b', 'U8', [2, half / 2], half, size)}}`, bytes);
  const spotsOf = async (content: Uint8Array) => [
    ...(await sampleOf(await openCheckpoint(folderOf({ 'model.safetensors': content })))).spots,
  ];
  const large = await spotsOf(file);
  expect(large.length).toBeGreaterThan(60);
  for (const [key, zero] of large) expect(zero).toBe(tensorOfSpot(key) === 'b');
  // Of a small file every matrix is looked at, and nothing is said of vectors and of what is tiny.
  const small = `{${entry('m', 'U8', [20, 20], 0, 400)},${entry('v', 'U8', [400], 400, 800)},${entry('t', 'U8', [2, 2], 800, 804)},${entry('z', 'U8', [16, 16], 804, 1060)}}`;
  expect(
    await spotsOf(
      fileBytes(
        small,
        Uint8Array.from({ length: 1060 }, (_, i) => (i < 400 ? 7 : 0)),
      ),
    ),
  ).toEqual([
    ['m@0', false],
    ['z@0', true],
  ]);
});
