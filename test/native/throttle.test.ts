import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const BYTES = 3 << 20;

let folder: ReturnType<typeof temporaryFolder>;
let inputs: string[];
let unbounded: string;
const at = (...parts: string[]) => join(folder.path, ...parts);
beforeAll(async () => {
  folder = temporaryFolder();
  const shards = [1, 2, 3].map((n) => [{ name: `layers.${n}.up`, dtype: 'BF16', shape: [BYTES / 6] } as const]);
  inputs = [1, 2].map((seed) => writeCheckpoint(at(`checkpoint-${seed}`), shards, seed));
  await average({ inputs, output: at('unbounded') });
  unbounded = tensorsOf('unbounded');
});
afterAll(() => folder.remove());

/** A digest of an output's tensor files. */
function tensorsOf(output: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(at(output)).filter((file) => file.endsWith('.safetensors'))) hash.update(readFileSync(at(output, name)));
  return hash.digest('hex');
}

describe('a bound of what is read in a second', () => {
  it.each<[string, AverageOptions['io'], Partial<AverageOptions>]>([
    ['mapped', 'map', {}],
    ['read', 'read', {}],
    ['read, one request at a time', 'read', { ioDepth: 1 }],
  ])('is kept, %s, and changes no byte', async (name, io, more) => {
    const maxRead = 20e6;
    const began = performance.now();
    const { bytesRead } = await average({ inputs, output: at(name), io, maxRead, ...more });
    const seconds = (performance.now() - began) / 1000;
    expect(bytesRead).toBeGreaterThanOrEqual(2 * BYTES);
    // All but what the first tenth of a second brings along comes at the rate.
    expect(seconds).toBeGreaterThanOrEqual(bytesRead / maxRead - 0.1);
    expect(tensorsOf(name)).toBe(unbounded);
  });

  it('is kept where quantised weights are read twice, too', async () => {
    const golden = fileURLToPath(new URL('../golden/quantised/block/', import.meta.url));
    const quantised = { inputs: [1, 2].map((step) => join(golden, `step-${step}`)), dtype: 'same' } as const;
    const { bytesRead } = await average({ ...quantised, output: at('codes') });
    const maxRead = bytesRead / 0.5;
    const began = performance.now();
    expect((await average({ ...quantised, output: at('paced codes'), maxRead })).bytesRead).toBe(bytesRead);
    expect((performance.now() - began) / 1000).toBeGreaterThanOrEqual(0.5 - 0.1);
    expect(tensorsOf('paced codes')).toBe(tensorsOf('codes'));
  });

  it('does not hold up the end: a merge that would take hours leaves nothing at once', async () => {
    const abort = new AbortController();
    const merge = average({ inputs, output: at('new', 'out'), maxRead: 1000 }, { signal: abort.signal });
    const ended = expect(merge).rejects.toThrow('enough');
    await vi.waitFor(() => expect(existsSync(at('new'))).toBe(true), { timeout: 60_000 });
    abort.abort(new Error('enough'));
    await ended;
    expect(existsSync(at('new'))).toBe(false);
  });

  it.each([0, 0.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 51])('is no %d bytes', async (maxRead) => {
    await expect(average({ inputs, output: at('refused'), maxRead })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: `maxRead must be bytes a second from 1 to ${2 ** 50}, not ${maxRead}`,
    });
  });
});

describe('a number of requests in flight', () => {
  it('is kept: one at a time waits for each', async () => {
    const tuning = { readDelayMicros: 10_000, requestBytes: 2 ** 17 };
    const began = performance.now();
    const { bytesRead } = await average({ inputs, output: at('one'), io: 'read', ioDepth: 1, tuning });
    expect((performance.now() - began) / 1000).toBeGreaterThanOrEqual((bytesRead / tuning.requestBytes) * 0.01);
    expect(tensorsOf('one')).toBe(unbounded);
  });

  it.each([0, 1.5, 1025])('is not %d', async (ioDepth) => {
    await expect(average({ inputs, output: at('refused'), ioDepth })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: `ioDepth must be a whole number from 1 to 1024, not ${ioDepth}`,
    });
  });
});
