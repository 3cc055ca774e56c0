import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { sectionOf } from '../../src/checkpoints/tensors/section.ts';
import { average, plan } from '../../src/merge/average.ts';
import { convert, planConversion } from '../../src/merge/convert.ts';
import { planDocument } from '../../src/merge/plan/document.ts';
import type { Plan } from '../../src/merge/plan/types.ts';
import { goldensIn } from '../support/containers.ts';
import { itemsOf } from '../support/dcp-items.ts';
import { mergeError } from '../support/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = goldensIn(folder);

let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

/** What lies in rows, by its golden, and the folder of `.metadata` in it. */
const IN_ROWS: readonly (readonly [name: string, checkpoint: string, inner: string])[] = [
  ['dcp-plain', '200', ''],
  ['dcp-fsdp', '200', ''],
  ['dcp-moe', '200', ''],
  ['dcp-hsdp', '200', ''],
  ['torchtitan', 'checkpoint/step-200', ''],
  ['olmo-core', 'step200', 'model_and_optim'],
  ...['2.1', '2.5', '2.15'].flatMap((version) =>
    ['plain/100', 'rows/100', 'fsdp1/100'].map((path) => [`torch-${version}`, path, ''] as const),
  ),
];

it.each(IN_ROWS)('%s, %s: every item of the model is byte for byte the one that its writer wrote', async (name, checkpoint, inner) => {
  const output = fresh();
  const input = join(golden(name), checkpoint);
  await convert({ input, output, format: 'dcp' });
  const before = itemsOf(join(input, inner));
  const after = itemsOf(join(output, inner));
  const { shards } = await openCheckpoint(input);
  const model = shards.flatMap(({ tensors }) => tensors.names.filter((_, row) => sectionOf(tensors, row) === 'model'));
  expect(new Set([...after.keys()].flatMap((key) => (key.includes(' ') ? [key.split(' ')[0]] : [])))).toEqual(new Set(model));
  // A matrix that was saved transposed is written in row-major order.
  const others = [...after].filter(([key, bytes]) => before.get(key)?.equals(bytes) !== true).map(([key]) => key.split(' ')[0]);
  expect(others).toEqual(checkpoint === 'plain/100' ? ['model.layers.0.w1.weight'] : []);
});

it('a plan says which members and which tensors are left out, each in its place', async () => {
  const run = join(golden('dcp-resume'));
  const inputs = ['60', '80'].map((step) => join(run, step));
  const unsaid = { input: inputs[0]!, output: fresh() };
  const leftOut = async (planned: Promise<Plan>) => {
    const [output] = planDocument(await planned).outputs;
    const state = output!.treatments.filter(({ treatment }) => treatment === 'left out').map(({ role, tensors }) => [role, tensors]);
    return { members: output!.leftOut.map(({ name }) => name), state };
  };
  expect(await leftOut(planConversion(unsaid))).toEqual({ members: [], state: [['optimizer', 33]] });
  expect(await leftOut(plan({ inputs, output: fresh(), for: 'resume' }))).toEqual({ members: [], state: [] });
  // A step that was broken off, in a run of which the last two are asked for.
  const copy = fresh();
  cpSync(run, copy, { recursive: true });
  cpSync(join(run, '80'), join(copy, '100'), { recursive: true });
  rmSync(join(copy, '100', '.metadata'));
  for (const purpose of [{}, { for: 'resume' }] as const) {
    const found = await leftOut(plan({ inputs: [copy], output: fresh(), select: { last: 2 }, ...purpose }));
    expect(found).toEqual({ members: ['100'], state: purpose.for === undefined ? [['optimizer', 33]] : [] });
  }
});

it.each([
  ['dcp-2d', '100', '200'],
  ['dcp-tp', '100', '200'],
  ['megatron', 'iter_0000100', 'iter_0000200'],
  ['megatron-homogeneous-moe', 'iter_0000100', 'iter_0000200'],
  ['olmo-core', 'step100', 'step200'],
])('%s: a merge has the tensors of the same merge as safetensors, and is verified', async (name, ...steps) => {
  const inputs = steps.map((step) => join(golden(name), step));
  const [output, other] = [fresh(), fresh()];
  await average({ inputs, output, format: 'dcp' });
  await average({ inputs, output: other, format: 'safetensors' });
  const filesOf = (path: string): number => readdirSync(path, { recursive: true }).filter((file) => `${file}`.endsWith('.distcp')).length;
  expect(filesOf(output)).toBeGreaterThan(1);
  expect(filesOf(output)).toBeLessThanOrEqual(filesOf(inputs.at(-1)!) + 1);
  expect(await diff({ inputs: [output, other] })).toMatchObject({ pairs: [{ total: { relativeL2: 0 } }] });
  expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { fraction: 1 } });
  // What is read back is written again as it is.
  const again = fresh();
  await convert({ input: output, output: again, format: 'dcp' });
  const inner = name === 'olmo-core' ? 'model_and_optim' : '';
  expect(itemsOf(join(again, inner))).toEqual(itemsOf(join(output, inner)));
});

