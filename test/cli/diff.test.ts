import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/safetensors.ts';
import { trainedMoe, writeWeights } from '../support/trained.ts';

const moe = join(import.meta.dirname, '../../demo/runs/moe');

test('two checkpoints: verdict, roles, a map with numbers, readable without colours', async () => {
  const { code, stdout, stderr } = await runCli(['diff', `${moe}/checkpoint-5800`, `${moe}/checkpoint-6000`, '--experts']);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^Nothing stands out: relative L2 0\.\d+\n/);
  expect(stdout).toContain('A  ');
  expect(stdout).toMatch(/^experts +48 +0\.\d+ +0\.9\d+ +0\.\d+$/m);
  expect(stdout).toMatch(/^layer 1 .*0\.\d+ [·░▒▓█]/m);
  expect(stdout).toMatch(/^layer 0 {2}[·░▒▓█]{8}\n +median 0\.\d+, furthest 0\.\d+ at expert \d$/m);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a colour would begin with it
  expect(stdout).not.toMatch(/\u001b/);
});

test('a run: neighbours side by side; one JSON document', async () => {
  const text = await runCli(['diff', moe, '--last', '3', '--role', 'routers']);
  expect(text.code).toBe(0);
  expect(text.stdout).toMatch(/^relative L2 +A-B +B-C$/m);
  const { stdout } = await runCli(['diff', moe, '--last', '3', '--role', 'routers', '--json']);
  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ schema: 'ckpt-merge/diff', version: 1, tensors: 2, findings: [] });
  expect(document.checkpoints.map(({ step }: { step: number }) => step)).toEqual([5600, 5800, 6000]);
  const last = JSON.parse((await runCli(['diff', moe, '--last', '2', '--layers', '-1', '--role', 'routers', '--json'])).stdout);
  expect(last.pairs[0].layers.map(({ layer }: { layer: number }) => layer)).toEqual([1]);
});

test('a broken one, coloured, and as a page', async () => {
  const folder = temporaryFolder();
  const broken = trainedMoe(2);
  broken.get('model.layers.3.mlp.gate.weight')!.values[0] = Number.NaN;
  const inputs = [writeWeights(join(folder, 'a'), trainedMoe(1)), writeWeights(join(folder, 'b'), broken)];
  const page = join(folder, 'diff.html');
  const { code, stdout } = await runCli(['diff', ...inputs, '--out', page], { env: { FORCE_COLOR: '1' } });
  expect(code).toBe(0);
  expect(stdout).toContain('\u001b[31mOne thing stands out: tensor model.layers.3.mlp.gate.weight of');
  expect(readFileSync(page, 'utf8')).toContain('model.layers.3.mlp.gate.weight');
});

test('refusals: other architectures with exit 3, bad options with exit 2', async () => {
  const dense = join(moe, '../dense/checkpoint-6000');
  const other = await runCli(['diff', `${moe}/checkpoint-6000`, dense]);
  expect(other.code).toBe(3);
  expect(other.stderr).toContain('the checkpoints are not of one architecture');
  expect(other.stderr).toContain('model.layers.0.mlp.experts.0.up_proj.weight');
  for (const bad of [
    ['--layers', '3-1'],
    ['--layers', 'x'],
    ['--layers', '-1--2'],
    ['--layers', '1,,2'],
    ['--role', 'rooter'],
    ['--threads', '0'],
  ]) {
    expect((await runCli(['diff', `${moe}/checkpoint-6000`, dense, ...bad])).code).toBe(2);
  }
  expect((await runCli(['diff', dense])).stderr).toMatch(/2 to 32 checkpoints can be compared, and only .*checkpoint-6000 is there/);
  expect((await runCli(['diff', dense, dense, '-o', join(dense, 'model.safetensors', 'x.html')])).code).not.toBe(0);
});
