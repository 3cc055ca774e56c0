import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { KnownMetadata } from '../../../src/checkpoints/containers/dcp/known-metadata.ts';
import { readMetadata } from '../../../src/checkpoints/containers/dcp/read-metadata.ts';
import { unpackGolden } from '../../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What comes of it, or what is wrong with it. */
function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return `${error}`;
  }
}

describe.each([
  ['dcp-fsdp', '100', '200'],
  ['dcp-resume', '60', '80'],
  ['dcp-moe', '100', '200'],
])('%s', (name, before, after) => {
  const [one, other] = [before, after].map((step) => readFileSync(join(unpackGolden(name, folder), step, '.metadata'))) as [Buffer, Buffer];

  it('a step that differs in the save alone is what its whole reading says, and is not read again', () => {
    expect(one.equals(other)).toBe(false);
    const known = new KnownMetadata();
    const first = known.read(one, '/a/.metadata');
    const second = known.read(other, '/b/.metadata');
    expect(second).toEqual(readMetadata(other, '/b/.metadata'));
    expect(second).toBe(first);
  });
});

it('whatever else differs by a byte is read, and comes out as it does alone', () => {
  const one = readFileSync(join(unpackGolden('dcp-fsdp', folder), '100', '.metadata'));
  const behind = one.lastIndexOf('storage_meta', undefined, 'latin1');
  const wrong: string[] = [];
  for (let at = 0; at < one.length; at += at < behind - 10 ? 997 : 1) {
    for (const bits of [0x01, 0x20]) {
      const changed = Buffer.from(one);
      changed[at]! ^= bits;
      const known = new KnownMetadata();
      known.read(one, '/b');
      const [got, want] = [outcome(() => known.read(changed, '/b')), outcome(() => readMetadata(changed, '/b'))];
      if (!isSame(got, want)) wrong.push(`byte ${at}, bits ${bits}`);
    }
  }
  expect(wrong).toEqual([]);
});

function isSame(got: unknown, want: unknown): boolean {
  try {
    expect(got).toEqual(want);
    return true;
  } catch {
    return false;
  }
}
