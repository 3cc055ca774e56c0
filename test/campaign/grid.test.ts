import { existsSync, readFileSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { average } from '../../src/merge/average.ts';
import { grid, gridEvents, gridRecipe, planGrid } from '../../src/merge/grid/grid.ts';
import type { GridOptions } from '../../src/merge/grid/types.ts';
import { runRecipe } from '../../src/merge/run.ts';
import { gridRun } from '../support/grid-run.ts';
import { published } from '../support/multi-output.ts';

let run: ReturnType<typeof gridRun>;
beforeEach(() => {
  run = gridRun();
});
afterEach(() => run.remove());
const at = (...parts: string[]) => run.at(...parts);
const save = (first: number, last: number, seed?: number) => run.save(first, last, seed);
const options = (more: Partial<GridOptions> = {}) => run.options(more);
const names = (path?: string) => run.names(path);
/** Bytes that a merge of one checkpoint reads. */
const oneRead = async () => (await average({ inputs: [at('run', 'checkpoint-1000')], output: at('one'), threads: 1 })).bytesRead;

describe('a grid', () => {
  it('is byte for byte what the recipe that it stands for makes of each output alone', async () => {
    save(1, 17);
    const { outputs, combinations } = await grid(options());
    expect(combinations).toBe(3 * 2 * 2 * 2 * 4);
    expect(names()).toEqual(outputs.map(({ name }) => name).sort());
    const recipe = await gridRecipe(options({ output: at('alone') }));
    expect(recipe.outputs.map(({ path }) => path).sort()).toEqual(names().map((name) => at('alone', name)));
    // A handful of each: linear and square root, reversed and scrambled, strided, at all three endpoints.
    const some = recipe.outputs.filter((_, i) => i % 5 === 0);
    for (const output of some) {
      await runRecipe({ ...recipe, outputs: [output] }, { threads: 1 });
      const alone = published(output.path);
      expect(published(output.path.replace('/alone/', '/grid/')), output.path).toEqual(alone);
      expect(Object.keys(alone)).toContain('model-00001-of-00002.safetensors');
    }
    expect(some.length).toBeGreaterThan(8);
  });

  it('reads every input once a batch, and says how much that saves', async () => {
    save(1, 17);
    const bytes = await oneRead();
    const plan = await planGrid(options());
    // Saves 1 to 17 but for those that no window has: (0, 200B], (200B, 400B], (225B, 425B].
    expect(plan.batches).toMatchObject([{ members: 17, bytesRead: 17 * bytes, rereads: 0, bytesReread: 0 }]);
    const alone = plan.outputs.reduce((sum, { members }) => sum + members.length, 0);
    expect(plan).toMatchObject({ bytesRead: 17 * bytes, bytesReadAlone: alone * bytes });
    const result = await grid(options());
    expect(result.bytesRead).toBe(17 * bytes);

    // Memory for eight outputs at a time: windows that end near each other are made together.
    const few = options({ output: at('few'), threads: 1, memory: 16 * 64 * 2 ** 10 });
    const { batches } = await planGrid(few);
    expect(Math.max(...batches.map(({ outputs }) => outputs.length))).toBe(8);
    // No more than eights in the order of the table would read.
    const eights = plan.outputs.flatMap((_, i) => (i % 8 === 0 ? [plan.outputs.slice(i, i + 8)] : []));
    const unions = eights.map((of) => new Set(of.flatMap(({ members }) => members.map(({ path }) => path))).size);
    expect(batches.reduce((sum, { members }) => sum + members, 0)).toBeLessThanOrEqual(unions.reduce((a, b) => a + b));
    for (const batch of batches) expect(batch.bytesRead).toBe(batch.members * bytes);
    expect(batches.reduce((sum, { rereads }) => sum + rereads, 0)).toBe(batches.reduce((sum, { members }) => sum + members, 0) - 17);
    const made = await grid(few);
    expect(made.bytesRead).toBe(batches.reduce((sum, { bytesRead }) => sum + bytesRead, 0));
    for (const name of names()) expect(published(at('few', name)), name).toEqual(published(at('grid', name)));
  });

  it('makes what is missing when the run has grown, also when older saves were removed', async () => {
    save(1, 17);
    await grid(options());
    const before = names();
    const times = before.map((name) => readFileSync(at('grid', name, 'merge_provenance.json'), 'utf8'));
    expect(await grid(options())).toMatchObject({ bytesRead: 0, batches: [] });

    save(18, 24);
    for (let i = 1; i <= 12; i++) rmSync(at('run', `checkpoint-${i * 1000}`), { recursive: true });
    const { outputs, warnings } = await grid(options());
    const made = outputs.filter(({ skipped }) => !skipped);
    expect(new Set(made.map(({ axes }) => axes.endpoint))).toEqual(new Set([24_000]));
    // The newest of then is no endpoint any more; the others are.
    expect(
      outputs
        .filter(({ skipped }) => skipped)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(before.filter((name) => !name.startsWith('step17000')));
    expect(before.map((name) => readFileSync(at('grid', name, 'merge_provenance.json'), 'utf8'))).toEqual(times);
    expect(warnings.filter(({ code }) => code === 'W_GRID_GONE')).toEqual([]);
    // Four of the eight saves of (200B, 400B] are gone: another window of it cannot be had of the rest.
    const { outputs: more, warnings: said } = await grid(options({ windows: ['100B', '150B', '200B'] }));
    const gone = more.filter(({ gone }) => gone !== undefined);
    expect(gone.map(({ name }) => name)).toContain('step16000-w150B-wsm-linear');
    expect(gone[0]).toMatchObject({ bytesWritten: null, batch: null });
    expect(said).toContainEqual({ code: 'W_GRID_GONE', message: expect.stringContaining('members of them are not there any more') });
    expect(existsSync(at('grid', 'step16000-w150B-wsm-linear'))).toBe(false);
  });

  it('keeps what was made when it is aborted, and makes the rest when asked again', async () => {
    save(1, 17);
    const stop = new AbortController();
    const few = options({ threads: 1, memory: 16 * 64 * 2 ** 10 });
    const work = (async () => {
      for await (const event of gridEvents(few, { signal: stop.signal }))
        if (event.type === 'batch' && event.number === 3) stop.abort('enough');
    })();
    await expect(work).rejects.toBe('enough');
    const made = names().filter((name) => !name.startsWith('.'));
    expect(made.length).toBe(16);
    const { outputs } = await grid(few);
    expect(
      outputs
        .filter(({ skipped }) => skipped)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(made);
    expect(names()).toEqual(outputs.map(({ name }) => name).sort());
  });
});
