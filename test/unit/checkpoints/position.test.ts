import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../../src/safetensors.ts';
import { folderOf, makeFifo, smallFile } from '../../support/safetensors.ts';

const MODEL = { 'model.safetensors': smallFile('a') };

/** Opens a folder of this name with these files. */
async function opened(name: string, files: Record<string, string>) {
  const parent = folderOf(
    Object.fromEntries(Object.entries({ ...MODEL, ...files }).map(([file, content]) => [`${name}/${file}`, content])),
  );
  const { step, tokens, warnings } = await openCheckpoint(join(parent, name));
  return { step, tokens, warnings: warnings.map(({ code }) => code) };
}

test.each([
  ['step and tokens', 'run', '{"global_step":1200,"num_input_tokens_seen":34}', 1200, 34, []],
  ['tokens not counted', 'run', '{"global_step":1200,"num_input_tokens_seen":0}', 1200, null, []],
  ['tokens from the name', 'step1200-tokens4B', '{"global_step":1200}', 1200, 4e9, []],
  ['no step in the file', 'checkpoint-7', '{"epoch":1.5}', 7, null, []],
  ['a step that is no whole number', 'checkpoint-7', '{"global_step":1.5}', 7, null, []],
  ['file and name differ', 'checkpoint-7', '{"global_step":1200}', 1200, null, ['W_TRAINER_STATE']],
  ['file cut short', 'checkpoint-7', '{"global_st', 7, null, ['W_TRAINER_STATE']],
  ['null', 'checkpoint-7', 'null', 7, null, []],
] as const)('trainer_state.json: %s', async (_what, name, state, step, tokens, warnings) => {
  expect(await opened(name, { 'trainer_state.json': state })).toEqual({ step, tokens, warnings });
});

test('a FIFO in the place of trainer_state.json does not hang', async () => {
  const folder = folderOf(MODEL);
  makeFifo(join(folder, 'trainer_state.json'));
  expect((await openCheckpoint(folder)).warnings).toEqual([{ code: 'W_TRAINER_STATE', message: expect.stringContaining('FIFO') }]);
});

test('the name of a link counts, and else that of its target', async () => {
  const folder = folderOf({ 'checkpoint-9/model.safetensors': smallFile('a') });
  symlinkSync('checkpoint-9', join(folder, 'latest'));
  symlinkSync('checkpoint-9', join(folder, 'step-10'));
  expect((await openCheckpoint(join(folder, 'latest'))).step).toBe(9);
  expect((await openCheckpoint(join(folder, 'step-10'))).step).toBe(10);
  expect((await openCheckpoint(`${join(folder, 'checkpoint-9')}/`)).step).toBe(9);
});

test('a file has the step of its own name; model.safetensors that of its folder', async () => {
  const folder = folderOf({
    'checkpoint-9/model.safetensors': smallFile('a'),
    'checkpoint-9/step-3.safetensors': smallFile('a'),
    'checkpoint-9/other.safetensors': smallFile('a'),
  });
  mkdirSync(join(folder, 'x'));
  const step = async (file: string) => (await openCheckpoint(join(folder, 'checkpoint-9', file))).step;
  expect(await step('model.safetensors')).toBe(9);
  expect(await step('step-3.safetensors')).toBe(3);
  expect(await step('other.safetensors')).toBeNull();
});
