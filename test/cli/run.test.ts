import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';

const TENSORS: FixtureTensor[] = [{ name: 'lm_head.weight', dtype: 'BF16', shape: [64, 3] }];
const RECIPE = `inputs: run
outputs:
  - { path: out/sma, select: { last: 3 } }
  - { path: "out/w-{step}", select: { last: 2 }, sliding: true, method: wma }
`;

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  for (const step of [1, 2, 3, 4]) writeCheckpoint(at('run', `checkpoint-${step}`), [TENSORS], step);
  writeFileSync(at('recipe.yaml'), RECIPE);
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);
const merge = (...args: string[]) => runCli(args, { cwd: folder.path });

describe('merge run', () => {
  it('makes every output, says so in one table, and refuses to do it twice', async () => {
    const { code, stdout, stderr } = await merge('run', 'recipe.yaml');
    expect({ code, stderr: /error|warning\[(?!W_WINDOW_WIDE)/.test(stderr) }).toEqual({ code: 0, stderr: false });
    expect(readdirSync(at('out')).sort()).toEqual(['sma', 'w-2', 'w-3', 'w-4']);
    expect(stdout).toMatch(/^merged 4 checkpoints into 4 outputs, in one read\n\n {2}members {3}steps {2}method +size {2}output\n/);
    expect(stdout).toMatch(/\n +2 {2}3 to 4 {2}wma +\d+ B {2}out\/w-4\n/);
    expect(stdout).toContain('check each with: merge verify out/sma\n');
    const again = await merge('run', 'recipe.yaml', '--json');
    expect(again.code).toBe(4);
    expect(JSON.parse(again.stdout)).toMatchObject({ schema: 'ckpt-merge/error', code: 'E_OUTPUT_EXISTS' });
    expect((await merge('run', 'recipe.yaml', '--force', '-q')).stdout).toBe('out/sma\nout/w-2\nout/w-3\nout/w-4\n');
    expect((await merge('verify', 'out/w-3', '--full')).code).toBe(0);
  });

  it('plans without a write, in words and as a document', async () => {
    const { code, stdout } = await merge('run', 'recipe.yaml', '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^would make 4 outputs in one read\n/);
    expect(stdout).toMatch(/\nnothing was written\n$/);
    const document = JSON.parse((await merge('run', 'recipe.yaml', '-n', '--json')).stdout);
    expect(document).toMatchObject({
      schema: 'ckpt-merge/plan',
      outputs: [{ path: 'out/sma' }, { path: 'out/w-2', method: 'wma' }, {}, {}],
    });
    expect(existsSync(at('out'))).toBe(false);
  });

  it('makes a merge again from the recipe in it', async () => {
    expect((await merge('run', 'recipe.yaml', '-q')).code).toBe(0);
    expect((await merge('run', 'out/sma/merge_recipe.yaml', '-q')).stdout).toBe('out/sma-again\n');
    expect((await merge('run', 'out/sma/merge_recipe.yaml', '-q', '-o', 'third')).stdout).toBe('third\n');
    const tensors = (name: string) => readFileSync(at(name, 'model.safetensors'));
    expect(tensors('out/sma-again').equals(tensors('out/sma'))).toBe(true);
    expect(tensors('third').equals(tensors('out/sma'))).toBe(true);
  });

  it('shows what is wrong with a recipe, all of it', async () => {
    writeFileSync(at('bad.yaml'), 'input: run\noutputs:\n  - { path: a, dtype: F3 }\n');
    const { code, stdout, stderr } = await merge('run', 'bad.yaml');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(`error[E_RECIPE]: bad.yaml has 2 problems
  - bad.yaml:1:1: unknown key \`input\`; did you mean \`inputs\`?
      input: run
      ^^^^^
  - bad.yaml:3:23: \`dtype\` must be one of BF16, F16, F32, F64, same, not F3; did you mean \`F32\`?
        - { path: a, dtype: F3 }
                            ^^
  help: Mend what the message shows; \`merge schema\` prints the form that editors can complete from.
`);
    expect((await merge('run', 'none.yaml')).code).toBe(3);
    expect((await merge('run', 'run/checkpoint-1/model.safetensors')).stderr).toContain('holds binary data, so it is no recipe');
    expect((await merge('run', 'recipe.yaml', '-o', 'x')).stderr).toContain('--output is for recipes of one output, and this one has 2');
    expect((await merge('run')).code).toBe(2);
  });
});

it('merge schema prints a JSON Schema', async () => {
  const { code, stdout } = await merge('schema');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ title: 'ckpt-merge recipe', type: 'object', required: ['inputs', 'outputs'] });
});
