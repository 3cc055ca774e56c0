import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { discoverRun } from '../../src/checkpoints/run/discover.ts';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { goldensIn } from '../support/containers.ts';
import { dictOf, number, pickle, tensor, torchFiles, zipOf } from '../support/torch-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const golden = goldensIn(folder);

/** What a run has, and what of it is left out and why. */
async function listed(run: string) {
  const { checkpoints, excluded } = await discoverRun(run);
  return {
    steps: checkpoints.map(({ step }) => step),
    left: Object.fromEntries(excluded.map(({ path, reason }) => [basename(path), reason])),
  };
}
const MERGE = 'a merge that this tool wrote';

describe('merges in the folder of their run', () => {
  it('of DCP are none of its steps, whatever they are called, and conversions are', async () => {
    const run = join(folder, 'dcp');
    for (const step of ['60', '80']) cpSync(join(golden('dcp-resume'), step), join(run, `step-${step}`), { recursive: true });
    const inputs = [join(run, 'step-60'), join(run, 'step-80')];
    await average({ inputs, output: join(run, 'step-81'), sync: false });
    await average({ inputs, output: join(run, 'avg'), for: 'resume', sync: false });
    await convert({ input: inputs[0]!, output: join(run, 'step60-hf'), sync: false });
    expect(await listed(run)).toEqual({
      steps: [60, 80],
      left: { 'step-81': MERGE, avg: MERGE, 'step60-hf': expect.stringContaining('a conversion') },
    });
    rmSync(join(run, 'step-60'), { recursive: true });
    expect((await listed(run)).steps).toEqual([60, 80]);
  });

  it('of torch.save neither, nor are their records anything', async () => {
    const run = join(folder, 'pt');
    for (const step of [10, 20]) cpSync(join(golden('torch-resume'), `ckpt_${step}.pt`), join(run, `ckpt_${step}.pt`));
    const inputs = [join(run, 'ckpt_10.pt'), join(run, 'ckpt_20.pt')];
    for (const name of ['ckpt_21.pt', 'avg.pt']) await average({ inputs, output: join(run, name), for: 'resume', sync: false });
    await convert({ input: inputs[1]!, output: join(run, 'step20.pt'), sync: false });
    rmSync(inputs[1]!);
    expect(await listed(run)).toEqual({ steps: [10, 20], left: { 'ckpt_21.pt': MERGE, 'avg.pt': MERGE } });
    // What a trainer saved there since is its own.
    cpSync(join(golden('torch-resume'), 'bare_30.pt'), join(run, 'ckpt_21.pt'));
    expect((await listed(run)).steps).toEqual([10, 20, 21]);
  });
});

it('a merge that is an input stands where its latest member does', async () => {
  const run = join(folder, 'named');
  for (const step of ['60', '80']) cpSync(join(golden('dcp-resume'), step), join(run, `step-${step}`), { recursive: true });
  const inputs = [join(run, 'step-60'), join(run, 'step-80')];
  await average({ inputs, output: join(run, 'a'), format: 'safetensors', sync: false });
  await average({ inputs: [inputs[0]!], output: join(run, 'b'), sync: false });
  const { members } = await plan({ inputs: [join(run, 'a'), join(run, 'b')], output: join(folder, 'of-merges'), format: 'safetensors' });
  expect(members.map(({ path, step }) => [basename(path), step])).toEqual([
    ['b', 60],
    ['a', 80],
  ]);
});

describe('the newest, where training goes on from it', () => {
  function file(name: string, entries: Readonly<Record<string, Uint8Array>>): string {
    const path = join(folder, name);
    writeFileSync(path, zipOf(torchFiles(pickle(dictOf({ model: dictOf({ 'w.weight': tensor() }), ...entries })))));
    return path;
  }
  const last = file('last.pt', { step: number(40) });
  const prev = file('prev.pt', { step: number(30) });
  const none = file('none.pt', {});
  const other = file('other.pt', { step: number(40) });
  const asked = (inputs: readonly string[], options: Partial<AverageOptions> = {}) =>
    plan({ inputs, output: join(folder, 'merged.pt'), for: 'resume', optimizer: 'drop', allowUnknown: true, ...options });
  const assumed = async (...of: Parameters<typeof asked>) =>
    (await asked(...of)).warnings.flatMap(({ code, message }) => (code === 'W_ORDER_ASSUMED' ? message : []));

  it('is that of the step inside, whatever the order', async () => {
    const { members, layout } = await asked([last, prev]);
    expect([members.map(({ step }) => step), layout.path]).toEqual([[30, 40], last]);
    expect(await assumed([last, prev])).toEqual([]);
  });

  it('is said where nothing tells which it is', async () => {
    expect(await assumed([none, last])).toEqual([expect.stringMatching(/step of .*none\.pt is not known.*last\.pt was given last/)]);
    expect(await assumed([last, other])).toEqual([expect.stringMatching(/both at step 40.*other\.pt was given last/)]);
    expect(await assumed([last, prev], { weights: [0.5, 0.5] })).toEqual([
      expect.stringMatching(/explicit weights.*last\.pt is at step 40.*prev\.pt was given last/),
    ]);
    expect(await assumed([none, last], { for: undefined, optimizer: undefined })).toEqual([]);
  });
});
