import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { average } from '../../src/merge/average.ts';
import { type ConvertOptions, convert, planConversion } from '../../src/merge/convert.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { goldensIn, type OracleTensor, readOracle } from '../support/containers.ts';
import { writeDcp } from '../support/dcp-files.ts';
import { entry, fileBytes, indexText, mergeError } from '../support/safetensors.ts';
import { dictOf, op, pickle, tensor, torchFiles, zipOf } from '../support/torch-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = goldensIn(folder);

let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

/** All tensors of a folder of safetensors, read by their format. */
function written(path: string): Map<string, OracleTensor> {
  return new Map(
    readdirSync(path)
      .filter((name) => name.endsWith('.safetensors'))
      .flatMap((name) => [...readOracle(join(path, name))]),
  );
}

/**
 * Bit patterns that no arithmetic leaves as they are: signalling NaN with payloads, both zeros, denormals.
 */
const F32_BITS = Uint32Array.of(0x7f800001, 0xffbfffff, 0x7fc12345, 0x80000000, 1, 0xff800000);
const BF16_BITS = Uint16Array.of(0x7f81, 0xffbf, 0x7fd3, 0x8000, 1, 0xff80);
const bytesOf = (array: Uint32Array | Uint16Array): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

describe('bytes', () => {
  it('of a DCP checkpoint are copied, NaN with their payloads too', async () => {
    const input = join(folder, 'payloads');
    writeDcp(input, {
      tensors: {
        'layers.0.wq.weight': {
          shape: [2, 3],
          parts: [
            { start: [0, 0], size: [2, 2], stored: { bytes: bytesOf(Uint32Array.of(...[0, 1, 3, 4].map((i) => F32_BITS[i]!))) } },
            { start: [0, 2], size: [2, 1], stored: { bytes: bytesOf(Uint32Array.of(F32_BITS[2]!, F32_BITS[5]!)) } },
          ],
        },
        'norm.weight': { dtype: 'bfloat16', shape: [6], parts: [{ start: [0], size: [6], stored: { bytes: bytesOf(BF16_BITS) } }] },
      },
    });
    const output = fresh();
    await convert({ input, output, sync: false });
    const found = written(output);
    expect(found.get('layers.0.wq.weight')!.bytes.equals(bytesOf(F32_BITS))).toBe(true);
    expect(found.get('norm.weight')!.bytes.equals(bytesOf(BF16_BITS))).toBe(true);
  });

  it('of a file of torch.save are copied, integers of every width too', async () => {
    const storages: Record<string, Buffer> = {};
    const values: Record<string, Buffer> = {};
    const kinds = {
      float: ['FloatStorage', 4],
      half: ['HalfStorage', 2],
      long: ['LongStorage', 8],
      int: ['IntStorage', 4],
      short: ['ShortStorage', 2],
      char: ['CharStorage', 1],
      byte: ['ByteStorage', 1],
      bool: ['BoolStorage', 1],
    } as const;
    for (const [i, [name, [kind, width]]] of Object.entries(kinds).entries()) {
      storages[i] = Buffer.from(Array.from({ length: 4 * width }, (_, k) => (kind === 'BoolStorage' ? k & 1 : 0xff - 7 * k)));
      values[`${name}.weight`] = tensor({ class: kind, key: op.text(String(i)) });
    }
    const input = join(folder, 'kinds.pt');
    writeFileSync(input, zipOf(torchFiles(pickle(dictOf(values)), storages)));
    const output = join(folder, 'kinds.safetensors');
    await convert({ input, output, sync: false });
    const found = readOracle(output);
    for (const [i, name] of Object.keys(kinds).entries()) expect(found.get(`${name}.weight`)!.bytes.equals(storages[i]!), name).toBe(true);
    expect(found.size).toBe(Object.keys(kinds).length);
    expect((await verify(output, { full: true, inputs: [input] })).recomputed.mode).toBe('full');
  });

  it('of quantised safetensors in two shards are copied, codes and scales alike, and so is config.json', async () => {
    const input = join(folder, 'quantised');
    mkdirSync(input);
    const name = 'model.layers.0.mlp.up_proj.weight';
    const codes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const scale = bytesOf(F32_BITS.subarray(2, 3));
    writeFileSync(join(input, 'model-00001-of-00002.safetensors'), fileBytes(`{${entry(name, 'F8_E4M3', [16, 16], 0, 256)}}`, codes));
    writeFileSync(
      join(input, 'model-00002-of-00002.safetensors'),
      fileBytes(`{${entry(`${name}_scale_inv`, 'F32', [1, 1], 0, 4)}}`, scale),
    );
    writeFileSync(
      join(input, 'model.safetensors.index.json'),
      indexText({ [name]: 'model-00001-of-00002.safetensors', [`${name}_scale_inv`]: 'model-00002-of-00002.safetensors' }),
    );
    const config = JSON.stringify({
      model_type: 'deepseek_v3',
      quantization_config: { quant_method: 'fp8', fmt: 'e4m3', weight_block_size: [128, 128] },
    });
    writeFileSync(join(input, 'config.json'), config);
    const output = fresh();
    await convert({ input, output, sync: false });
    const found = written(output);
    expect(found.get(name)!.bytes.equals(codes)).toBe(true);
    expect(found.get(`${name}_scale_inv`)!.bytes.equals(scale)).toBe(true);
    expect(readFileSync(join(output, 'config.json'), 'utf8')).toBe(config);
    expect((await verify(output, { full: true })).recomputed.tensors).toBe(2);
  });

  it('are rounded where a dtype is asked for, as a merge of one does, and integers stay', async () => {
    const input = join(golden('dcp-moe'), '100');
    const [converted, averaged] = [fresh(), fresh()];
    await convert({ input, output: converted, dtype: 'F16' });
    await average({ inputs: [input], output: averaged, format: 'safetensors', dtype: 'F16' });
    const [own, other] = [written(converted), written(averaged)];
    expect([...own.keys()]).toEqual([...other.keys()]);
    for (const [name, { dtype, bytes }] of own)
      expect([dtype, bytes.equals(other.get(name)!.bytes)], name).toEqual([other.get(name)!.dtype, true]);
    expect((await verify(converted, { full: true })).recomputed.mode).toBe('full');
  });
});

