import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { convert, planConversion } from '../../src/merge/convert.ts';
import { TORCH_VERSIONS, unpackGolden } from '../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const homes = new Map<string, string>();
function golden(name: string): string {
  const home = homes.get(name) ?? unpackGolden(name, join(folder, name));
  homes.set(name, home);
  return home;
}

let made = 0;
const fresh = (name = ''): string => join(folder, `out-${made++}`, name);

/** Whether two files have the same bytes; where they have not, sizes and the first byte that differs. */
function difference(a: string, b: string): unknown {
  const [x, y] = [readFileSync(a), readFileSync(b)];
  return x.equals(y) ? 'none' : { sizes: [x.length, y.length], first: x.findIndex((byte, i) => byte !== y[i]) };
}

type Case = readonly [version: string, prefix: string, want: string, options: Partial<AverageOptions>];
const CASES: readonly Case[] = [
  ...TORCH_VERSIONS.flatMap((version): Case[] => [
    [version, '', 'merged', {}],
    [version, '', 'bf16', { dtype: 'BF16' }],
    [version, 'train-', 'model-only', {}],
  ]),
  ['2.15', 'many-', 'many', {}],
  ['2.15', 'many-', 'many-f16', { dtype: 'F16' }],
  ['2.15', 'many-', 'fewer', { policies: [{ name: 'layers.*0.weight', use: 'drop' }] }],
];

it.each(CASES)('torch %s: of %s*.pt, %s is what that torch saves for the merged values', async (version, prefix, want, options) => {
  const home = golden(`torch-out-${version}`);
  const inputs = [1, 2].map((step) => join(home, `${prefix}${step}.pt`));
  const output = fresh(`${want}.pt`);
  await average({ inputs, output, weights: [0.25, 0.75], allowUnknown: true, format: 'torch', ...options });
  expect(difference(output, join(home, 'want', `${want}.pt`))).toBe('none');
  expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { mode: 'full', fraction: 1 } });
  expect(readdirSync(join(output, '..'))).toEqual([`${want}.pt`, `${want}.pt.merge_provenance.json`]);
});

/** Files that hold a model and nothing else, by their goldens. */
const SOUND: readonly (readonly [name: string, file: string])[] = [
  ...TORCH_VERSIONS.flatMap((version) => [
    [`torch-out-${version}`, '1.pt'] as const,
    [`torch-${version}`, 'bin/100/pytorch_model.bin'] as const,
    ...(version === '2.1' ? [] : [[`torch-${version}`, 'pt/f8.pt'] as const]),
  ]),
  ['torch-bin', '100/pytorch_model.bin'],
];

it.each(SOUND)('%s, %s: its conversion has the same bytes', async (name, file) => {
  const input = join(golden(name), file);
  // What torch saved under one name has that in it, wherever it lies now: f8.pt was another file first.
  const output = fresh(file.endsWith('f8.pt') ? 'stub.pt' : file.split('/').at(-1));
  await convert({ input, output, format: 'torch' });
  expect(difference(output, input)).toBe('none');
});

it.each(TORCH_VERSIONS)('torch %s: folders of Hugging Face keep their files and their index', async (version) => {
  const home = golden(`torch-${version}`);
  for (const path of ['bin/100', 'bin-sharded/300']) {
    const output = fresh();
    await convert({ input: join(home, path), output, format: 'torch' });
    const names = readdirSync(join(home, path)).filter((name) => name.startsWith('pytorch_model'));
    expect(readdirSync(output).filter((name) => name.startsWith('pytorch_model'))).toEqual(names);
    for (const name of names) expect(difference(join(output, name), join(home, path, name))).toBe('none');
    expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
  }
});
