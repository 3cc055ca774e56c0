import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linear } from '../../src/base/numbers/matrix.ts';
import { writeSafetensors } from '../../src/checkpoints/containers/safetensors/write-file.ts';
import { heldOutLoss, WINDOW_BYTES } from '../../src/cli/demo/held-out-loss.ts';
import { loadModel } from '../../src/cli/demo/model.ts';

const top = join(import.meta.dirname, '../..');
const DENSE = join(top, 'demo/runs/dense/checkpoint-6000');

interface Golden {
  readonly positions: readonly number[];
  readonly models: Record<string, { checkpoint: string; logits: number[][]; validation16k: number; search4k: number[] }>;
}
let golden: Golden;
let validation: Buffer;
let search: Buffer;
let folder: string;

beforeAll(async () => {
  golden = JSON.parse(await readFile(join(top, 'test/golden/demo/golden.json'), 'utf8')) as Golden;
  validation = await readFile(join(top, 'demo/held-out/validation.txt'));
  search = await readFile(join(top, 'demo/held-out/search.txt'));
  folder = await mkdtemp(join(tmpdir(), 'ckpt-merge-demo-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe.each(['dense', 'moe'])('forward pass of the %s model', (name) => {
  it('gives the logits that transformers gives', async () => {
    const { checkpoint, logits: expected } = golden.models[name]!;
    const model = await loadModel(join(top, checkpoint));
    const logits = model.logits(validation.subarray(0, WINDOW_BYTES));
    expect(expected).toHaveLength(golden.positions.length);
    golden.positions.forEach((position, i) => {
      expected[i]!.forEach((value, token) => {
        expect(Math.abs(logits[position * model.config.vocabulary + token]! - value), `position ${position}, token ${token}`).toBeLessThan(
          1e-4,
        );
      });
    });
  });

  it('gives the loss of every window that transformers gives', async () => {
    const { checkpoint, search4k } = golden.models[name]!;
    const { loss, blockLosses, windows } = await heldOutLoss(join(top, checkpoint), search, { maxBytes: 4096, windowsPerBlock: 1 });
    expect(windows).toBe(32);
    expect(blockLosses).toHaveLength(search4k.length);
    for (const [i, expected] of search4k.entries()) expect(Math.abs(blockLosses[i]! - expected), `window ${i}`).toBeLessThan(1e-4);
    expect(loss).toBeCloseTo(blockLosses.reduce((sum, value) => sum + value, 0) / blockLosses.length, 12);
  });
});

describe('heldOutLoss', () => {
  it('agrees with transformers on the 16 KB of `merge demo`, in blocks of 8 windows, and reports progress', async () => {
    const seen: string[] = [];
    const result = await heldOutLoss(DENSE, validation, { maxBytes: 16384, onProgress: (done, total) => seen.push(`${done}/${total}`) });
    expect(Math.abs(result.loss - golden.models.dense!.validation16k)).toBeLessThan(1e-4);
    expect(result.windows).toBe(128);
    expect(result.blockLosses).toHaveLength(16);
    expect(seen).toHaveLength(128);
    expect(seen.at(-1)).toBe('128/128');
  });

  it('drops what does not fill a window, and a block that is not full', async () => {
    const text = validation.subarray(0, 3 * WINDOW_BYTES + 50);
    const { windows, blockLosses } = await heldOutLoss(DENSE, text, { windowsPerBlock: 2 });
    expect(windows).toBe(3);
    expect(blockLosses).toHaveLength(1);
  });

  it('refuses a text shorter than a window', async () => {
    await expect(heldOutLoss(DENSE, validation.subarray(0, WINDOW_BYTES - 1))).rejects.toThrow(RangeError);
  });

  it('ends with the reason of its signal between two windows', async () => {
    const abort = new AbortController();
    let windows = 0;
    const onProgress = () => {
      windows += 1;
      if (windows === 2) abort.abort(new Error('enough'));
    };
    await expect(heldOutLoss(DENSE, validation, { signal: abort.signal, onProgress })).rejects.toThrow('enough');
    expect(windows).toBe(2);
  });
});

describe('checkpoints the forward pass cannot run', () => {
  const changed = async (name: string, change: (config: Record<string, unknown>) => void): Promise<string> => {
    const copy = join(folder, name);
    await cp(DENSE, copy, { recursive: true });
    const config = JSON.parse(await readFile(join(copy, 'config.json'), 'utf8')) as Record<string, unknown>;
    change(config);
    await writeFile(join(copy, 'config.json'), JSON.stringify(config));
    return copy;
  };

  it.each<[string, (config: Record<string, unknown>) => void, RegExp]>([
    ['another architecture', (c) => (c.model_type = 'mamba'), /model_type is "mamba"/],
    ['a size that is no integer', (c) => (c.hidden_size = 64.5), /hidden_size/],
    ['an activation it does not know', (c) => (c.hidden_act = 'gelu'), /hidden_act/],
    ['a norm without its epsilon', (c) => delete c.rms_norm_eps, /rms_norm_eps is not a positive number/],
    ['scaled positions', (c) => (c.rope_parameters = { rope_type: 'yarn' }), /rope_parameters/],
    ['a layer that the file does not have', (c) => (c.num_hidden_layers = 4), /needs a tensor model\.layers\.3\.input_layernorm\.weight/],
    ['another shape', (c) => (c.intermediate_size = 180), /gate_proj\.weight has shape \[176,64\] where config\.json asks for \[180,64\]/],
  ])('names %s', async (name, change, message) => {
    const path = await changed(name.replaceAll(' ', '-'), change);
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'E_MODEL', message: expect.stringMatching(message) });
  });

  it('names config.json when it is missing or broken', async () => {
    const path = await changed('broken', () => {});
    await writeFile(join(path, 'config.json'), '{');
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'E_MODEL', message: expect.stringMatching(/config\.json cannot be read/) });
    await rm(join(path, 'config.json'));
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'E_MODEL', message: expect.stringMatching(/config\.json cannot be read/) });
  });

  it('names a tensor that is not a plain float', async () => {
    const path = await changed('integers', () => {});
    const data = new Uint8Array(256 * 64);
    await writeSafetensors(join(path, 'model.safetensors'), [{ name: 'model.embed_tokens.weight', dtype: 'I8', shape: [256, 64], data }]);
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'E_MODEL', message: expect.stringMatching(/dtype I8/) });
  });
});

describe('arithmetic', () => {
  it.each([
    [1, 1, 1],
    [1, 4, 3],
    [2, 5, 8],
    [3, 7, 16],
    [5, 8, 1],
  ])('linear of %i vectors into %i outputs from %i inputs is the matrix product', (count, rows, columns) => {
    const x = Float64Array.from({ length: count * columns }, (_, i) => ((i * 7) % 11) - 5);
    const w = { rows, columns, data: Float64Array.from({ length: rows * columns }, (_, i) => ((i * 5) % 13) - 6) };
    const expected: number[] = [];
    for (let t = 0; t < count; t++) {
      for (let o = 0; o < rows; o++) {
        let sum = 0;
        for (let i = 0; i < columns; i++) sum += x[t * columns + i]! * w.data[o * columns + i]!;
        expected.push(sum);
      }
    }
    expect([...linear(x, count, w)]).toEqual(expected); // small integers: exact in any order
  });
});
