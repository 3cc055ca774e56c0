import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSyntheticCheckpoint } from '../../src/analysis/bench/synthetic.ts';
import { average } from '../../src/index.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { temporaryFolder } from '../support/checkpoints.ts';

const BYTES = 48 * 2 ** 20;
const MEMBERS = 10;

let folder: ReturnType<typeof temporaryFolder>;
let inputs: string[];
let files: string[];
beforeAll(async () => {
  folder = temporaryFolder();
  inputs = Array.from({ length: MEMBERS }, (_, i) => join(folder.path, `checkpoint-${i + 1}`));
  for (const [i, path] of inputs.entries()) await writeSyntheticCheckpoint(path, BYTES, i + 1);
  files = inputs.flatMap((path) => readdirSync(path).map((name) => join(path, name)));
  execFileSync('sync', files);
});
afterAll(() => folder.remove());

/** Bytes that this process made the system fetch from a device; null where the system does not tell. */
function fetched(): number | null {
  try {
    return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? Number.NaN);
  } catch {
    return null;
  }
}

/** Of the inputs' bytes, how many times each was fetched; null where they come from no device, as on a tmpfs. */
async function timesFetched(options: object): Promise<number | null> {
  for (const path of files) loadBinding().evict(path);
  const before = fetched();
  const output = join(folder.path, 'out');
  await average({ inputs, output, ...options });
  rmSync(output, { recursive: true });
  const bytes = (fetched() ?? 0) - (before ?? 0);
  return bytes < BYTES ? null : bytes / (MEMBERS * BYTES);
}

describe('inputs that are not in the page cache', () => {
  it.each([
    ['that they stay in', { cache: 'keep', threads: 2 }],
    ['that they leave again', { cache: 'drop', threads: 2 }],
    ['that they leave again, with more threads than there is work for', { cache: 'drop', threads: 8 }],
  ])('come from the device once, into a cache %s', async (_, options) => {
    const times = await timesFetched(options);
    if (times === null) console.log('cold reads are not counted: the temporary folder lies on no device');
    else expect(times).toBeLessThan(1.05);
  });
});
