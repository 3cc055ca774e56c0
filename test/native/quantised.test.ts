import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { temporaryFolder } from '../support/checkpoints.ts';

/**
 * Made with torch and transformers by test/golden/make/quantised.py: two members, and what merging them with
 * these weights must give.
 */
const GOLDEN = fileURLToPath(new URL('../golden/quantised/', import.meta.url));
const WEIGHTS = [0.25, 0.75];
const golden = (name: string) => [1, 2].map((step) => join(GOLDEN, name, `step-${step}`));

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/** Dtype, shape and bytes of every tensor, by name. */
async function tensors(path: string): Promise<Record<string, string>> {
  const { shards } = await openCheckpoint(path);
  const entries = shards.flatMap(({ path: file, header }) => {
    const bytes = readFileSync(file);
    return header.tensors.names.map((name, row): [string, string] => {
      const { dtype, shape, begin, end } = header.tensors.info(row);
      return [name, `${dtype} [${shape}] ${bytes.toString('hex', header.dataStart + begin, header.dataStart + end)}`];
    });
  });
  return Object.fromEntries(entries);
}

const merge = (name: string, options: Partial<AverageOptions> = {}) =>
  average({ inputs: golden(name), weights: WEIGHTS, output: at('out'), ...options });

describe('a merge of quantised checkpoints', () => {
  it.each(['block', 'power-of-two', 'channel', 'tensor', 'e5m2', 'mxfp4'])(
    '%s: codes and scales are those that torch gives',
    async (name) => {
      const result = await merge(name, { dtype: 'same' });
      expect(await tensors(at('out'))).toEqual(await tensors(join(GOLDEN, name, 'expected')));
      const [{ rounding }] = result.outputs as [(typeof result.outputs)[number]];
      expect(rounding.length).toBeGreaterThan(0);
      for (const { ratio, tensors: count } of rounding) {
        expect(ratio).toBeGreaterThan(0);
        expect(count).toBeGreaterThan(0);
      }
      expect(JSON.parse(readFileSync(at('out', 'config.json'), 'utf8'))).toHaveProperty('quantization_config');
      expect((await verify(at('out'), { full: true, inputs: golden(name) })).recomputed.mode).toBe('full');
    },
  );

  it.each(['block', 'power-of-two', 'channel', 'tensor', 'e5m2', 'mxfp4'])(
    '%s as BF16: floats as torch gives them, without scales',
    async (name) => {
      const { warnings, outputs } = await merge(name, { dtype: 'BF16' });
      expect(await tensors(at('out'))).toEqual(await tensors(join(GOLDEN, name, 'floats')));
      expect(outputs[0]!.rounding).toEqual([]);
      expect(warnings.map((w) => w.code)).toContain('W_DEQUANTISED');
      expect(JSON.parse(readFileSync(at('out', 'config.json'), 'utf8'))).not.toHaveProperty('quantization_config');
      expect((await verify(at('out'), { full: true, inputs: golden(name) })).recomputed.mode).toBe('full');
    },
  );

  it('FP8 needs no --dtype, MXFP4 does', async () => {
    await merge('channel', {});
    expect(await tensors(at('out'))).toEqual(await tensors(join(GOLDEN, 'channel', 'expected')));
    await expect(merge('mxfp4', { output: at('other') })).rejects.toMatchObject({ code: 'E_DTYPE_NEEDED', exitCode: 2 });
  });

  it.each([
    ['reads', { io: 'read' }],
    ['one thread', { threads: 1 }],
    ['four threads', { threads: 4, memory: 32 * 2 ** 20 }],
  ] as const)('the bytes are the same with %s', async (_, machine) => {
    await merge('block', machine);
    expect(await tensors(at('out'))).toEqual(await tensors(join(GOLDEN, 'block', 'expected')));
  });

  it('one member alone gives its own bytes back', async () => {
    for (const name of ['block', 'tensor', 'mxfp4']) {
      const [path] = golden(name) as [string, string];
      const { outputs } = await average({ inputs: [path, path, path], dtype: 'same', output: at(name) });
      expect(await tensors(at(name))).toEqual(await tensors(path));
      expect(outputs[0]!.rounding.every(({ ratio }) => ratio === null)).toBe(true);
    }
  });

  it('says that a merge is mostly rounding', async () => {
    // MXFP4 keeps three bits: averaging 0.9 and 0.1 of nearly equal checkpoints moves less than rounding
    // does.
    const { warnings } = await merge('mxfp4', { dtype: 'same', weights: [0.05, 0.95] });
    expect(warnings.map((w) => w.code)).toContain('W_MOSTLY_ROUNDING');
    const provenance = JSON.parse(readFileSync(at('out', 'merge_provenance.json'), 'utf8'));
    expect(provenance.rounding[0].ratio).toBeGreaterThan(0.5);
  });
});
