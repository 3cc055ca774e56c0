import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import pc from 'picocolors';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SYSTEM } from '../../src/base/disk/system.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { discoverRun } from '../../src/checkpoints/run/discover.ts';
import { average } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { grid, gridRecipe, planGrid } from '../../src/merge/grid/grid.ts';
import { planRecipe, runRecipe } from '../../src/merge/run.ts';
import { scoreGrid } from '../../src/search/grid/score.ts';
import { keep } from '../../src/upkeep/keep/keep.ts';
import { newestOf } from '../../src/upkeep/keep/script.ts';
import { replacementScript } from '../../src/upkeep/strip/script.ts';
import { planStrip, strip } from '../../src/upkeep/strip/strip.ts';
import { stripText } from '../../src/upkeep/strip/text.ts';
import type { StripEvent, StripOptions, StripReport } from '../../src/upkeep/strip/types.ts';
import { watch } from '../../src/upkeep/watch/watch.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { differences, oracleOf, readOracle, unpackGolden } from '../support/containers.ts';
import { treeOf } from '../support/hostile-case.ts';
import { published } from '../support/multi-output.ts';
import { type RunEntry, writeRun } from '../support/run-trees.ts';
import { mergeError } from '../support/safetensors.ts';

const COLORS = pc.createColors(false);
let folder: ReturnType<typeof temporaryFolder>;
let run: string;
const at = (...parts: string[]) => join(folder.path, ...parts);
const MODEL = [{ name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [512, 128] }] as const;
const OPTIMIZER = 'x'.repeat(300_000);
const entry = (step: number): RunEntry => ({
  name: `checkpoint-${step}`,
  step,
  tokens: step * 1e6,
  seed: step,
  shards: [MODEL],
  files: { 'optimizer.pt': OPTIMIZER, 'scheduler.pt': 'y' },
});
beforeEach(() => {
  folder = temporaryFolder();
  run = at('run');
  writeRun(run, [100, 200, 300, 400, 500].map(entry));
});
afterEach(() => folder.remove());

const asked = (more: Partial<StripOptions> = {}): StripOptions => ({
  run,
  budget: 9,
  windows: ['500steps'],
  output: at('copies'),
  ...more,
});
const replace = (report: StripReport) => {
  const lines = replacementScript(report, newestOf(report));
  execFileSync('sh', ['-s'], { input: `${lines.join('\n')}\n` });
  return lines.filter((line) => line.startsWith('put ')).length;
};
const names = (path: string) => readdirSync(path).sort();

