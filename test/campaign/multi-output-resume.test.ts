import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownerFile, readOwner } from '../../src/base/disk/owner.ts';
import type { MergeEvent, MergeResult } from '../../src/merge/engine/events.ts';
import { requestDigest } from '../../src/merge/plan/request-digest.ts';
import type { OutputRequest } from '../../src/merge/plan/types.ts';
import { type MachineOptions, planRecipe, runRecipe } from '../../src/merge/run.ts';
import { type FixtureTensor, temporaryFolder } from '../support/checkpoints.ts';
import { merge, published, writeRun } from '../support/multi-output.ts';
import { systemTool } from '../support/system-tool.ts';

const TENSORS: FixtureTensor[] = Array.from({ length: 4 }, (_, i) => ({
  name: `layers.${i}.mlp.up_proj.weight`,
  dtype: 'BF16',
  shape: [64, 65],
}));
const RECIPES: readonly Omit<OutputRequest, 'path'>[] = [
  { members: [0, 1] },
  { members: [1, 2], method: 'ema', alpha: 0.3 },
  { members: [2, 3], dtype: 'F32' },
];

let folder: ReturnType<typeof temporaryFolder>;
let inputs: string[];
beforeEach(() => {
  folder = temporaryFolder();
  inputs = writeRun(at('run'), TENSORS, 4);
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);
const outputsIn = (place: string, recipes = RECIPES): OutputRequest[] => recipes.map((r, k) => ({ ...r, path: at(place, `out-${k}`) }));
const hidden = (place: string) => readdirSync(at(place)).filter((name) => name.startsWith('.'));

const leftIn = ({ warnings }: MergeResult) => warnings.filter(({ code }) => code === 'W_STALE_PARTIAL').map(({ message }) => message);

/**
 * Ends the merge when all is computed and nothing published: the first of two units at least is on disk then.
 */
async function interrupt(outputs: OutputRequest[]): Promise<string[]> {
  const controller = new AbortController();
  const kept: string[] = [];
  const merging = merge(
    { inputs, outputs },
    {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'progress' && event.phase === 'sync') controller.abort(new Error('enough'));
        if (event.type === 'kept') kept.push(event.output);
      },
    },
  );
  await expect(merging).rejects.toThrow('enough');
  return kept;
}

describe('an interrupted merge of several outputs', () => {
  it('goes on to the very bytes of an undisturbed one', async () => {
    await merge({ inputs, outputs: outputsIn('whole') });
    const outputs = outputsIn('place');
    expect(await interrupt(outputs)).toEqual(outputs.map((o) => o.path));
    expect(outputs.map((o) => existsSync(o.path))).toEqual([false, false, false]);
    const result = await merge({ inputs, outputs, resume: true });
    expect(result.resumedBytes).toBeGreaterThan(0);
    for (const k of RECIPES.keys()) expect(published(at('place', `out-${k}`))).toEqual(published(at('whole', `out-${k}`)));
    expect(hidden('place')).toEqual([]);
  });

  it('leaves outputs that are published as they are, and begins those afresh that it had not come to', async () => {
    await merge({ inputs, outputs: outputsIn('whole') });
    const outputs = outputsIn('place');
    await interrupt([outputs[1]!]);
    await merge({ inputs, outputs: [outputs[0]!] });
    const before = statSync(outputs[0]!.path).ino;
    const result = await merge({ inputs, outputs, resume: true });
    expect(result.finished).toEqual([outputs[0]!.path]);
    expect(result.outputs.map((o) => o.path)).toEqual([outputs[1]!.path, outputs[2]!.path]);
    expect(statSync(outputs[0]!.path).ino).toBe(before);
    for (const k of RECIPES.keys()) expect(published(at('place', `out-${k}`))).toEqual(published(at('whole', `out-${k}`)));
    expect(hidden('place')).toEqual([]);
  });

  it('counts a bad value once, whichever outputs are left to make', async () => {
    const data = new Uint8Array(64 * 65 * 2);
    data.set([0x80, 0x7f], 100);
    inputs = writeRun(at('bad'), [{ ...TENSORS[0]!, data }, ...TENSORS.slice(1)], 4);
    await merge({ inputs, outputs: outputsIn('whole') });
    const outputs = outputsIn('place');
    await interrupt(outputs);
    // As if the first had been published before the end.
    for (const name of hidden('place')) if (name.startsWith('.out-0.')) rmSync(at('place', name), { recursive: true });
    await merge({ inputs, outputs: [outputs[0]!] });
    const { warnings, resumedBytes } = await merge({ inputs, outputs, resume: true });
    expect(resumedBytes).toBeGreaterThan(0);
    expect(warnings.filter((w) => w.code === 'W_NONFINITE').map((w) => w.message)).toEqual(
      inputs.slice(1).map((path) => `tensor layers.0.mlp.up_proj.weight of ${path} holds 0 NaN and 1 infinite values`),
    );
    for (const k of RECIPES.keys()) expect(published(at('place', `out-${k}`))).toEqual(published(at('whole', `out-${k}`)));
  });
});

