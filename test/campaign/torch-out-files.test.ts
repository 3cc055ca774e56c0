import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { drain } from '../../src/base/event-stream.ts';
import { average } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { executePlan, executeUnits } from '../../src/merge/engine/execute.ts';
import { planUnits } from '../../src/merge/engine/units.ts';
import { containerNote } from '../../src/merge/plan/container-note.ts';
import { planRecipe } from '../../src/merge/run.ts';
import { TORCH_VERSIONS, unpackGolden } from '../support/containers.ts';
import { difference, differenceFromTorch, TORCH_CASES } from '../support/torch-out.ts';

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

it.each(TORCH_CASES)('of %s*.pt, %s is what torch saves for the merged values', async (...one) => {
  const output = fresh(`${one[1]}.pt`);
  expect(await differenceFromTorch(golden('torch-out-2.15'), one, output)).toBe('none');
  expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { mode: 'full', fraction: 1 } });
  expect(readdirSync(join(output, '..'))).toEqual([`${one[1]}.pt`, `${one[1]}.pt.merge_provenance.json`]);
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

it('several outputs of one read, whose storages differ, are each what it is alone, gone on with after an interruption too', async () => {
  const home = golden('torch-out-2.15');
  const inputs = [1, 2].map((step) => join(home, `${step}.pt`));
  const place = fresh();
  const outputs = [
    { path: join(place, 'merged.pt'), weights: [0.25, 0.75] },
    { path: join(place, 'bf16.pt'), weights: [0.25, 0.75], dtype: 'BF16' as const },
  ];
  const plan = await planRecipe({ inputs, outputs, allowUnknown: true });
  const unitBytes = 64;
  const units = planUnits(plan, { size: unitBytes });
  expect(units.length).toBeGreaterThan(4);
  for await (const _ of executeUnits(
    plan,
    { unitBytes },
    units.slice(0, 3).map(({ index }) => index),
  ));
  const result = await drain(executePlan(plan, { unitBytes, resume: true }), undefined);
  expect(result.resumedBytes).toBeGreaterThan(0);
  for (const name of ['merged.pt', 'bf16.pt']) expect(difference(join(place, name), join(home, 'want', name))).toBe('none');
});

it('what it holds is said: the model alone, or what training goes on from', async () => {
  const home = golden('torch-out-2.15');
  const inputs = [1, 2].map((step) => join(home, `train-${step}.pt`));
  const note = async (options: object) =>
    containerNote(await planRecipe({ inputs, outputs: [{ path: fresh('out.pt'), ...options }], allowUnknown: true }));
  expect(await note({})).toMatch(
    /of the model alone, to be evaluated or trained with a fresh optimizer; `?for`?.* resume keeps the optimizer's state/,
  );
  expect(await note({ for: 'resume' })).toMatch(/, to train on: with the optimizer's state and what else the newest has for its trainer$/);
});

it('bytes that no tensor has are those of the newest, of which nothing else is taken', async () => {
  const home = golden('torch-out-2.15');
  const inputs = [1, 2].map((step) => join(home, `${step}.pt`));
  const output = fresh('1.pt');
  await average({ inputs, output, weights: [1, 0], allowUnknown: true });
  const [older, written] = [inputs[0]!, output].map((path) => readFileSync(path));
  expect(written!.length).toBe(older!.length);
  expect(written!.equals(older!)).toBe(false);
  expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
});