describe('copies without the state of the trainer', () => {
  it('are made of the saves that windows alone need, and of no other; no save is changed', async () => {
    const before = treeOf(run);
    const report = await strip(asked({ keepSteps: [200] }));
    expect(report).toMatchObject({ schema: 'ckpt-merge/strip', run, output: at('copies') });
    expect(report.copies.map(({ step, state, verified }) => [step, state, verified])).toEqual([
      [100, 'made', 'full'],
      [300, 'made', 'full'],
      [400, 'made', 'full'],
    ]);
    expect(report.left.map(({ step, reason }) => [step, reason])).toEqual([
      [200, 'keepSteps names it'],
      [500, 'the newest, the newest to resume from'],
    ]);
    expect(report.notes.join()).not.toContain('copies are');
    expect(treeOf(run)).toEqual(before);
    expect(names(at('copies'))).toEqual(['checkpoint-100', 'checkpoint-300', 'checkpoint-400']);
    expect(names(at('copies', 'checkpoint-300'))).not.toContain('optimizer.pt');
    // The tensors' bytes, as another reader has them.
    const tensor = (path: string) => readOracle(join(path, 'model.safetensors')).get(MODEL[0].name)!.bytes;
    expect(tensor(at('copies', 'checkpoint-300'))).toEqual(tensor(join(run, 'checkpoint-300')));
    const frees = report.copies.reduce((sum, { bytes, copyBytes }) => sum + bytes - copyBytes, 0);
    expect(report.frees).toBe(frees);
    expect(report.copies[0]!.bytes - report.copies[0]!.copyBytes).toBeGreaterThan(290_000);
  });

  it('take the places of their saves by the lines that are printed: the run is what it was, merges too', async () => {
    await average({ inputs: [run], output: at('before'), threads: 1 });
    const shown = await discoverRun(run);
    expect(replace(await strip(asked()))).toBe(4);
    const now = await discoverRun(run);
    const places = ({ checkpoints }: typeof now) => checkpoints.map(({ name, step, tokens, bytes }) => ({ name, step, tokens, bytes }));
    expect(places(now)).toEqual(places(shown));
    expect(names(run)).toEqual([100, 200, 300, 400, 500].map((step) => `checkpoint-${step}`));
    await average({ inputs: [run], output: at('after'), threads: 1 });
    const shard = (of: string) => published(at(of))['model.safetensors'];
    const tensors = (of: string) => readOracle(at(of, 'model.safetensors'));
    expect(shard('after')).toBeDefined();
    expect(tensors('after')).toEqual(tensors('before'));
    // Windows in tokens find them, though the files that counted them are gone.
    expect((await keep({ run, budget: 9, windows: ['500M'] })).keep).toHaveLength(5);
    const again = await strip(asked());
    expect(again.copies).toEqual([]);
    expect(again.left[0]).toMatchObject({ step: 100, reason: 'a copy of the model alone already' });
  });

  it('have their losses told: what the script removes and is no state of a trainer stands in report, text and script', async () => {
    const files = {
      'value_head.bin': 'v',
      'custom.pt': 'c',
      'my notes\n# rm -rf x.md': 'n',
      'optimum_config_notes.txt': 'o',
      'sub/deep/a.txt': 'a',
      'sub/b': 'b',
      'global_step100/zero_pp_rank_0_mp_rank_00_optim_states.pt': OPTIMIZER,
      'global_step100/why.md': 'w',
      'rng_state.pth': 'r',
      'training_args.bin': 't',
      'tokenizer.json': '{}',
      'README.md': '# mine',
    };
    rmSync(join(run, 'checkpoint-100'), { recursive: true });
    writeRun(run, [{ ...entry(100), files: { ...entry(100).files, ...files } }]);
    mkdirSync(join(run, 'checkpoint-100', 'empty'));
    symlinkSync('nowhere', join(run, 'checkpoint-100', 'link'));
    const lost = [
      'README.md',
      'custom.pt',
      'empty/',
      'global_step100/why.md',
      'link',
      'my notes\n# rm -rf x.md',
      'optimum_config_notes.txt',
    ];
    lost.push('sub/', 'value_head.bin');
    const plan = await planStrip(asked());
    const report = await strip(asked());
    const again = await strip(asked());
    for (const { copies } of [plan, report, again])
      expect(copies.map(({ step, loses }) => [step, loses])).toEqual([[100, lost], ...[200, 300, 400].map((step) => [step, []])]);
    expect(stripText(plan, COLORS)).toContain('value_head.bin');
    const before = names(join(run, 'checkpoint-100'));
    const script = replacementScript(report, newestOf(report));
    const [line] = script.filter((text) => text.includes('value_head.bin'));
    expect(line).toMatch(/^# of .*checkpoint-100 also removed: README\.md, custom\.pt, .*sub\/, value_head\.bin$/);
    expect(script[script.indexOf(line!) + 1]).toMatch(/^put .*checkpoint-100/);
    replace(report);
    // What is gone is what was told, what the copy has, or the trainer's state.
    const now = names(join(run, 'checkpoint-100'));
    const told = new Set(lost.map((name) => name.split('/')[0]));
    const trainers = ['optimizer.pt', 'rng_state.pth', 'scheduler.pt', 'trainer_state.json', 'training_args.bin'];
    expect(before.filter((name) => !now.includes(name) && !told.has(name))).toEqual(trainers);
  });

  it('of a model that lies deeper tell of another model beside it', async () => {
    const deep = at('deep');
    for (const step of [1, 2, 3, 4, 5]) {
      for (const part of ['actor', 'critic'])
        writeRun(deep, [{ name: `global_step_${step}/${part}/huggingface`, seed: step, shards: [MODEL] }]);
      writeFileSync(join(deep, `global_step_${step}/actor/optim_world_size_1_rank_0.pt`), OPTIMIZER);
      rmSync(join(deep, `global_step_${step}/critic/huggingface/config.json`));
    }
    const report = await planStrip(asked({ run: join(deep), windows: ['5steps'] })).catch((error) => error);
    expect(report.copies?.[0]?.loses ?? report).toEqual(['critic/']);
  });

  it('are made once: a second call checks them, and makes what is missing', async () => {
    await strip(asked({ copies: 2 }));
    expect(names(at('copies'))).toEqual(['checkpoint-100', 'checkpoint-200']);
    const first = treeOf(at('copies', 'checkpoint-100'));
    expect((await planStrip(asked())).copies.map(({ state }) => state)).toEqual(['there', 'there', 'missing', 'missing']);
    const report = await strip(asked());
    expect(report.copies.map(({ state, verified }) => [state, verified])).toEqual([
      ['there', 'sample'],
      ['there', 'sample'],
      ['made', 'full'],
      ['made', 'full'],
    ]);
    expect(treeOf(at('copies', 'checkpoint-100'))).toEqual(first);
  });

  it('that were cut short are gone on with: what was made by then stays', async () => {
    const stop = new AbortController();
    const onEvent = (event: StripEvent) => {
      if (event.type === 'copy' && event.number === 3) stop.abort('SIGTERM');
    };
    await expect(strip(asked(), { signal: stop.signal, onEvent })).rejects.toBe('SIGTERM');
    expect(names(at('copies'))).toEqual(['checkpoint-100', 'checkpoint-200']);
    const { copies } = await strip(asked());
    expect(copies.map(({ state }) => state)).toEqual(['there', 'there', 'made', 'made']);
  });

  it('planned say what they would free, and write nothing', async () => {
    const plan = await planStrip(asked());
    expect(plan).toMatchObject({ schema: 'ckpt-merge/strip-plan' });
    expect(plan.copies.map(({ state, verified }) => [state, verified])).toEqual(Array(4).fill(['missing', null]));
    expect(plan.frees).toBeGreaterThan(4 * 290_000);
    expect(replacementScript(plan, newestOf(plan))).toEqual([]);
    expect(existsSync(at('copies'))).toBe(false);
  });

  it('are not made where there is nothing to strip, nor of links, nor of names that do not say where they stand', async () => {
    for (const name of ['optimizer.pt', 'scheduler.pt']) rmSync(join(run, 'checkpoint-100', name));
    writeRun(at('elsewhere'), [entry(250)]);
    symlinkSync('../elsewhere/checkpoint-250', join(run, 'checkpoint-250'));
    writeRun(run, [{ ...entry(350), name: 'best' }]);
    const { left } = await planStrip(asked({ budget: 20 }));
    expect(Object.fromEntries(left.map(({ step, reason }) => [step, reason]))).toMatchObject({
      100: 'it holds the model, and hardly anything besides',
      250: 'a link: what it leads to is not moved',
      350: 'its name does not say that it is at step 350, and a copy has no state that would',
    });
  });

  it('of a model that lies deeper in the folder of its step stand for the whole folder', async () => {
    const deep = at('deep');
    for (const step of [1, 2, 3, 4, 5]) {
      writeRun(deep, [{ name: `global_step_${step}/actor/huggingface`, seed: step, shards: [MODEL] }]);
      writeFileSync(join(deep, `global_step_${step}/actor/optim_world_size_1_rank_0.pt`), OPTIMIZER);
    }
    const options = asked({ run: deep, windows: ['5steps'] });
    const { keep: kept } = await keep({ run: deep, budget: 9, windows: ['5steps'] });
    expect(kept.map(({ path }) => path)).toEqual([1, 2, 3, 4, 5].map((step) => join(deep, `global_step_${step}`)));
    expect(kept.at(-1)!.held).toEqual(['the newest', 'the newest to resume from']);
    expect(replace(await strip(options))).toBe(4);
    expect(names(deep)).toEqual([1, 2, 3, 4, 5].map((step) => `global_step_${step}`));
    expect((await discoverRun(deep)).checkpoints.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(existsSync(join(deep, 'global_step_1', 'actor'))).toBe(false);
  });

  it.each([
    ['megatron', '', 'iter_0000100'],
    ['torchtitan', 'checkpoint', 'step-100'],
    ['olmo-core', '', 'step100'],
    ['accelerate', 'sharded', 'checkpoint-100'],
    ['deepspeed-zero1', '', 'global_step100'],
    ['lightning', 'run', 'epoch=0-step=10.ckpt'],
  ])('of %s have its tensors, and merge with saves as they are', async (name, inner, save) => {
    const home = join(unpackGolden(name, folder.path), inner);
    const options = asked({ run: home, windows: ['5000steps'], atLeast: 1 });
    const merge = (output: string) =>
      average({ inputs: [home], select: { last: 2 }, output: at(output), format: 'safetensors', threads: 1 });
    await merge('before');
    const before = await discoverRun(home);
    const report = await strip(options);
    expect(report.copies.map(({ path, verified }) => [path, verified])).toEqual([[join(home, save), 'full']]);
    expect(report.notes.join()).toMatch(/copies are safetensors, of saves in (DCP|torch\.save)/);
    replace(report);
    await merge('after');
    const tensors = (of: string) => readOracle(at(of, readdirSync(at(of)).find((file) => file.endsWith('.safetensors'))!));
    expect(tensors('after')).toEqual(tensors('before'));
    expect(tensors('after').size).toBeGreaterThan(0);
    const after = await discoverRun(home);
    const places = ({ checkpoints, excluded }: typeof after) => [
      checkpoints.map(({ name: own, step, tokens }) => [own, step, tokens]),
      excluded.map(({ step, reason }) => [step, reason]),
    ];
    expect(places(after)).toEqual(places(before));
    expect((await discoverRun(home)).broken.length).toBe(before.broken.length);
    // A grid ends at both: at the copy its tensors, and at the save those of a conversion.
    const ends = { run: home, windows: '1ckpt', endpoints: 'all', threads: 1 } as const;
    for (const format of [undefined, 'safetensors'] as const) {
      const { outputs } = await grid({ ...ends, output: at(`grid-${format}`), ...(format && { format }) });
      expect(outputs.length).toBeGreaterThan(1);
      for (const { name: own, members } of outputs) {
        await convert({ input: members[0]!.path, output: at(`of-${format}`, own), format: 'safetensors' });
        expect(tensors(join(`grid-${format}`, own))).toEqual(tensors(join(`of-${format}`, own)));
      }
    }
  });

  it.each<[string, () => Promise<readonly [run: string, resumable: string]>]>([
    [
      'DCP',
      async () => {
        const home = unpackGolden('dcp-resume', folder.path);
        await convert({ input: join(home, '80'), output: join(home, '100'), format: 'dcp' });
        // As its trainer would have written it: of no record.
        for (const name of names(join(home, '100'))) if (!/^(\.metadata|.*\.distcp)$/.test(name)) rmSync(join(home, '100', name));
        return [home, '80'];
      },
    ],
    [
      'a file of torch.save',
      async () => {
        const from = unpackGolden('torch-resume', folder.path);
        mkdirSync(at('files'));
        for (const name of ['ckpt_10.pt', 'ckpt_20.pt', 'bare_30.pt'])
          renameSync(join(from, name), at('files', name.replace(/^[a-z]+_/, 'step-')));
        return [at('files'), 'step-20.pt'];
      },
    ],
  ])('a newest save of the model alone in %s hides none that training can go on from', async (_, make) => {
    const [home, resumable] = await make();
    const { keep: kept } = await keep({ run: home, budget: 9, windows: ['5000steps'], atLeast: 1 });
    const held = Object.fromEntries(kept.map((save) => [basename(save.path), save.held]));
    expect(held[resumable]).toEqual(['the newest to resume from']);
    const { copies } = await planStrip(asked({ run: home, windows: ['5000steps'], atLeast: 1 }));
    expect(copies.map(({ path }) => basename(path))).not.toContain(resumable);
    expect(copies).toHaveLength(1);
  });

  it('as the newest of a start of training are told: there is no state, and which member has it', async () => {
    const home = join(unpackGolden('torchtitan', folder.path), 'checkpoint');
    replace(await strip(asked({ run: home, windows: ['5000steps'], atLeast: 1 })));
    const [copied, whole] = ['step-100', 'step-200'].map((name) => join(home, name)) as [string, string];
    const start = { path: at('start'), for: 'resume', weights: [0.5, 0.5] } as const;
    const plan = await planRecipe({ inputs: [whole, copied], outputs: [start] });
    expect(plan.warnings.filter(({ code }) => code === 'W_COPY_NEWEST')).toEqual([
      expect.objectContaining({
        message: expect.stringContaining(`${copied}, the newest member of ${at('start')}, is a copy of the model alone`),
      }),
    ]);
    expect(plan.warnings.find(({ code }) => code === 'W_COPY_NEWEST')!.message).toMatch(/the newest member that has it is .*step-200 \(/);
    // With the save as the newest it is as it was, and without a start nothing is missing.
    for (const [inputs, output] of [
      [[copied, whole], start],
      [[whole, copied], { ...start, for: undefined }],
    ] as const) {
      const other = await planRecipe({
        inputs: [...inputs],
        outputs: [output],
        ...(output.for === undefined && { format: 'safetensors' }),
      });
      expect(other.warnings.map(({ code }) => code)).not.toContain('W_COPY_NEWEST');
    }
    const asked2 = { inputs: [whole, copied], outputs: [{ ...start, optimizer: 'newest' }] } as const;
    expect((await mergeError(() => planRecipe(asked2))).message).toMatch(
      /copy of the model alone, and the newest member that has it is .*step-200/,
    );
    const outputs = [copied, whole].map(
      (_, i) => ({ path: at(`of-${i}`), for: 'resume', select: { last: 1, to: i === 0 ? 100 : 200 } }) as const,
    );
    const error = await mergeError(() => planRecipe({ inputs: [home], outputs }));
    expect(error.details.conflicts!.map(({ code }) => code).sort()).toEqual(['E_LAYOUTS_DIFFER', 'E_LAYOUTS_DIFFER', 'E_NO_OPTIMIZER']);
    for (const { message } of error.details.conflicts!) expect(message).toContain('copy of the model alone');
    // An average of moments needs them of all.
    const moments = { ...start, weights: undefined, optimizer: 'average' } as const;
    const average2 = await mergeError(() => planRecipe({ inputs: [copied, whole], outputs: [moments] }));
    expect(average2).toMatchObject({ code: 'E_NO_OPTIMIZER', message: expect.stringContaining('it is a copy of the model alone') });
  });

  describe('beside saves of DCP', () => {
    let home: string;
    const stripped = async () => replace(await strip(asked({ run: home, windows: ['5000steps'], atLeast: 1 })));
    const model = (path: string) => readOracle(join(path, 'model.safetensors'));
    /** Of outputs that end at the copy and at the save, their files and those of each alone. */
    const alike = async (outputs: readonly { readonly path: string; readonly members: readonly { readonly path: string }[] }[]) => {
      for (const { path, members } of outputs) {
        const alone = at(`alone-${basename(path)}`, basename(path));
        const weights = members.map(() => 1 / members.length);
        await average({ inputs: members.map((m) => m.path), weights, output: alone, format: 'safetensors', threads: 1 });
        expect(published(path)['model.safetensors']).toBeDefined();
        expect(model(path)).toEqual(model(alone));
        expect(names(path)).toEqual(names(alone));
      }
    };
    beforeEach(() => {
      home = join(unpackGolden('torchtitan', folder.path), 'checkpoint');
      rmSync(join(home, 'step-201'), { recursive: true, force: true });
    });

    it('are merged by a grid that ends at both: all of it is safetensors, and said to be', async () => {
      await stripped();
      const options = { run: home, windows: ['1ckpt', '2ckpt'], endpoints: 'all', output: at('grid'), threads: 1 } as const;
      const planned = await planGrid(options);
      const said = planned.warnings.filter(({ code }) => code === 'W_SEVERAL_CONTAINERS');
      expect(said).toEqual([expect.objectContaining({ message: expect.stringMatching(/step-100.*step-200.*safetensors/) })]);
      const made = await grid(options);
      expect(made.outputs.map(({ members }) => members.map((m) => basename(m.path)).join())).toEqual(
        expect.arrayContaining(['step-100', 'step-200', 'step-100,step-200']),
      );
      await alike(made.outputs);
      // And as its recipe makes them, and as they are with the format named.
      const recipe = await gridRecipe({ ...options, output: at('again') });
      expect(recipe.format).toBe('safetensors');
      await runRecipe(recipe, { threads: 1 });
      for (const output of recipe.outputs)
        await runRecipe({ ...recipe, outputs: [{ ...output, path: at('lone', basename(output.path)) }] }, { threads: 1 });
      await grid({ ...options, output: at('named'), format: 'safetensors' });
      for (const { path } of made.outputs)
        for (const other of ['again', 'lone', 'named'])
          expect(published(at(other, basename(path)))['model.safetensors']).toEqual(published(path)['model.safetensors']);
      // What is there is left, by whichever call.
      for (const format of [undefined, 'safetensors'] as const) {
        const again = await grid({ ...options, ...(format && { format }) });
        expect(again.outputs.every((output) => output.skipped)).toBe(true);
        expect(again.warnings).toEqual([]);
      }
    });

    it('leave what a grid made of the saves: it is not made again, and what is new is safetensors', async () => {
      const options = { run: home, windows: ['1ckpt'], endpoints: 'all', output: at('grid'), threads: 1 } as const;
      const before = await grid(options);
      await stripped();
      const after = await grid({ ...options, windows: ['1ckpt', '2ckpt'] });
      const old = new Set(before.outputs.map(({ name }) => name));
      expect(
        after.outputs
          .filter(({ skipped }) => skipped)
          .map(({ name }) => name)
          .sort(),
      ).toEqual([...old].sort());
      await alike(after.outputs.filter(({ skipped }) => !skipped));
      expect((await grid({ ...options, windows: ['1ckpt', '2ckpt'] })).outputs.every(({ skipped }) => skipped)).toBe(true);
    });

    it('are scored in one read with merges that end at saves', async () => {
      home = unpackGolden('dcp-resume', folder.path);
      cpSync(join(home, '60'), join(home, '70'), { recursive: true });
      await stripped();
      const scored: string[] = [];
      const score = async (path: string) => {
        scored.push(path);
        return { score: scored.length };
      };
      const options = { run: home, windows: ['2ckpt'], endpoints: 'all', output: at('grid'), goal: 'maximize' } as const;
      const result = await scoreGrid({ ...options, method: ['sma', 'wma'], eval: score, format: 'safetensors' });
      const ends = result.outputs.map(({ members }) => basename(members.at(-1)!.path));
      expect([...new Set(ends)].sort()).toEqual(['70', '80']);
      expect(result.outputs.every(({ score: known }) => known !== null)).toBe(true);
    });

    it('are merged by a recipe whose outputs end at both', async () => {
      await stripped();
      const outputs = ['100', '200'].map((to) => ({ path: at('r', `to-${to}`), select: { last: 1, to: Number(to) } }));
      const result = await runRecipe({ inputs: [home], outputs }, { threads: 1 });
      expect(result.warnings.map(({ code }) => code)).toContain('W_SEVERAL_CONTAINERS');
      await alike(result.outputs);
    });
  });

  it('hold the tensors that torch has in a save of Megatron-core', async () => {
    const home = unpackGolden('megatron', folder.path);
    await strip(asked({ run: home, windows: ['5000steps'], atLeast: 1 }));
    const copy = at('copies', 'iter_0000100');
    const found = await differences(await openCheckpoint(copy), oracleOf(home, 'iter_0000100', 100));
    expect(found.filter((text) => !text.startsWith('optimizer.'))).toEqual([]);
    expect(found.length).toBeGreaterThan(0);
  });

  it('leave a grid as it was made: nothing of it is another plan', async () => {
    const options = { run, windows: ['2ckpt', '4ckpt'], endpoints: 'all', output: at('grid'), threads: 1 };
    const { outputs } = await grid(options);
    replace(await strip(asked()));
    writeRun(run, [entry(600)]);
    const after = await grid(options);
    const skipped = after.outputs.filter((output) => output.skipped);
    expect(skipped.map(({ name }) => name).sort()).toEqual(outputs.map(({ name }) => name).sort());
    expect(after.outputs.length).toBeGreaterThan(outputs.length);
    // Another save under the name of one, and it is another plan.
    rmSync(join(run, 'checkpoint-200'), { recursive: true });
    writeRun(run, [{ ...entry(200), seed: 99 }]);
    expect((await mergeError(() => grid(options))).code).toBe('E_OUTPUT_EXISTS');
  });

  it('are the saves that they are of to the scores of a grid: it goes on, and scores nothing again', async () => {
    const asked400 = {
      run,
      windows: ['300steps'],
      method: ['sma', 'wma'],
      output: at('grid'),
      dir: at('scores'),
      goal: 'maximize',
    } as const;
    const scored: string[] = [];
    const score = async (model: string) => {
      const sum = readOracle(join(model, 'model.safetensors'))
        .get(MODEL[0].name)!
        .bytes.reduce((a, b) => a + b, 0);
      scored.push(model);
      return { score: sum };
    };
    const first = await scoreGrid({ ...asked400, endpoints: ['400', 'newest'], eval: score });
    expect(scored).toHaveLength(6);
    expect(replace(await strip(asked()))).toBe(4);
    scored.length = 0;
    const again = await scoreGrid({ ...asked400, endpoints: ['400', 'newest'], eval: score, resume: true });
    expect(scored).toEqual([]);
    expect(again.outputs).toEqual(first.outputs);
    // What is new is merged from copies and saves, and a copy is scored as it lies.
    writeRun(run, [entry(600)]);
    const grown = await scoreGrid({ ...asked400, endpoints: 'all', eval: score, resume: true });
    expect(grown.outputs.filter(({ score: known }) => known !== null)).toHaveLength(10);
    // Five endpoints alone, five plain means, five outputs beside them; six were scored before.
    expect(scored).toHaveLength(15 - 6);
    // Another save under the name of one is still another.
    rmSync(join(run, 'checkpoint-400'), { recursive: true });
    writeRun(run, [{ ...entry(400), seed: 99 }]);
    const error = await mergeError(() => scoreGrid({ ...asked400, endpoints: 'all', eval: score, resume: true }));
    expect(error).toMatchObject({ code: 'E_SEARCH_STATE', message: expect.stringContaining('the content of checkpoint-400') });
  });

  it('tell nothing of when their saves were made: no branch is suspected', async () => {
    const hour = 3600;
    for (const step of [100, 200, 300, 400, 500]) {
      const path = join(run, `checkpoint-${step}`);
      for (const name of readdirSync(path)) utimesSync(join(path, name), 1e9 + step * hour, 1e9 + step * hour);
    }
    expect(replace(await strip(asked({ keepSteps: [100, 200] })))).toBe(2);
    expect((await discoverRun(run)).abandoned).toEqual([]);
    const plan = await planRecipe({ inputs: [run], outputs: [{ path: at('mean'), select: { last: 4 } }] });
    expect(plan.warnings.map(({ code }) => code)).not.toContain('W_ABANDONED_BRANCH');
    const named = [300, 400, 500].map((step) => join(run, `checkpoint-${step}`));
    const listed = await planRecipe({ inputs: named, outputs: [{ path: at('mean') }] });
    expect(listed.warnings.map(({ code }) => code)).not.toContain('W_ABANDONED_BRANCH');
  });

  it('are nothing new to a watch', async () => {
    const options = { run, output: at('merges'), select: { last: 3 }, once: true, settle: 0.05, threads: 1 };
    await watch(options);
    writeRun(run, [entry(600)]);
    expect((await watch(options)).merges.map(({ step }) => step)).toEqual([600]);
    replace(await strip(asked()));
    expect((await watch(options)).merges).toEqual([]);
    writeRun(run, [entry(700)]);
    expect((await watch(options)).merges.map(({ step }) => step)).toEqual([700]);
  });
});

describe('what is in the way of copies', () => {
  it('space for some of them: all are asked for at once, and how many fit is said', async () => {
    const plan = await planStrip(asked());
    const free = Math.floor((2.5 * plan.freeBytesNeeded) / 4 / 4096);
    vi.spyOn(SYSTEM.fs, 'statfs').mockImplementation((async (path: string) => ({
      ...(await statfs(path)),
      bavail: free,
      bsize: 4096,
    })) as never);
    const error = await mergeError(() => strip(asked()));
    expect(error).toMatchObject({ code: 'E_NO_SPACE', message: expect.stringContaining('models of 4 saves take') });
    expect(error.help).toContain('`copies` 2 makes as many as fit');
    expect(existsSync(at('copies'))).toBe(false);
    expect((await strip(asked({ copies: 2 }))).copies).toHaveLength(2);
    vi.restoreAllMocks();
  });

  it('a copy that was damaged since is found, and its line is not printed', async () => {
    await strip(asked({ copies: 1 }));
    const file = at('copies', 'checkpoint-100', 'model.safetensors');
    const oracle = execFileSync('sh', [
      '-c',
      `printf '\\377\\377\\377\\377' | dd of=${file} bs=1 seek=$(( $(wc -c < ${file}) - 8 )) conv=notrunc 2>/dev/null`,
    ]);
    expect(oracle.length).toBe(0);
    const error = await mergeError(() => strip(asked()));
    expect(error).toMatchObject({ code: 'E_VERIFY', help: expect.stringContaining(`rm -r -- ${at('copies', 'checkpoint-100')}`) });
  });

  it('a save that is cut short is no save of the plan', async () => {
    truncateSync(join(run, 'checkpoint-300', 'model.safetensors'), 10);
    const { copies, notes } = await planStrip(asked());
    expect(copies.map(({ step }) => step)).toEqual([100, 200, 400]);
    expect(notes.join()).toContain('1 that are incomplete or damaged');
  });

  it.each<[string, () => Partial<StripOptions>, string]>([
    ['the run as the folder of copies', () => ({ output: run }), 'E_OUTPUT_OVERLAPS_INPUT'],
    ['a save as the folder of copies', () => ({ output: join(run, 'checkpoint-100') }), 'E_OUTPUT_OVERLAPS_INPUT'],
    ['no copies at all', () => ({ copies: 0 }), 'E_OPTION'],
    ['half a copy', () => ({ copies: 1.5 }), 'E_OPTION'],
    ['an option of merges', () => ({ alpha: 0.2 }) as Partial<StripOptions>, 'E_OPTION'],
    [
      'a folder of somebody in the place of a copy',
      () => {
        mkdirSync(at('copies', 'checkpoint-200'), { recursive: true });
        writeFileSync(at('copies', 'checkpoint-200', 'mine'), 'x');
        return {};
      },
      'E_OUTPUT_EXISTS',
    ],
  ])('%s is refused, and nothing is touched', async (_, make, code) => {
    const options = make();
    const before = treeOf(dirname(run));
    const error = await mergeError(() => strip(asked(options)));
    expect(error.code).toBe(code);
    // There is no such option here.
    expect(`${error.message} ${error.help}`).not.toMatch(/force/);
    expect(treeOf(dirname(run))).toEqual(before);
  });
});

it('a file of somebody under the name of a copy stays, and its save too; what was set aside is told of', async () => {
  mkdirSync(join(run, '.checkpoint-200.full'));
  writeFileSync(join(run, '.checkpoint-200.full', 'model'), 'whole');
  const before = treeOf(run);
  const report = await strip(asked());
  expect(report.left).toContainEqual(expect.objectContaining({ step: 200, reason: expect.stringContaining('lies in the way') }));
  expect(report.unfinished).toMatchObject([{ path: join(run, 'checkpoint-200'), end: 'leave' }]);
  expect(stripText(report, COLORS)).toContain('checkpoint-200 was set aside as .checkpoint-200.full by a script that was cut short, and ');
  expect(report.copies.map(({ step }) => step)).toEqual([100, 300, 400]);
  expect(treeOf(run)).toEqual(before);
  replace(report);
  expect(names(join(run, '.checkpoint-200.full'))).toEqual(['model']);
  expect(names(join(run, 'checkpoint-200'))).toContain('optimizer.pt');
});

describe('a script that is made anew, after one that was cut short', () => {
  const aside = (step: number) => renameSync(join(run, `checkpoint-${step}`), join(run, `.checkpoint-${step}.full`));
  const holds = (step: number, name: string) => existsSync(join(run, `checkpoint-${step}`, name));

  it('goes on with each save that was set aside, and none is lost', async () => {
    await strip(asked());
    const models = [100, 200, 300, 400].map((step) => readOracle(join(run, `checkpoint-${step}`, 'model.safetensors')));
    for (const step of [100, 200, 300, 400]) aside(step);
    // 100 was moved, 200 waits for its copy, the copy of 300 is another's, that of 400 is gone.
    renameSync(at('copies', 'checkpoint-100'), join(run, 'checkpoint-100'));
    rmSync(at('copies', 'checkpoint-300'), { recursive: true });
    cpSync(at('copies', 'checkpoint-200'), at('copies', 'checkpoint-300'), { recursive: true });
    rmSync(at('copies', 'checkpoint-400'), { recursive: true });
    const options = asked({ windows: ['400steps'], saveEvery: '100steps' });
    expect((await keep({ run, budget: 9, windows: ['400steps'], saveEvery: '100steps' })).notes.join()).toContain(
      'checkpoint-100 was set aside',
    );
    expect((await discoverRun(run)).warnings).toContainEqual(
      expect.objectContaining({ code: 'W_SAVE_ASIDE', message: expect.stringContaining('and so were 3 others') }),
    );
    const report = await strip(options);
    expect(report.unfinished.map(({ step, end }) => [step, end])).toEqual([
      [100, 'finish'],
      [200, 'finish'],
      [300, 'restore'],
      [400, 'restore'],
    ]);
    expect(report.notes.join()).not.toContain('set aside');
    replace(report);
    expect(names(run)).toEqual([100, 200, 300, 400, 500].map((step) => `checkpoint-${step}`));
    expect([100, 200, 300, 400].map((step) => holds(step, 'optimizer.pt'))).toEqual([false, false, true, true]);
    const now = [100, 200, 300, 400].map((step) => readOracle(join(run, `checkpoint-${step}`, 'model.safetensors')));
    expect(now.map((tensors) => tensors.get(MODEL[0].name)!.bytes)).toEqual(models.map((tensors) => tensors.get(MODEL[0].name)!.bytes));
    // What was moved back is stripped by the next.
    rmSync(at('copies', 'checkpoint-300'), { recursive: true });
    expect((await strip(options)).copies.map(({ step }) => step)).toEqual([300, 400]);
  });

  it.each([
    ['another save', () => writeRun(run, [{ ...entry(200), seed: 7 }])],
    ['the copy of another', () => cpSync(at('copies', 'checkpoint-100'), join(run, 'checkpoint-200'), { recursive: true })],
  ])('leaves both where %s is in its place', async (_, there) => {
    await strip(asked());
    aside(200);
    there();
    const before = treeOf(run);
    const report = await strip(asked({ keepSteps: [100, 300, 400] }));
    expect(report.unfinished).toMatchObject([{ step: 200, end: 'leave' }]);
    replace(report);
    expect(treeOf(run)).toEqual(before);
  });

  it('moves files of torch.save back, and leaves those whose copy is there: under that name they are not opened', async () => {
    const files = join(unpackGolden('lightning', folder.path), 'run');
    const options = asked({ run: files, windows: ['5000steps'], atLeast: 1, saveEvery: '10steps' });
    const [name] = names(files).filter((one) => one.endsWith('.ckpt'));
    await strip(options);
    for (const end of ['restore', 'leave']) {
      renameSync(join(files, name!), join(files, `.${name}.full`));
      const copy = names(at('copies'))[0]!;
      if (end === 'leave') renameSync(at('copies', copy), join(files, copy));
      const report = await strip(options);
      expect(report.unfinished).toMatchObject([{ path: join(files, name!), end }]);
      replace(report);
      expect(existsSync(join(files, end === 'leave' ? `.${name}.full` : name!))).toBe(true);
    }
  });
});
