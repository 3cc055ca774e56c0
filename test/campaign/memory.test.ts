import { execFile } from 'node:child_process';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSyntheticCheckpoint } from '../../src/analysis/bench/synthetic.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { along, cutCopy } from '../support/dcp-cuts.ts';

const CHILD = fileURLToPath(new URL('../support/memory-child.js', import.meta.url));
const MIB = 2 ** 20;
const INPUT_BYTES = 48 * MIB;

let folder: ReturnType<typeof temporaryFolder>;
let inputs: string[];
beforeAll(async () => {
  folder = temporaryFolder();
  inputs = Array.from({ length: 10 }, (_, i) => join(folder.path, `checkpoint-${i + 1}`));
  for (const [i, path] of inputs.entries()) await writeSyntheticCheckpoint(path, INPUT_BYTES, i + 1);
  // Seventeen members are mapped and buffered alike, whether or not some of them are the same files.
  for (let i = 10; i < 17; i++) {
    inputs.push(join(folder.path, `checkpoint-${i + 1}`));
    symlinkSync(inputs[i - 10]!, inputs[i]!);
  }
});
afterAll(() => folder.remove());

interface Measured {
  readonly peakAnonBytes: number;
  readonly peakRssBytes: number;
  readonly peakMemoryBytes: number;
  readonly threads: number;
}

/** K outputs of all N inputs, or of windows of so many that move over them. */
async function measure(N: number, K: number, memory: number, options: object, window = N, from = inputs): Promise<Measured> {
  const outputs = Array.from({ length: K }, (_, k) => ({
    path: join(folder.path, `out-${k}`),
    members: Array.from({ length: window }, (_, i) => i + (window < N ? k : 0)),
    weights: Array.from({ length: window }, (_, i) => (i + k + 1) / 50),
  }));
  const request = JSON.stringify({ inputs: from.slice(0, N), outputs, memory, options });
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, request]);
  for (const { path } of outputs) rmSync(path, { recursive: true });
  return JSON.parse(stdout) as Measured;
}

// RssAnon is what Linux tells; elsewhere there is nothing to compare with.
describe.skipIf(process.platform !== 'linux')('anonymous memory', () => {
  for (const threads of [1, 16]) {
    for (const io of ['map', 'read']) {
      it(`stays under the plan's bound: 8 windows of 10 over 17 inputs, ${threads} threads, io ${io}`, async () => {
        const found = await measure(17, 8, 64 * MIB, { threads, io }, 10);
        expect(found.peakAnonBytes).toBeGreaterThan(10 * MIB);
        expect(found.peakAnonBytes).toBeLessThan(found.peakMemoryBytes);
      });
    }
  }

  for (const N of [4, 10]) {
    for (const K of [1, 8]) {
      for (const threads of [1, 16]) {
        for (const io of ['map', 'read']) {
          it(`stays under the plan's bound: ${N} inputs, ${K} outputs, ${threads} threads, io ${io}`, async () => {
            const found = await measure(N, K, 64 * MIB, { threads, io });
            expect(found.peakAnonBytes).toBeGreaterThan(10 * MIB);
            expect(found.peakAnonBytes).toBeLessThan(found.peakMemoryBytes);
          });
        }
      }
    }
  }
});

describe.skipIf(process.platform !== 'linux')('resident memory', () => {
  it('does not grow with the mapped inputs, whose pages are released behind the work', async () => {
    const { peakRssBytes } = await measure(10, 1, 64 * MIB, { threads: 2, io: 'map', cache: 'drop' });
    // 480 MiB are mapped and read, and would all be resident; what may be are the process, the buffers, 128
    // MiB of used pages that wait to be given back and 2 threads x 10 inputs x a chunk of 4 MiB.
    expect(peakRssBytes).toBeLessThan(90e6 + 64 * MIB + 128 * MIB + 2 * 10 * 4 * MIB);
  });

  it('nor where each input lies in files of several ranks, which are all in use at once', async () => {
    const dcp = await cutCopy(inputs[0]!, join(folder.path, 'dcp', 'checkpoint-1'), along(0, 4));
    const links = Array.from({ length: 10 }, (_, i) => join(folder.path, 'dcp', `checkpoint-${i + 2}`));
    for (const link of links) symlinkSync(dcp, link);
    const { peakRssBytes } = await measure(10, 1, 64 * MIB, { threads: 2, io: 'map' }, 10, links);
    // As above, but of each of 40 files up to 4 MiB wait, and what is given back ends where a page of 2 MiB does.
    expect(peakRssBytes).toBeLessThan(90e6 + 64 * MIB + 40 * 6 * MIB + 2 * 10 * 4 * MIB);
  });
});

it('memory that fits nothing is refused by code', async () => {
  await expect(measure(10, 8, 100_000, { threads: 1, io: 'map' })).rejects.toThrow('E_NO_MEMORY');
});
