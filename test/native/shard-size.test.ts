import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { average } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { type OracleTensor, readOracle, unpackGolden } from '../support/containers.ts';
import { entry, fileBytes, indexText, mergeError } from '../support/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const home = unpackGolden('dcp-2d', join(folder, 'dcp-2d'));
const [older, newer] = [join(home, '100'), join(home, '200')];

let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

/** Tensors of each file of a folder, in the order of its data. */
function files(path: string): Map<string, Map<string, OracleTensor>> {
  const names = readdirSync(path).filter((name) => name.endsWith('.safetensors'));
  return new Map(names.sort().map((name) => [name, readOracle(join(path, name))]));
}

const bytesIn = (tensors: ReadonlyMap<string, OracleTensor>): number =>
  [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
const together = (path: string) => new Map([...files(path).values()].flatMap((tensors) => [...tensors]));

/** What Hugging Face's readers ask of a folder. */
function expectIndexed(path: string): void {
  const found = files(path);
  const { metadata, weight_map: map } = JSON.parse(readFileSync(join(path, 'model.safetensors.index.json'), 'utf8'));
  expect(metadata.total_size).toBe([...found.values()].reduce((sum, tensors) => sum + bytesIn(tensors), 0));
  expect(new Map(Object.entries(map))).toEqual(
    new Map([...found].flatMap(([file, tensors]) => [...tensors.keys()].map((name) => [name, file]))),
  );
  expect([...found.keys()]).toEqual(
    [...found.keys()].map((_, i) => `model-${String(i + 1).padStart(5, '0')}-of-${String(found.size).padStart(5, '0')}.safetensors`),
  );
}

describe('files of a size', () => {
  it('hold the same bytes as one file, as many tensors as fit, and larger ones alone', async () => {
    const [whole, cut] = [fresh(), fresh()];
    await average({ inputs: [older, newer], output: whole, format: 'safetensors', weights: [0.3, 0.7], sync: false });
    await average({ inputs: [older, newer], output: cut, format: 'safetensors', weights: [0.3, 0.7], shardSize: 1000, sync: false });
    expect(readdirSync(whole)).not.toContain('model.safetensors.index.json');
    expect([...together(cut)].map(([name, { bytes }]) => [name, bytes])).toEqual(
      [...together(whole)].map(([name, { bytes }]) => [name, bytes]),
    );
    const sizes = [...files(cut).values()];
    for (const [i, tensors] of sizes.entries()) {
      expect(bytesIn(tensors) <= 1000 || tensors.size === 1, `file ${i + 1}`).toBe(true);
      // The next tensor did not fit.
      const [next] = sizes[i + 1]?.values() ?? [];
      if (next !== undefined) expect(bytesIn(tensors) + next.bytes.length).toBeGreaterThan(1000);
    }
    expectIndexed(cut);
    expect((await verify(cut, { full: true })).recomputed.fraction).toBe(1);
    const { recipe } = JSON.parse(readFileSync(join(cut, 'merge_provenance.json'), 'utf8'));
    expect(recipe.shardSize).toBe(1000);
  });

  it('are counted in the dtype of the output, and one has the plain name', async () => {
    const [cut, one] = [fresh(), fresh()];
    await average({ inputs: [older, newer], output: cut, format: 'safetensors', dtype: 'F32', shardSize: '2kB', sync: false });
    for (const tensors of files(cut).values()) expect(bytesIn(tensors) <= 2000 || tensors.size === 1).toBe(true);
    expectIndexed(cut);
    await convert({ input: cut, output: one, shardSize: '5GB', sync: false });
    expect(readdirSync(one).filter((name) => name.startsWith('model'))).toEqual(['model.safetensors']);
    expect([...together(one)].map(([name, { bytes }]) => [name, bytes])).toEqual(
      [...together(cut)].map(([name, { bytes }]) => [name, bytes]),
    );
  });

  it('stand in a recipe, in the recipe of the output, and in what a resume compares', async () => {
    const output = join(folder, 'of-recipe');
    const file = join(folder, 'recipe.yaml');
    writeFileSync(
      file,
      `inputs: [dcp-2d/dcp-2d/100, dcp-2d/dcp-2d/200]\nformat: safetensors\nshard-size: 1kB\noutputs:\n  - path: of-recipe\n`,
    );
    await runRecipe(file, { sync: false });
    expectIndexed(output);
    await runRecipe(join(output, 'merge_recipe.yaml'), { sync: false });
    for (const name of files(output).keys()) expect(readFileSync(join(`${output}-again`, name))).toEqual(readFileSync(join(output, name)));
    expect((await runRecipe(file, { resume: true })).finished).toEqual([output]);
    const other = await mergeError(() =>
      average({ inputs: [older, newer], output, format: 'safetensors', shardSize: '2kB', resume: true }),
    );
    expect([other.code, other.message]).toEqual(['E_OUTPUT_EXISTS', expect.stringMatching(/shard-size|shardSize/)]);
  });

  it('are gone on with after an interruption', async () => {
    const output = fresh();
    const controller = new AbortController();
    const options = { inputs: [older, newer], output, format: 'safetensors' as const, shardSize: 600, unitBytes: 600 };
    const progress = average(options, {
      signal: controller.signal,
      onProgress: (event) => {
        if (event.type === 'progress' && event.bytesWritten > 2000) controller.abort(new Error('enough'));
      },
    });
    await progress.catch(() => {});
    const whole = fresh();
    await average({ ...options, output, resume: true });
    await average({ ...options, output: whole, sync: false });
    for (const name of files(whole).keys()) expect(readFileSync(join(output, name)), name).toEqual(readFileSync(join(whole, name)));
    expect(existsSync(join(output, 'model.safetensors'))).toBe(false);
    expect(statSync(join(output, 'model.safetensors.index.json')).size).toBeGreaterThan(0);
  });

  it('may part codes from their scales: both are as in one file', async () => {
    const name = 'model.layers.0.mlp.up_proj.weight';
    const inputs = [1, 2].map((step) => {
      const path = join(folder, `fp8-step-${step}`);
      mkdirSync(path);
      const codes = Buffer.from(Array.from({ length: 256 * 128 }, (_, i) => (i * step * 37) % 0x7e));
      const scales = Buffer.from(Float32Array.of(0.5 * step, 0.25).buffer);
      const header = `{${entry(name, 'F8_E4M3', [256, 128], 0, codes.length)},${entry(`${name}_scale_inv`, 'F32', [2, 1], codes.length, codes.length + 8)}}`;
      writeFileSync(join(path, 'model.safetensors'), fileBytes(header, Buffer.concat([codes, scales])));
      const quantization = { quant_method: 'fp8', fmt: 'e4m3', weight_block_size: [128, 128] };
      writeFileSync(join(path, 'config.json'), JSON.stringify({ model_type: 'deepseek_v3', quantization_config: quantization }));
      return path;
    });
    const [whole, cut] = [fresh(), fresh()];
    await average({ inputs, output: whole, sync: false });
    await average({ inputs, output: cut, shardSize: '1kB', sync: false });
    expect([...files(cut).values()].map((tensors) => [...tensors.keys()])).toEqual([[name], [`${name}_scale_inv`]]);
    expect([...together(cut)]).toEqual([...together(whole)]);
    expect((await verify(cut, { full: true })).recomputed.fraction).toBe(1);
  });

  it('are called as those of their library', async () => {
    const input = join(folder, 'diffusers');
    mkdirSync(input);
    const stem = 'diffusion_pytorch_model';
    for (const i of [1, 2]) {
      const header = `{${entry(`blocks.${i}.weight`, 'F32', [4], 0, 16)}}`;
      writeFileSync(join(input, `${stem}-0000${i}-of-00002.safetensors`), fileBytes(header, 16));
    }
    const map = Object.fromEntries([1, 2].map((i) => [`blocks.${i}.weight`, `${stem}-0000${i}-of-00002.safetensors`]));
    writeFileSync(join(input, `${stem}.safetensors.index.json`), indexText(map, { total_size: 32 }));
    const [one, two] = [fresh(), fresh()];
    await convert({ input, output: one, shardSize: '1MB', sync: false });
    await convert({ input, output: two, shardSize: 16, sync: false });
    expect(readdirSync(one).filter((name) => name.startsWith(stem))).toEqual([`${stem}.safetensors`]);
    expect(readdirSync(two).filter((name) => name.startsWith(stem))).toEqual(readdirSync(input));
  });

  it('so many of them: with an index where they are several, and not beside one', async () => {
    const sharded = fresh();
    await convert({ input: newer, output: sharded, shardSize: 1000, sync: false });
    const [one, three] = [fresh(), fresh()];
    await convert({ input: sharded, output: one, files: 1, sync: false });
    await convert({ input: sharded, output: three, files: 3, sync: false });
    expect(readdirSync(one).filter((name) => name.startsWith('model'))).toEqual(['model.safetensors']);
    expect([...files(three).keys()].length).toBe(3);
    expectIndexed(three);
    expect([...together(one)]).toEqual([...together(three)]);
  });

  it('are not given by size and by number at once', async () => {
    const error = await mergeError(() => convert({ input: newer, output: fresh(), files: 2, shardSize: '1MB' }));
    expect([error.code, error.help]).toEqual(['E_OPTION', 'Leave one of them out.']);
  });

  it('that hold other tensors in two outputs are not written in one read', async () => {
    const outputs = [{ path: fresh() }, { path: fresh(), dtype: 'F32' as const }];
    const error = await mergeError(() => runRecipe({ inputs: [older, newer], shardSize: 1000, outputs }));
    expect([error.code, error.message]).toEqual(['E_LAYOUTS_DIFFER', expect.stringContaining('one by one')]);
  });

  it.each(['', '0', '-5', '5 apples', 'NaN', '1e9', '2PiB'])('are refused where %j is no size', async (shardSize) => {
    expect((await mergeError(() => convert({ input: newer, output: fresh(), shardSize }))).code).toBe('E_OPTION');
  });

  it('are refused where the output is one file and its tensors are more', async () => {
    const single = unpackGolden('torch-pt', join(folder, 'torch-pt'));
    const error = await mergeError(() => convert({ input: join(single, '100.pt'), output: join(folder, 'x.safetensors'), shardSize: 100 }));
    expect([error.code, error.message]).toEqual(['E_OPTION', expect.stringContaining('name a folder')]);
    const output = fresh();
    await convert({ input: join(single, '100.pt'), output, shardSize: 100, sync: false });
    expectIndexed(output);
  });
});