describe('quantised weights', () => {
  const QUANTISED = join(import.meta.dirname, '../golden/quantised');

  it.each(readdirSync(QUANTISED))('of %s are dequantised where a dtype is asked for, and verified', async (name) => {
    const input = join(QUANTISED, name, 'step-1');
    const [copied, floats, averaged] = [fresh(), fresh(), fresh()];
    await convert({ input, output: copied, sync: false });
    const source = written(input);
    for (const [tensor, { dtype, bytes }] of written(copied)) {
      expect([dtype, bytes.equals(source.get(tensor)!.bytes)], tensor).toEqual([source.get(tensor)!.dtype, true]);
    }
    await convert({ input, output: floats, dtype: 'BF16', sync: false });
    await average({ inputs: [input], output: averaged, dtype: 'BF16', sync: false });
    const wanted = written(averaged);
    expect([...written(floats).keys()]).toEqual([...wanted.keys()]);
    for (const [tensor, { bytes }] of written(floats)) expect(bytes.equals(wanted.get(tensor)!.bytes), tensor).toBe(true);
    for (const output of [copied, floats]) expect((await verify(output, { full: true, inputs: [input] })).recomputed.fraction).toBe(1);
  });
});

describe('a conversion', () => {
  it('is made again by the recipe that lies in it, and found finished by a resume', async () => {
    const input = join(golden('dcp-2d'), '100');
    const output = fresh();
    await convert({ input, output, sync: false });
    expect((await convert({ input, output, resume: true, sync: false })).finished).toEqual([output]);
    await runRecipe(join(output, 'merge_recipe.yaml'));
    expect(readFileSync(join(`${output}-again`, 'model.safetensors'))).toEqual(readFileSync(join(output, 'model.safetensors')));
  });

  it('leaves behind what speaks of the files of its container', async () => {
    const input = join(golden('megatron'), 'iter_0000100');
    writeFileSync(join(input, 'config.json'), '{"model_type":"gpt2"}');
    const [output] = (await planConversion({ input, output: fresh() })).outputs;
    expect(output!.sideFiles.map(({ name }) => name)).toEqual(['config.json']);
    expect(output!.left.map(({ name, reason }) => [name, reason])).toEqual([
      ['integrity.json', 'checksums of other files'],
      ['metadata.json', 'says how the checkpoint was stored'],
    ]);
    rmSync(join(input, 'config.json'));
  });

  it('of a run is refused, naming its newest checkpoint', async () => {
    const run = golden('megatron');
    const error = await mergeError(() => convert({ input: run, output: fresh() }));
    expect([error.code, error.help]).toEqual(['E_OPTION', expect.stringContaining(join(run, 'iter_0000200'))]);
  });

  it.each([
    ['another checkpoint', { inputs: ['a', 'b'], outputs: [{ path: 'o', convert: true }] }],
    ['weights', { inputs: ['a'], outputs: [{ path: 'o', convert: true, weights: [1] }] }],
    ['policies', { inputs: ['a'], outputs: [{ path: 'o', convert: true, policies: [{ role: 'router', use: 'newest' as const }] }] }],
    ['a layout', { inputs: ['a'], like: 'b', outputs: [{ path: 'o', convert: true }] }],
    ['another output', { inputs: ['a'], outputs: [{ path: 'o', convert: true }, { path: 'p' }] }],
  ])('with %s is refused', async (_, recipe) => {
    expect((await mergeError(() => runRecipe(recipe))).code).toBe('E_OPTION');
  });

  it('plans what it would do, and takes no option of merges', async () => {
    const input = join(golden('torchtitan'), 'checkpoint/step-100');
    const { outputs, warnings } = await planConversion({ input, output: fresh() });
    expect(outputs[0]!.treatments.map(({ treatment }) => treatment)).toContain('bytes copied');
    expect(outputs[0]!.treatments.at(-1)).toMatchObject({ role: 'optimizer', treatment: 'left out' });
    expect(warnings).toEqual([]);
    const wrong = { input, output: fresh(), method: 'ema' } as ConvertOptions;
    expect((await mergeError(() => convert(wrong))).message).toContain('method');
  });
});

it("a trainer's container is compared with safetensors of its model, and its optimizer where that is asked for", async () => {
  const [first, second] = ['iter_0000100', 'iter_0000200'].map((name) => join(golden('megatron'), name)) as [string, string];
  const output = fresh();
  await convert({ input: second, output });
  expect(await diff({ inputs: [second, output] })).toMatchObject({ tensors: 12, pairs: [{ total: { relativeL2: 0 } }] });
  expect((await diff({ inputs: [first, output] })).tensors).toBe(12);
  expect((await diff({ inputs: [first, second] })).tensors).toBe(12);
  expect((await diff({ inputs: [first, second], roles: ['optimizer'] })).tensors).toBe(36);
});
