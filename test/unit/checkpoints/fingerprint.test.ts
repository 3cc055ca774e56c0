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
import { assertUnchanged, fingerprint, inputIdentity, sampleOf } from '../../../src/checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { tensorOfSpot } from '../../../src/checkpoints/spots.ts';
import { entry, fileBytes, folderOf, indexText, mergeError, seeded, smallFile } from '../../support/safetensors.ts';

/** The recipe in words, as slowly as it reads. */
function expectedFingerprint(files: readonly string[]): string {
  const pieces: Buffer[] = [];
  for (const file of files) {
    const bytes = readFileSync(file);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(bytes.length));
    const dataStart = 8 + Number(bytes.readBigUInt64LE());
    const n = bytes.length - dataStart;
    pieces.push(size, bytes.subarray(0, dataStart));
    if (n <= 262_144) pieces.push(bytes.subarray(dataStart));
    else {
      for (let i = 0; i < 64; i++) {
        const at = dataStart + Number((BigInt(i) * BigInt(n - 4096)) / 63n);
        pieces.push(bytes.subarray(at, at + 4096));
      }
    }
  }
  return createHash('sha256').update(Buffer.concat(pieces)).digest('hex');
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
