import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { executePlan } from '../../src/merge/engine/execute.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

/** 1 and 1 + 2^-7 are neighbours in bfloat16: their mean is between two of its numbers. */
const VALUES = [0x3f80, 0x3f81];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

it("keeps the mean's bits, and of the newest member's training state all or nothing", async () => {
  const inputs = VALUES.map((value, i) => {
    const data = new Uint8Array(Uint16Array.of(value).buffer);
    const path = writeCheckpoint(at(`checkpoint-${i + 1}`), [[{ name: 'w', dtype: 'BF16', shape: [1], data }]], i);
    writeFileSync(join(path, 'optimizer.pt'), Buffer.from([i, 255, 0, 10]));
    writeFileSync(join(path, 'trainer_state.json'), `{"global_step": ${i + 1}}\n`);
    return path;
  });
  const outputs = [
    { path: at('dropped'), for: 'resume' },
    { path: at('newest'), for: 'resume', optimizer: 'newest' },
    { path: at('plain') },
  ] as const;
  for await (const _ of executePlan(await buildPlan({ inputs, outputs })));

  const beside = ['README.md', 'config.json', 'merge_provenance.json', 'merge_recipe.yaml', 'model.safetensors'];
  expect(readdirSync(at('dropped')).sort()).toEqual(beside);
  expect(readdirSync(at('plain')).sort()).toEqual(beside);
  expect(readdirSync(at('newest')).sort()).toEqual([...beside, 'optimizer.pt', 'trainer_state.json']);
  for (const name of ['optimizer.pt', 'trainer_state.json'])
    expect(readFileSync(at('newest', name))).toEqual(readFileSync(join(inputs[1]!, name)));

  for (const name of ['dropped', 'newest']) {
    const { shards } = await openCheckpoint(at(name));
    const { header, path } = shards[0]!;
    expect(readFileSync(path).subarray(header.dataStart).readFloatLE()).toBe(1 + 2 ** -8);
    expect(JSON.parse(readFileSync(at(name, 'config.json'), 'utf8'))).toEqual({ dtype: 'float32' });
    expect((await verify(at(name))).ok).toBe(true);
  }
  const recorded = (name: string) => JSON.parse(readFileSync(at(name, 'merge_provenance.json'), 'utf8'));
  expect(recorded('dropped').recipe).toMatchObject({ purpose: 'resume', optimizer: 'drop', dtype: 'F32' });
  expect(recorded('newest').recipe).toMatchObject({ purpose: 'resume', optimizer: 'newest', dtype: 'F32' });
  expect(recorded('plain').recipe).toMatchObject({ purpose: null, optimizer: null, dtype: null });
  expect(recorded('newest').warnings.map((w: { code: string }) => w.code)).toContain('W_OPTIMIZER_NEWEST');
  const card = (name: string) => readFileSync(at(name, 'README.md'), 'utf8');
  expect(card('dropped')).toContain('There is no optimizer state');
  expect(card('newest')).toContain('the moments belong to its weights');
  expect(card('plain')).not.toContain('optimizer');
  expect(card('newest')).toContain(readFileSync(at('newest/merge_recipe.yaml'), 'utf8'));
});