it.each([
  [1, 1],
  [3, 3],
  [100, 14],
])('%s files: as many as there are tensors for, of about equal size', async (files, written) => {
  const output = fresh();
  await convert({ input: join(golden('olmo-core'), 'step200'), output, format: 'dcp', files });
  const sizes = readdirSync(join(output, 'model_and_optim'))
    .filter((name) => name.endsWith('.distcp'))
    .map((name) => statSync(join(output, 'model_and_optim', name)).size);
  expect(sizes.length).toBe(written);
  if (files === 3) expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThan(1.5);
  const before = itemsOf(join(golden('olmo-core'), 'step200', 'model_and_optim'));
  for (const [key, bytes] of itemsOf(join(output, 'model_and_optim'))) expect(before.get(key)?.equals(bytes), key).toBe(true);
});

it('safetensors give no form to write DCP in, but --like does', async () => {
  const output = fresh();
  await convert({ input: join(golden('dcp-plain'), '200'), output });
  const error = await mergeError(() => convert({ input: output, output: fresh(), format: 'dcp' }));
  expect(error).toMatchObject({ code: 'E_OPTION', details: { file: output } });
  const back = fresh();
  await average({ inputs: [output], output: back, format: 'dcp', like: join(golden('dcp-plain'), '100') });
  const [first, second] = [itemsOf(back), itemsOf(join(golden('dcp-plain'), '200'))];
  const tensors = [...first.keys()].filter((key) => key.startsWith('model.'));
  expect(tensors.length).toBeGreaterThan(10);
  for (const key of tensors) expect(first.get(key)?.equals(second.get(key)!), key).toBe(true);
});

it('an item of another form is no pattern: refused by name', async () => {
  const input = fresh();
  cpSync(join(golden('dcp-plain'), '200'), input, { recursive: true });
  // The same length: a name of the archive, in its directory and before its data.
  for (const name of readdirSync(input).filter((file) => file.endsWith('.distcp'))) {
    const bytes = readFileSync(join(input, name)).toString('latin1').replaceAll('archive/version', 'archive/data/xx');
    writeFileSync(join(input, name), bytes, 'latin1');
  }
  const error = await mergeError(() => convert({ input, output: fresh(), format: 'dcp' }));
  expect([error.code, error.message]).toEqual(['E_DCP', expect.stringContaining('archive/data/xx')]);
});

it('its card says what it is', async () => {
  const output = fresh();
  await convert({ input: join(golden('dcp-plain'), '200'), output, format: 'dcp' });
  const card = readFileSync(join(output, 'README.md'), 'utf8');
  expect(card).toContain('as DCP');
  expect(card).not.toContain('transformers');
});

it('its card counts what is left out by whose it is', async () => {
  const output = fresh();
  const inputs = [100, 200].map((step) => join(golden('torchtitan'), `checkpoint/step-${step}`));
  await average({ inputs, output, format: 'dcp' });
  const card = readFileSync(join(output, 'README.md'), 'utf8');
  expect(card).toContain('| training state | 2 | left out |');
  expect(card).toContain('| optimizer | 39 | left out |');
});

it('a file beside the items that is a link to elsewhere is refused, and not copied', async () => {
  const input = fresh();
  cpSync(join(golden('megatron'), 'iter_0000200'), input, { recursive: true });
  const secret = join(fresh(), 'secret.json');
  mkdirSync(dirname(secret));
  writeFileSync(secret, '{}');
  rmSync(join(input, 'metadata.json'));
  symlinkSync(secret, join(input, 'metadata.json'));
  const error = await mergeError(() => convert({ input, output: fresh(), format: 'dcp' }));
  expect([error.code, error.message]).toEqual(['E_NOT_READABLE', expect.stringContaining('outside of the checkpoint')]);
});
