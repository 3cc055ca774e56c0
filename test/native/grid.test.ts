import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { grid } from '../../src/merge/grid/grid.ts';
import type { GridOptions } from '../../src/merge/grid/types.ts';
import { gridRun } from '../support/grid-run.ts';

let run: ReturnType<typeof gridRun>;
beforeEach(() => {
  run = gridRun();
});
afterEach(() => run.remove());
const at = (...parts: string[]) => run.at(...parts);
const save = (first: number, last: number, seed?: number) => run.save(first, last, seed);
const options = (more: Partial<GridOptions> = {}) => run.options(more);
const names = (path?: string) => run.names(path);

describe('a grid', () => {
  it('makes anew what lost a file, and what was made of other checkpoints is in the way', async () => {
    save(1, 8);
    const small = options({ windows: '100B', controls: undefined, strides: 1, endpoints: 'newest' });
    await grid(small);
    const [linear, root] = ['step8000-w100B-wsm-linear', 'step8000-w100B-wsm-minus-sqrt'];
    expect(names()).toEqual([linear, root]);
    rmSync(at('grid', root!, 'model-00002-of-00002.safetensors'));
    await expect(grid(small)).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS', message: expect.stringContaining(`${root} exists`) });
    const before = readFileSync(at('grid', linear!, 'merge_provenance.json'), 'utf8');
    const { outputs } = await grid({ ...small, force: true });
    expect(outputs.map(({ name, skipped }) => [name, skipped ?? false])).toEqual([
      [linear, true],
      [root, false],
    ]);
    expect(readFileSync(at('grid', linear!, 'merge_provenance.json'), 'utf8')).toBe(before);

    // The same step of another training: neither is what the grid would make.
    save(7, 7, 770);
    await expect(grid(small)).rejects.toMatchObject({
      code: 'E_OUTPUT_EXISTS',
      details: { conflicts: [{ message: expect.stringContaining(linear!) }, { message: expect.stringContaining(root!) }] },
    });
    // Somebody's own folder is not replaced, whatever is said.
    mkdirSync(at('own', linear!), { recursive: true });
    writeFileSync(at('own', linear!, 'thesis.tex'), '');
    await expect(grid({ ...small, output: at('own'), force: true })).rejects.toMatchObject({ code: 'E_OUTPUT_KIND' });
    expect(readdirSync(at('own'))).toEqual([linear]);
  });

  it('goes by the name that a merge was made under, whatever it is called first now', async () => {
    save(1, 8);
    const small = options({ windows: '100B', controls: undefined, strides: 1, endpoints: 'newest', decay: undefined });
    await grid({ ...small, method: 'wsm' });
    const { outputs } = await grid({ ...small, method: ['sma', 'wsm'] });
    expect(outputs.map(({ name, names, skipped }) => ({ name, names, skipped }))).toEqual([
      { name: 'step8000-w100B-wsm-linear', names: ['step8000-w100B-wsm-linear', 'step8000-w100B-sma'], skipped: true },
    ]);
  });

  it('leaves out a save that cannot be used, and says so of each merge', async () => {
    save(1, 8);
    writeFileSync(at('run', 'checkpoint-6000', 'model-00002-of-00002.safetensors'), 'cut');
    const { outputs, warnings } = await grid(
      options({ windows: '100B', controls: undefined, strides: 1, endpoints: 'newest', decay: 'linear' }),
    );
    expect(outputs[0]).toMatchObject({ asked: 4, found: 3, leftOut: [{ name: 'checkpoint-6000', step: 6000, newer: false }] });
    expect(warnings.map(({ code }) => code)).toContain('W_LEFT_OUT_MEMBERS');
    await expect(grid(options({ output: at('strict'), strict: true, windows: '100B' }))).rejects.toMatchObject({ code: 'E_STRICT' });
    expect(existsSync(at('strict'))).toBe(false);
  });
});