/** An interrupted merge of `RECIPES[0]`, of which two of three inputs take part, and its partial. */
async function interrupted(): Promise<{ outputs: OutputRequest[]; partial: string }> {
  const outputs = outputsIn('place').slice(0, 1);
  await interrupt(outputs);
  return { outputs, partial: at('place', hidden('place')[0]!) };
}

describe('an interrupted merge goes on', () => {
  it('with inputs of other inodes, and wherever they are mounted', async () => {
    const { outputs } = await interrupted();
    await merge({ inputs, outputs: outputsIn('whole').slice(0, 1) });
    cpSync(at('run'), at('mounted', 'elsewhere'), { recursive: true, preserveTimestamps: true });
    const times = (path: string) => statSync(path, { bigint: true }).mtimeNs;
    const moved = inputs.map((path) => path.replace(at('run'), at('mounted', 'elsewhere')));
    for (const [i, path] of moved.entries()) {
      for (const name of readdirSync(path).filter((n) => n.endsWith('.safetensors'))) {
        // A copy has the microseconds of the original; the same file seen twice has all of its nanoseconds.
        const original = join(inputs[i]!, name);
        execFileSync(systemTool('touch'), ['-r', original, join(path, name)]);
        expect(times(join(path, name))).toBe(times(original));
        expect(statSync(join(path, name)).ino).not.toBe(statSync(original).ino);
      }
    }
    rmSync(at('run'), { recursive: true });
    const result = await merge({ inputs: moved, outputs, resume: true });
    expect(result.resumedBytes).toBeGreaterThan(0);
    const files = (place: string) => Object.entries(published(at(place, 'out-0'))).filter(([name]) => name.endsWith('.safetensors'));
    expect(files('place')).toEqual(files('whole'));
  });
});

describe('a partial records', () => {
  it('the digest of the request, which a resume keeps, and is found whatever the run has grown to', async () => {
    const recipe = { inputs: [at('run')], outputs: [{ path: at('place', 'out'), select: { last: 2 } }] };
    const stop = async (options: MachineOptions) => {
      const abort = new AbortController();
      const onProgress = (event: MergeEvent) => {
        if (event.type === 'progress' && event.phase === 'sync') abort.abort(new Error('enough'));
      };
      await expect(runRecipe(recipe, { ...options, signal: abort.signal, onProgress })).rejects.toThrow('enough');
    };
    await stop({});
    const partial = at('place', hidden('place')[0]!);
    const digest = requestDigest(recipe, at('place', 'out'));
    expect((await readOwner(partial))!.owner.request).toBe(digest);
    await stop({ resume: true });
    expect(hidden('place')).toHaveLength(1);
    expect((await readOwner(partial))!.owner.request).toBe(digest);
    writeRun(at('run'), TENSORS, 5);
    expect((await planRecipe(recipe)).outputs[0]!.request).toBe(digest);
  });
});

describe('what is not the same merge is left alone and named, and the merge begins', () => {
  it('where the partial is of the form that an earlier version wrote', async () => {
    const { outputs, partial } = await interrupted();
    const { generation, owner } = (await readOwner(partial))!;
    const { request: _, ...before } = owner;
    const { dev, ino, mtimeNs, ctimeNs, size } = statSync(join(inputs[0]!, 'model-00001-of-00002.safetensors'), { bigint: true });
    const identityParts = { ...owner.identityParts, [inputs[0]!]: [dev, ino, mtimeNs, ctimeNs, size].join(':') };
    writeFileSync(join(partial, ownerFile(generation)), JSON.stringify({ ...before, identity: 'f'.repeat(64), identityParts }));
    expect(leftIn(await merge({ inputs, outputs, resume: true }))).toEqual([expect.stringMatching(/is of another merge/)]);
    expect(hidden('place')).toHaveLength(1);
    await merge({ inputs, outputs, force: true });
    expect(hidden('place')).toEqual([]);
  });

  it.each([
    ['a parameter', [RECIPES[0]!, { ...RECIPES[1]!, alpha: 0.4 }, RECIPES[2]!], /out-1 .*left alone.*alpha \(was 0\.3, is 0\.4\)/],
    ['the method', [{ ...RECIPES[0]!, method: 'wma' as const }, ...RECIPES.slice(1)], /out-0 .*left alone.*method \(was sma, is wma\)/],
    ['the dtype', [...RECIPES.slice(0, 2), { members: [2, 3] }], /out-2 .*left alone.*dtype \(was F32, is as the layout\)/],
    ['the members', [{ members: [0, 2] }, ...RECIPES.slice(1)], /out-0 .*left alone.*checkpoint-200.*checkpoint-300/],
  ])('by name where %s of one output changed, and the right one goes on', async (_, recipes, message) => {
    const outputs = outputsIn('place');
    await interrupt(outputs);
    const left = leftIn(await merge({ inputs, outputs: outputsIn('place', recipes), resume: true }));
    expect(left).toEqual([expect.stringMatching(message)]);
    expect(hidden('place')).toHaveLength(1);
    for (const { path } of outputs) rmSync(path, { recursive: true });
    const again = outputs.filter(({ path }) => hidden('place').some((name) => name.startsWith(`.${basename(path)}.`)));
    expect((await merge({ inputs, outputs: again, resume: true })).resumedBytes).toBeGreaterThan(0);
  });

  it('by name where an input changed', async () => {
    const outputs = outputsIn('place');
    await interrupt(outputs);
    const shard = join(inputs[3]!, 'model-00002-of-00002.safetensors');
    utimesSync(shard, new Date(), new Date());
    const left = leftIn(await merge({ inputs, outputs, resume: true }));
    expect(left).toEqual([expect.stringMatching(/out-2 .*left alone.*these differ: .*checkpoint-400\. Remove it/)]);
    expect(left[0]).not.toContain('checkpoint-300');
    expect(hidden('place')).toHaveLength(1);
  });

  it('or where there is nothing; and all that is finished is left as it is', async () => {
    const outputs = outputsIn('place');
    expect(await merge({ inputs, outputs, resume: true })).toMatchObject({ resumedBytes: 0, finished: [] });
    const inode = () => outputs.map(({ path }) => statSync(path).ino);
    const before = inode();
    expect(await merge({ inputs, outputs, resume: true })).toMatchObject({
      outputs: [],
      finished: outputs.map(({ path }) => path),
      bytesRead: 0,
    });
    expect(inode()).toEqual(before);
  });

  it('where an output that exists is another one', async () => {
    const outputs = outputsIn('place');
    await interrupt(outputs.slice(1));
    await merge({ inputs, outputs: [{ ...outputs[0]!, method: 'wma' }] });
    await expect(merge({ inputs, outputs, resume: true })).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
  });
});
