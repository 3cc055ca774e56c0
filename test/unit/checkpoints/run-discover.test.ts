import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { localStore } from '../../../src/base/store/local.ts';
import { discoverRun, isRunFolder } from '../../../src/checkpoints/run/discover.ts';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { safetensorsBytes, temporaryFolder } from '../../support/checkpoints.ts';
import { type RunEntry, steadyEntries, writeHubCache, writeRun, writeTree } from '../../support/run-trees.ts';

const DEMO = fileURLToPath(new URL('../../../demo/runs/', import.meta.url));

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const runOf = (...names: readonly (string | RunEntry)[]) =>
  writeRun(
    join(folder.path, 'run'),
    names.map((entry) => (typeof entry === 'string' ? { name: entry } : entry)),
  );
const stepsOf = (run: Run) => run.checkpoints.map(({ step }) => step);
const reasonsOf = (run: Run) => Object.fromEntries(run.excluded.map(({ path, reason }) => [basename(path), reason]));

async function errorOf(path: string): Promise<MergeError> {
  const error = await discoverRun(path).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
}

describe('what this tool wrote', () => {
  const record = (method: string, ...steps: (number | null)[]) => ({
    method,
    members: steps.map((step) => ({ name: `${step}`, step, weight: 1 })),
  });
  const written = (name: string, document: object) => {
    mkdirSync(join(folder.path, 'run', name), { recursive: true });
    const bytes = safetensorsBytes([{ name: 'a', dtype: 'F32', shape: [2] }], 1, { ckpt_merge: JSON.stringify(document) });
    writeFileSync(join(folder.path, 'run', name, 'model.safetensors'), bytes);
  };

  test('a conversion of one step is that step; a merge, or what was converted from one, is none', async () => {
    written('step-100', record('convert', 100));
    written('step-200', { recipe: record('convert', 200) });
    written('step-300', record('sma', 100, 200));
    written('step-400', record('convert', null));
    written('step-500', record('sma', 500));
    const run = await discoverRun(join(folder.path, 'run'));
    expect(stepsOf(run)).toEqual([100, 200]);
    const merge = 'a merge that this tool wrote';
    expect(reasonsOf(run)).toEqual({ 'step-300': merge, 'step-400': merge, 'step-500': merge });
  });

  test('a conversion beside the step that it was made of is left out', async () => {
    runOf('step-100', 'step-200');
    written('step_100', record('convert', 100));
    const run = await discoverRun(join(folder.path, 'run'));
    expect(run.checkpoints.map(({ name }) => name)).toEqual(['step-100', 'step-200']);
    expect(reasonsOf(run)).toEqual({ step_100: 'a conversion that this tool wrote' });
    expect(run.warnings).toEqual([]);
  });
});

describe('order', () => {
  test.each([
    ['HF Trainer', ['checkpoint-900', 'checkpoint-1000', 'checkpoint-10000'], [900, 1000, 10_000]],
    ['Megatron past its padding', ['iter_9999999', 'iter_10000000', 'iter_0000500'], [500, 9_999_999, 10_000_000]],
    ['nanotron', ['200', '1000', '30'], [30, 200, 1000]],
    ['Lightning', ['epoch=0-step=200', 'epoch=1-step=1000'], [200, 1000]],
    ['Pythia', ['step143000', 'step0', 'step512'], [0, 512, 143_000]],
  ])('%s: by step as an integer, not by name', async (_producer, names, steps) => {
    expect(stepsOf(await discoverRun(runOf(...names)))).toEqual(steps);
  });

  test('by stage, then ingredient, then step; unknown first', async () => {
    const run = await discoverRun(
      runOf(
        'stage2-ingredient2-step10-tokens1B',
        'stage2-ingredient1-step500-tokens2B',
        'stage1-step9000-tokens38B',
        'step77',
        'stage1-step10000-tokens42B',
      ),
    );
    expect(run.checkpoints.map(({ stage, ingredient, step, tokens, tokensFrom }) => [stage, ingredient, step, tokens, tokensFrom])).toEqual(
      [
        [null, null, 77, null, null],
        [1, null, 9000, 38e9, 'name'],
        [1, null, 10_000, 42e9, 'name'],
        [2, 1, 500, 2e9, 'name'],
        [2, 2, 10, 1e9, 'name'],
      ],
    );
  });

  test('.safetensors files named by step are a run too', async () => {
    const source = runOf('a', 'b');
    const files = Object.fromEntries(
      ['a', 'b'].map((name, i) => [`step-${(i + 1) * 1000}.safetensors`, { link: join(source, name, 'model.safetensors') }]),
    );
    const run = await discoverRun(writeTree(join(folder.path, 'files'), { ...files, 'notes.txt': '' }));
    expect(run.checkpoints.map(({ name, step, bytes }) => [name, step, bytes])).toEqual([
      ['step-1000', 1000, 16],
      ['step-2000', 2000, 16],
    ]);
  });
});

describe('what is known of a checkpoint', () => {
  test('bytes and dtypes, the one with the most bytes first', async () => {
    const shards = [
      [{ name: 'a', dtype: 'F32', shape: [3] }],
      [
        { name: 'b', dtype: 'BF16', shape: [50] },
        { name: 'c', dtype: 'I64', shape: [1] },
      ],
    ] as const;
    const run = await discoverRun(runOf({ name: 'checkpoint-1', shards }, 'checkpoint-2'));
    expect(run.checkpoints.map(({ bytes, dtypes }) => [bytes, dtypes])).toEqual([
      [120, ['BF16', 'F32', 'I64']],
      [16, ['BF16']],
    ]);
  });

  test('tokens of the state file win over those of the name; 0 is unknown', async () => {
    const run = await discoverRun(
      runOf(
        { name: 'step1000-tokens4B', step: 1000, tokens: 4_194_304_000 },
        { name: 'step2000-tokens8B', step: 2000, tokens: 0 },
        { name: 'step3000', step: 3000, tokens: 0 },
      ),
    );
    expect(run.checkpoints.map(({ tokens, tokensFrom }) => [tokens, tokensFrom])).toEqual([
      [4_194_304_000, 'state'],
      [8e9, 'name'],
      [null, null],
    ]);
  });

  test('a state file that disagrees with the name is believed, with a warning', async () => {
    const run = await discoverRun(runOf({ name: 'checkpoint-100', step: 150 }, 'checkpoint-120'));
    expect(stepsOf(run)).toEqual([120, 150]);
    expect(run.warnings).toEqual([
      { code: 'W_TRAINER_STATE', message: expect.stringMatching(/says step 150, the folder's name says 100; the file is believed/) },
    ]);
  });

  test('a folder with another name counts when its state file has a step', async () => {
    const run = await discoverRun(runOf({ name: 'epoch-three', step: 300 }, 'checkpoint-200'));
    expect(run.checkpoints.map(({ name, step }) => [name, step])).toEqual([
      ['checkpoint-200', 200],
      ['epoch-three', 300],
    ]);
  });

  test("nanotron's and levanter's state files", async () => {
    const metas = { last_train_step: 1500, consumed_tokens_total: 3_000_000, last_stage_idx: 1, data_stages: [{}, {}] };
    const run = await discoverRun(
      runOf(
        { name: 'a', files: { 'metadata.json': '{"step": 1600, "timestamp": "2026-01-01"}' } },
        { name: 'step-7', files: { 'metadata.json': '{"step": 7, "is_temporary": true}' } },
        { name: '1500', files: { 'checkpoint_metadata.json': JSON.stringify({ version: '1.4', metas }) } },
        {
          name: '1400',
          files: { 'checkpoint_metadata.json': JSON.stringify({ metas: { last_train_step: 1400, data_stages: [{}], last_stage_idx: 0 } }) },
        },
      ),
    );
    expect(run.checkpoints.map(({ stage, step, tokens }) => [stage, step, tokens])).toEqual([
      [null, 1400, null],
      [null, 1600, null],
      [2, 1500, 3_000_000],
    ]);
    expect(reasonsOf(run)).toEqual({ 'step-7': 'ephemeral: the trainer will remove it (metadata.json)' });
    expect(run.warnings).toEqual([]);
  });

  test('many warnings of one kind are counted', async () => {
    const run = await discoverRun(runOf(...Array.from({ length: 8 }, (_, i) => ({ name: `checkpoint-${i}`, step: 100 + i }))));
    expect(run.warnings.map(({ message }) => message).slice(3)).toEqual(['and 5 more of this kind']);
  });
});

describe('log', () => {
  test('comes from the newest state file; loss and rate of a checkpoint are the last before it', async () => {
    const log = [
      { step: 50, loss: 3, learning_rate: 1e-4 },
      { step: 100, loss: 2.5, learning_rate: 2e-4 },
      { step: 100, eval_loss: 9 },
      { step: 120, eval_c4_loss: 3.25, eval_runtime: 1 },
      { step: 150, grad_norm: 4 },
      { step: 200, loss: 2 },
    ];
    const run = await discoverRun(
      runOf({ name: 'checkpoint-120', step: 120 }, { name: 'checkpoint-200', step: 200, log }, 'checkpoint-20'),
    );
    expect(run.log).toEqual([
      { step: 50, loss: 3, learningRate: 1e-4 },
      { step: 100, loss: 2.5, learningRate: 2e-4, evalLoss: 9 },
      { step: 120, loss: null, learningRate: null, evalLoss: 3.25 },
      { step: 200, loss: 2, learningRate: null },
    ]);
    // An evaluation is of its own step.
    expect(run.checkpoints.map(({ loss, learningRate, evalLoss }) => [loss, learningRate, evalLoss])).toEqual([
      [null, null, null],
      [2.5, 2e-4, 3.25],
      [2, 2e-4, null],
    ]);
  });

  test('a loss that was no number, however a trainer writes that', async () => {
    const state = (lines: string) => `{"global_step": 20, "log_history": [${lines}]}`;
    const lines = [
      '{"step": 1, "loss": NaN}',
      '{"step": 2, "loss": "nan"}',
      '{"step": 3, "loss": {"__float__": "Infinity"}}',
      // The Trainer's filter of such losses leaves 0.
      '{"step": 4, "loss": 0.0, "grad_norm": NaN}',
      '{"step": 5, "loss": 0.0, "grad_norm": "inf"}',
      // A step that FP16 passed over, a loss that is 0, and one that nobody measured.
      '{"step": 6, "loss": 2.5, "grad_norm": Infinity}',
      '{"step": 7, "loss": 0.0, "grad_norm": 0.5}',
      '{"step": 8, "loss": null, "learning_rate": 0.5}',
    ];
    const run = await discoverRun(runOf({ name: 'checkpoint-20', state: state(lines.join(', ')) }));
    const lost = Number.POSITIVE_INFINITY;
    expect(run.log.map(({ loss }) => loss)).toEqual([lost, lost, lost, lost, lost, 2.5, 0, null]);
  });

  test.each([
    ['every line had a loss', false, 1],
    ['losses are logged now and then', true, 0],
  ])('null is a loss that was NaN where %s', async (_, sparse, lost) => {
    const lines = Array.from({ length: 30 }, (_, i) => {
      const measured = sparse ? i % 5 === 0 : i !== 20;
      return `{"step": ${i}, "loss": ${measured ? 2 : null}, "learning_rate": 0.5}`;
    });
    const state = `{"global_step": 30, "log_history": [${lines.join(', ')}]}`;
    const { log } = await discoverRun(runOf({ name: 'checkpoint-30', state }));
    expect(log.filter(({ loss }) => loss === Number.POSITIVE_INFINITY)).toHaveLength(lost);
  });

  test('a rate of 0 between two that are alike is that of a step that was passed over', async () => {
    const rates = [0, 0.25, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0.05, 0.25, 0];
    const lines = rates.map((rate, i) => `{"step": ${i}, "loss": 2, "learning_rate": ${rate}}`);
    const state = `{"global_step": 11, "log_history": [${lines.join(', ')}]}`;
    const run = await discoverRun(runOf({ name: 'checkpoint-11', state }));
    expect(run.log.map(({ learningRate }) => learningRate)).toEqual(
      rates
        .with(4, -1)
        .with(5, -1)
        .map((rate) => (rate < 0 ? null : rate)),
    );
  });

  test('an older state file fills in what a resumed run forgot', async () => {
    const entry = (step: number, logged: readonly number[]) => ({
      name: `checkpoint-${step}`,
      step,
      log: logged.map((at) => ({ step: at, loss: step + at / 1000 })),
    });
    const run = await discoverRun(
      runOf(entry(100, [50, 100]), entry(200, [50, 100, 150, 200]), entry(300, [250, 300]), entry(400, [250, 300, 350, 400])),
    );
    expect(run.log.map(({ step, loss }) => [step, loss])).toEqual([
      [50, 200.05],
      [100, 200.1],
      [150, 200.15],
      [200, 200.2],
      [250, 400.25],
      [300, 400.3],
      [350, 400.35],
      [400, 400.4],
    ]);
  });

  test('NaN, as Python writes it, is an infinite loss and no error', async () => {
    const state =
      '{"global_step": 20, "log_history": [{"step": 10, "loss": NaN, "grad_norm": Infinity, "learning_rate": 0.1}, {"step": 20, "loss": 1.5}]}';
    const run = await discoverRun(runOf({ name: 'checkpoint-20', state }));
    expect(run.log).toEqual([
      { step: 10, loss: Number.POSITIVE_INFINITY, learningRate: 0.1 },
      { step: 20, loss: 1.5, learningRate: null },
    ]);
    expect(run.warnings).toEqual([]);
  });

  test('a state file with a log of megabytes gives the same step and tokens as a short one', async () => {
    const log = Array.from({ length: 3000 }, (_, i) => ({ step: i, loss: 2, num_input_tokens_seen: 7 }));
    const run = await discoverRun(
      runOf(
        { name: 'a', step: 3000, tokens: 123_456, log },
        { name: 'b', step: 4000, log },
        // Not as the Trainer sorts it: the log first.
        { name: 'c', state: JSON.stringify({ log_history: log, global_step: 5000, num_input_tokens_seen: 99 }, null, 2) },
        { name: 'd', step: 6000, tokens: 5, log, state: { stateful_callbacks: { note: 'x'.repeat(40_000) } } },
        { name: 'checkpoint-7000', state: `${JSON.stringify({ global_step: 7000, log_history: log }, null, 2).slice(0, -3)}` },
      ),
    );
    expect(run.checkpoints.map(({ step, tokens }) => [step, tokens])).toEqual([
      [3000, 123_456],
      [4000, null],
      [5000, 99],
      [6000, 5],
      [7000, null],
    ]);
    expect(run.warnings).toEqual([
      { code: 'W_TRAINER_STATE', message: expect.stringContaining('checkpoint-7000/trainer_state.json: cannot be read') },
    ]);
  });

  test.each(readdirSync(DEMO).filter((name) => !name.startsWith('.')))('demo run %s', async (name) => {
    const run = await discoverRun(join(DEMO, name));
    expect(stepsOf(run)).toEqual(
      readdirSync(join(DEMO, name))
        .map((entry) => Number(entry.split('-')[1]))
        .sort((a, b) => a - b),
    );
    expect([run.excluded, run.warnings]).toEqual([[], []]);
    for (const checkpoint of run.checkpoints) {
      expect(checkpoint).toMatchObject({
        tokensFrom: 'state',
        tokens: checkpoint.step! * 1024,
        loss: expect.any(Number),
        learningRate: expect.any(Number),
      });
    }
  });
});

describe('left out, with the reason', () => {
  test('incomplete ones, by what is missing', async () => {
    const two = { shards: [[{ name: 'a', dtype: 'BF16', shape: [4] }], [{ name: 'b', dtype: 'BF16', shape: [4] }]] } as const;
    const run = runOf(
      'checkpoint-1',
      { name: 'checkpoint-2', ...two },
      { name: 'checkpoint-3', ...two },
      { name: 'checkpoint-4', ...two },
      { name: 'checkpoint-5' },
      { name: 'checkpoint-8', ...two },
    );
    writeTree(run, { 'checkpoint-6/': '', 'checkpoint-7/config.json': '{}' });
    rmSync(join(run, 'checkpoint-2/model-00002-of-00002.safetensors'));
    truncateSync(join(run, 'checkpoint-3/model-00001-of-00002.safetensors'), 70);
    for (const step of [4, 8]) rmSync(join(run, `checkpoint-${step}/model.safetensors.index.json`));
    rmSync(join(run, 'checkpoint-4/model-00001-of-00002.safetensors'));
    truncateSync(join(run, 'checkpoint-5/model.safetensors'), 0);
    const found = await discoverRun(run);
    expect(stepsOf(found)).toEqual([1, 8]);
    expect(found.excluded.map(({ step }) => step)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(reasonsOf(found)).toEqual({
      'checkpoint-2': 'incomplete: model-00002-of-00002.safetensors: model.safetensors.index.json names this shard, and it is not there',
      'checkpoint-3': expect.stringMatching(/^incomplete: model-00001-of-00002.safetensors, byte 70: /),
      'checkpoint-4': 'incomplete: model-00001-of-00002.safetensors: this shard is not there: the folder holds 1 of 2 shards, and no index',
      'checkpoint-5': expect.stringMatching(/^incomplete: model.safetensors, byte 0: /),
      'checkpoint-6': 'incomplete: the folder is empty',
      'checkpoint-7': 'incomplete: the folder holds no safetensors file',
    });
    expect(found.broken.map(({ step }) => step)).toEqual([2, 3, 4, 5, 6, 7]);
  });

  test('what ought to be a checkpoint is told from what is left out on purpose', async () => {
    const run = runOf(
      ...['checkpoint-10', 'checkpoint-20', 'checkpoint-30', 'stage2-step40-tokens4B', 'step10-ema', 'step20-merged', 'final'],
      ...['checkpoint-last', 'tmp-checkpoint-70', 'tmp-checkpoint-10', '.checkpoint-90.partial-1'],
    );
    writeTree(run, { 'checkpoint-50': { link: 'nowhere' }, 'step-60.pt': 'PK', 'step-10.pt': 'PK', 'logs/x': '' });
    rmSync(join(run, 'stage2-step40-tokens4B/model.safetensors'));
    const { open } = localStore;
    vi.spyOn(localStore, 'open').mockImplementation((path, known) => {
      const failure = path.includes('checkpoint-20/model') ? 'E_NOT_READABLE' : path.includes('checkpoint-30/model') ? 'E_IO' : null;
      if (failure === null) return open(path, known);
      throw new MergeError(failure, `${path}: ${failure === 'E_IO' ? 'EIO from read' : 'permission denied'}`);
    });
    try {
      const found = await discoverRun(run);
      expect(stepsOf(found)).toEqual([10]);
      expect(found.broken.map(({ name, step, stage, tokens, reason }) => [name, step, stage, tokens, reason])).toEqual([
        ['checkpoint-20', 20, null, null, 'not usable: model.safetensors: permission denied'],
        ['checkpoint-30', 30, null, null, 'not usable: model.safetensors: EIO from read'],
        ['checkpoint-50', 50, null, null, 'a link to nothing'],
        ['step-60', 60, null, null, expect.stringContaining('step-60.pt: 2 bytes are too few for an archive')],
        ['tmp-checkpoint-70', 70, null, null, expect.stringContaining('temporary')],
        ['stage2-step40-tokens4B', 40, 2, 4e9, expect.stringContaining('incomplete')],
      ]);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test('copies, averages, merges and unfinished saves, by their names', async () => {
    const run = await discoverRun(
      runOf(
        'checkpoint-10',
        'checkpoint-last',
        'step10-ema',
        'step10-merged',
        'tmp-checkpoint-20',
        '.checkpoint-30',
        'final',
        '.checkpoint-40.partial-12',
      ),
    );
    expect(stepsOf(run)).toEqual([10]);
    expect(reasonsOf(run)).toEqual({
      'checkpoint-last': expect.stringContaining('newest'),
      'step10-ema': expect.stringContaining('EMA'),
      'step10-merged': expect.stringContaining('merge'),
      'tmp-checkpoint-20': expect.stringContaining('temporary'),
      '.checkpoint-30': 'hidden',
      '.checkpoint-40.partial-12': expect.stringContaining('temporary'),
      final: 'no step: neither its name nor a state file gives one',
    });
  });

  test('a copy that was put aside stands for its step only where nothing else does, and then is missed', async () => {
    const aside = ['.bak', '.old', '~', '-copy', ' (1)', '_(2)', ' copy 2', '.bak1'];
    for (const [i, ending] of aside.entries()) {
      const entries = [{ name: 'checkpoint-10' }, { name: 'checkpoint-20' }, { name: `checkpoint-20${ending}`, step: 20 }];
      const [beside, alone] = [`beside-${i}`, `alone-${i}`];
      writeRun(join(folder.path, beside), entries);
      writeRun(join(folder.path, alone), [entries[0]!, entries[2]!]);
      const [there, missing] = [await discoverRun(join(folder.path, beside)), await discoverRun(join(folder.path, alone))];
      expect([stepsOf(there), there.broken, there.warnings]).toEqual([[10, 20], [], []]);
      expect([stepsOf(missing), missing.broken.map(({ step, reason }) => [step, reason])]).toEqual([
        [10],
        [[20, 'a copy that was put aside, by its name']],
      ]);
    }
  });

  test('what is called the last is a copy of the newest, unless its state says that it is newer', async () => {
    for (const name of ['last', 'checkpoint-last']) {
      const at = (folderName: string, step: number | undefined) =>
        writeRun(
          join(folder.path, `${name}-${folderName}`),
          ['checkpoint-10', 'checkpoint-20', name].map((own) => ({ name: own, ...(own === name && step !== undefined && { step }) })),
        );
      for (const same of [await discoverRun(at('same', 20)), await discoverRun(at('unknown', undefined))]) {
        expect([stepsOf(same), reasonsOf(same), same.warnings]).toEqual([
          [10, 20],
          { [name]: 'a copy of the newest checkpoint, by its name' },
          [],
        ]);
      }
      const run = at('newer', 25);
      const newer = await discoverRun(run);
      expect(newer.checkpoints.map((checkpoint) => [checkpoint.name, checkpoint.step])).toEqual([
        ['checkpoint-10', 10],
        ['checkpoint-20', 20],
        [name, 25],
      ]);
      truncateSync(join(run, name, 'model.safetensors'));
      expect((await discoverRun(run)).broken.map((broken) => [broken.name, broken.step])).toEqual([[name, 25]]);
    }
  });

  test('a model in the folder of the run is missed where its state says that it is newer', async () => {
    const run = runOf('checkpoint-10', 'checkpoint-20');
    const own = async (step: number | null) => {
      writeRun(folder.path, [{ name: 'run', ...(step !== null && { step }) }]);
      return (await discoverRun(run)).broken.map((broken) => [broken.step, broken.path === run, broken.reason]);
    };
    expect([await own(null), await own(20), await own(10)]).toEqual([[], [], []]);
    expect(await own(25)).toEqual([[25, true, expect.stringMatching(/where trainer_state.json says step 25: name it beside the others/)]]);
  });

  test.each(['run-step', 'llama-1b-step', 'epoch_', 'main_step_', 'v1-checkpoint-'])(
    'names that say a step together (%sN)',
    async (name) => {
      const run = runOf(...[20, 40, 100].map((step) => `${name}${step}`), 'logs');
      rmSync(join(run, 'logs', 'model.safetensors'));
      rmSync(join(run, `${name}100`, 'model.safetensors'));
      const { checkpoints, broken } = await discoverRun(run);
      expect(checkpoints.map((checkpoint) => [checkpoint.name, checkpoint.step])).toEqual([20, 40].map((step) => [`${name}${step}`, step]));
      expect(broken.map(({ step }) => step)).toEqual([100]);
      expect(await isRunFolder(run)).toBe(true);
    },
  );

  test('a step of a state file goes before an epoch in the name, and is no order with others', async () => {
    const run = runOf({ name: 'epoch_1', step: 500 }, { name: 'epoch_2', step: 1000 });
    expect(await discoverRun(run)).toMatchObject({ checkpoints: [{ step: 500 }, { step: 1000 }], warnings: [] });
    writeRun(run, [{ name: 'epoch_3' }]);
    expect(reasonsOf(await discoverRun(run))).toEqual({ epoch_3: 'no step: neither its name nor a state file gives one' });
  });

  test('folders named by epochs that hold runs are no checkpoints', async () => {
    const run = runOf('epoch_0/step_10', 'epoch_1/step_10');
    expect(await isRunFolder(run)).toBe(false);
    expect((await errorOf(run)).message).toContain('2 runs: epoch_0, epoch_1');
  });

  test('epochs in which steps begin anew are all there', async () => {
    const run = await discoverRun(runOf('epoch_1_step_100', 'epoch_0_step_200', 'epoch_0_step_100'));
    expect(run.checkpoints.map(({ stage, epoch, step }) => [stage, epoch, step])).toEqual([
      [null, 0, 100],
      [null, 0, 200],
      [null, 1, 100],
    ]);
    expect(run.warnings).toEqual([]);
  });

  test('steps that state files count on are those, and no epoch is needed', async () => {
    const names = ['epoch_0_step_100', 'epoch_0_step_200', 'epoch_1_step_100', 'epoch_1_step_200'];
    const run = await discoverRun(runOf(...names.map((name, i) => ({ name, step: (i + 1) * 100 }))));
    expect(run.checkpoints.map(({ epoch, step }) => [epoch, step])).toEqual([100, 200, 300, 400].map((step) => [undefined, step]));
    expect(run.warnings).toEqual([]);
  });

  test.each([
    ['a step of its own', 'step5', []],
    ['a copy', 'llama-best-step20', []],
    ['another training in between', 'llama-resumed-step25', []],
    ['a newer one of another form', 'llama-resumed-step45', ['W_LEFT_OUT_MEMBERS']],
  ])('what is named in another form than the others: %s', async (_what, other, warnings) => {
    const run = await discoverRun(runOf('llama-step10', 'llama-step20', 'llama-step30', other));
    expect(stepsOf(run)).toEqual([10, 20, 30]);
    expect(reasonsOf(run)).toEqual({ [other]: 'named in another form than the 3 that are taken (llama-step*)' });
    expect(run.warnings.map(({ code }) => code)).toEqual(warnings);
  });

  test('of two trainings that are as long each is named by a pattern; of others the longest is taken, and that is said', async () => {
    const even = runOf('v1-step10', 'v1-step20', 'v2-step10', 'v2-step20');
    expect(await errorOf(even)).toMatchObject({
      code: 'E_NO_RUN',
      help: `Name those of one training, with a pattern: ${even}/v1-step* or ${even}/v2-step*`,
    });
    const longer = await discoverRun(runOf('v1-step10', 'v1-step20', 'v2-step10', 'v2-step20', 'v2-step30'));
    expect(longer.checkpoints.map(({ name }) => name)).toEqual(['v2-step10', 'v2-step20', 'v2-step30']);
    expect(longer.warnings.map(({ code }) => code)).toEqual(['W_LEFT_OUT_MEMBERS']);
  });

  test('of trainers that save by steps and by epochs the steps are read, without a word', async () => {
    const run = await discoverRun(runOf('step_100', 'step_200', 'step_300', 'epoch_0', 'epoch_1'));
    expect([stepsOf(run), run.warnings]).toEqual([[100, 200, 300], []]);
  });

  test.each([
    [['epoch_0', 'epoch_1', 'epoch_2_tmp'], { epoch: 2, step: 2 }],
    [['epoch_0_step_100', 'epoch_0_step_200', 'epoch_1_step_100', 'epoch_1_step_200_tmp'], { epoch: 1, step: 200 }],
    [['checkpoint-100', 'checkpoint-200', 'epoch_2_tmp'], undefined],
  ])('a save in progress of an epoch is one of the run where epochs count: %j', async (names, lost) => {
    const { broken } = await discoverRun(runOf(...names));
    expect(broken).toMatchObject(lost === undefined ? [] : [{ name: names.at(-1), ...lost }]);
  });

  test('epochs in which the checkpoint lies deeper', async () => {
    const { checkpoints } = await discoverRun(runOf('epoch_0/hf', 'epoch_1/hf'));
    expect(checkpoints.map(({ epoch, step }) => [epoch, step])).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });

  test.each([
    [1, 'Wait for its save to end, or mend'],
    [2, 'Mend'],
  ])('where none of %i can be used a save is in progress at most in one', async (count, help) => {
    const run = runOf(...['checkpoint-10', 'checkpoint-20'].slice(0, count));
    for (const name of readdirSync(run)) rmSync(join(run, name, 'model.safetensors'));
    expect((await errorOf(run)).help).toContain(`${help} what is named`);
  });

  test.each(['release_', 'seed1-', 'tokens_'])('names that are not understood (%sN): how to go on', async (name) => {
    const run = runOf(...[20, 40, 100].map((step) => `${name}${step}`));
    expect((await errorOf(run)).help).toBe(
      `Name the checkpoints one by one, oldest first (${run}/${name}20 ${run}/${name}40 …), or give them names such as checkpoint-100.`,
    );
  });

  test('a folder that holds training state alone is no checkpoint of PyTorch', async () => {
    const run = runOf('checkpoint-10', 'checkpoint-20', 'checkpoint-30');
    for (const [name, state] of [
      ['checkpoint-20', 'optimizer.pt'],
      ['checkpoint-30', 'rng_state_0.pth'],
    ] as const) {
      rmSync(join(run, name, 'model.safetensors'));
      writeTree(join(run, name), { [state]: '', 'training_args.bin': '' });
    }
    const reason = (state: string) => `incomplete: the folder holds the state of the training (${state}, training_args.bin) and no weights`;
    expect(reasonsOf(await discoverRun(run))).toEqual({
      'checkpoint-20': reason('optimizer.pt'),
      'checkpoint-30': reason('rng_state_0.pth'),
    });
  });

  test('what has nothing to do with checkpoints is passed over', async () => {
    const run = runOf('checkpoint-10');
    writeTree(run, {
      'logs/events.out.tfevents.1': '',
      'wandb/run-1/files/config.yaml': '',
      '.git/HEAD': '',
      '.cache/huggingface/x': '',
      'README.md': '',
    });
    expect((await discoverRun(run)).excluded).toEqual([]);
  });

  test('ephemeral ones, which the trainer will remove', async () => {
    const run = await discoverRun(
      runOf(
        'step100',
        { name: 'step150', files: { '.metadata.json': '{"ephemeral": true}' } },
        { name: 'step200', files: { '.metadata.json': '{"ephemeral": false}' } },
      ),
    );
    expect(stepsOf(run)).toEqual([100, 200]);
    expect(reasonsOf(run)).toEqual({ step150: 'ephemeral: the trainer will remove it (.metadata.json)' });
  });

  test('links to what is there already; links to elsewhere are checkpoints', async () => {
    const elsewhere = writeRun(join(folder.path, 'disk2'), [{ name: 'checkpoint-30' }]);
    const run = runOf('checkpoint-10', 'checkpoint-20');
    writeTree(run, {
      latest: { link: 'checkpoint-20' },
      'checkpoint-30': { link: join(elsewhere, 'checkpoint-30') },
      'newest-30': { link: join(elsewhere, 'checkpoint-30') },
      'checkpoint-40': { link: 'nowhere' },
    });
    const found = await discoverRun(run);
    expect(stepsOf(found)).toEqual([10, 20, 30]);
    expect(reasonsOf(found)).toMatchObject({
      latest: 'a link to checkpoint-20',
      'newest-30': 'a link to checkpoint-30',
      'checkpoint-40': 'a link to nothing',
    });
  });

  test('a second one at the same step: the one named by the step is kept', async () => {
    const run = await discoverRun(runOf({ name: 'best', step: 20 }, 'checkpoint-10', 'checkpoint-20', 'step20'));
    expect(run.checkpoints.map(({ name }) => name)).toEqual(['checkpoint-10', 'checkpoint-20']);
    expect(reasonsOf(run)).toEqual({
      best: 'at the same step as checkpoint-20, which is kept',
      step20: 'at the same step as checkpoint-20, which is kept',
    });
    expect(run.warnings.map(({ code }) => code)).toEqual(['W_SAME_STEP']);
    expect(run.warnings[0]!.message).toMatch(/step20 is left out: .* and so is best, at steps of others$/);
  });

  test('the final model that the Trainer saves beside its checkpoints', async () => {
    const run = runOf(...steadyEntries(2));
    writeRun(folder.path, [{ name: 'run' }]);
    const found = await discoverRun(run);
    expect(stepsOf(found)).toEqual([100, 200]);
    expect(found.excluded).toEqual([{ path: run, step: null, reason: expect.stringContaining('run itself') }]);
  });
});

test.each([
  [
    'Megatron mp_rank',
    { 'mp_rank_00_000/model_optim_rng.pt': '', 'mp_rank_00_001/model_optim_rng.pt': '' },
    '`--ckpt-convert-format torch_dist` of Megatron-LM',
  ],
  [
    'DeepSpeed ZeRO 3',
    { 'zero_pp_rank_0_mp_rank_00_model_states.pt': '', 'bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt': '' },
    'zero_to_fp32.py',
  ],
  ['DeepSpeed universal', { 'mp_rank_00_model_states.pt': '', 'zero/norm.weight/fp32.pt': '' }, 'ds_to_universal.py'],
  ['Llama in parts', { 'consolidated.00.pth': '', 'consolidated.01.pth': '' }, 'convert_llama_weights_to_hf.py'],
  ['GGUF', { 'model-Q8_0.gguf': '' }, 'gguf_file'],
  ['NumPy', { 'weights.npz': '' }, 'safetensors.numpy'],
  ['torch.save in files', { 'a.pt': '', 'b.pt': '' }, 'save_file'],
  [
    'DeepSpeed inside the Trainer',
    { 'global_step100/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt': '', 'trainer_state.json': '{}' },
    'zero_to_fp32.py',
  ],
  ['GPT-NeoX', { 'layer_00-model_00-model_states.pt': '', 'mp_rank_00_model_states.pt': '' }, 'convert_neox_to_hf.py'],
  ['Orbax', { _CHECKPOINT_METADATA: '', 'items/_METADATA': '' }, 'MaxText'],
  ['levanter', { 'metadata.json': '{"step":100}', 'model/.zarray': '' }, 'export_lm_to_hf'],
])('%s is recognised, and its converter named', async (_format, files, converter) => {
  const tree = (name: string) => Object.fromEntries(Object.entries(files).map(([file, text]) => [`${name}/${file}`, text]));
  const run = writeTree(join(folder.path, 'run'), { ...tree('step100'), ...tree('step200') });
  const error = await errorOf(run);
  expect(error).toMatchObject({ code: 'E_NO_RUN', exitCode: 3 });
  expect(error.message).toMatch(/none of its checkpoints can be used; all 2: .*, which is not read; convert it with /);
  expect(error.message).toContain(converter);
  writeRun(run, [{ name: 'step300' }]);
  expect(reasonsOf(await discoverRun(run)).step100).toContain(converter);
});

test.each([
  ['torchtitan', { '.metadata': 'X', '__0_0.distcp': '' }, '.metadata'],
  ['OLMo-core', { 'model_and_optim/.metadata': '', 'model_and_optim/__0_0.distcp': '', 'train/rank0.pt': '' }, 'model_and_optim/.metadata'],
  ['Megatron torch_dist', { '.metadata': '', '__0_0.distcp': '', 'metadata.json': '{"sharded_backend": "torch_dist"}' }, '.metadata'],
  ['NeMo 2', { 'weights/.metadata': '', 'weights/metadata.json': '{"sharded_backend": "torch_dist"}' }, 'weights/.metadata'],
  ['DeepSpeed', { 'mp_rank_00_model_states.pt': '', 'zero_pp_rank_0_mp_rank_00_optim_states.pt': '' }, 'mp_rank_00_model_states.pt'],
  ['accelerate', { 'pytorch_model_fsdp_0/.metadata': '', 'pytorch_model_fsdp_0/__0_0.distcp': '' }, 'pytorch_model_fsdp_0/.metadata'],
  ['verl', { 'actor/model_world_size_1_rank_0.pt': '' }, 'actor/model_world_size_1_rank_0.pt'],
  ['.bin', { 'pytorch_model.bin': '', 'config.json': '{}' }, 'pytorch_model.bin'],
  ['.pt', { 'model.pt': '', 'optimizer.pt': '' }, 'model.pt'],
  ['Megatron-LM of one rank', { 'mp_rank_00/model_optim_rng.pt': '' }, 'mp_rank_00/model_optim_rng.pt'],
  ['Llama in one part', { 'consolidated.00.pth': '', 'params.json': '{}' }, 'consolidated.00.pth'],
])('%s is read; a file of it that is not what it should be is named', async (_format, files, broken) => {
  const tree = (name: string) => Object.fromEntries(Object.entries(files).map(([file, text]) => [`${name}/${file}`, text]));
  const run = writeTree(join(folder.path, 'run'), { ...tree('step100'), ...tree('step200') });
  const error = await errorOf(run);
  expect(error).toMatchObject({ code: 'E_NO_RUN', exitCode: 3 });
  expect(error.message).toMatch(/none of its checkpoints can be used; all 2: (not usable|incomplete): /);
  expect(error.message).toContain(broken);
  writeRun(run, [{ name: 'step300' }]);
  expect(reasonsOf(await discoverRun(run)).step100).toContain(broken);
});

describe("the Hub's cache", () => {
  const revisions = ['main', 'stage1-step2000-tokens8B', 'stage1-step1000-tokens4B', 'stage2-ingredient1-step50-tokens1B'];

  test('snapshots stand where their revisions say', async () => {
    const repository = writeHubCache(
      folder.path,
      'allenai/OLMo',
      revisions.map((name) => ({ name })),
    );
    writeTree(repository, { 'refs/stage1-step2000': '0'.repeat(39).concat('2\n') });
    for (const path of [repository, join(repository, 'snapshots')]) {
      const run = await discoverRun(path);
      expect(run.checkpoints.map(({ name, stage, ingredient, step, tokens }) => [name, stage, ingredient, step, tokens])).toEqual([
        ['stage1-step1000-tokens4B', 1, null, 1000, 4e9],
        ['stage1-step2000', 1, null, 2000, null],
        ['stage2-ingredient1-step50-tokens1B', 2, 1, 50, 1e9],
      ]);
      expect(run.excluded.map(({ reason }) => reason)).toEqual(['no step: neither its name nor a state file gives one']);
      expect(await isRunFolder(path)).toBe(true);
    }
  });

  test('a download that is not complete', async () => {
    const repository = writeHubCache(
      folder.path,
      'a/b',
      ['step1', 'step2'].map((name) => ({ name })),
    );
    rmSync(join(repository, 'blobs', '2'.padStart(40, '0')), { recursive: true });
    const run = await discoverRun(repository);
    expect(stepsOf(run)).toEqual([1]);
    expect(run.excluded).toEqual([{ path: expect.stringContaining('snapshots'), step: 2, reason: expect.stringContaining('incomplete') }]);
  });
});

describe('no run', () => {
  test.each([
    ['empty', {}, /the folder is empty/, /checkpoint-1000/],
    [
      'something else',
      { 'a.txt': '', 'b/c': '', 'd/': '', 'e/': '', 'f/': '', 'g/': '' },
      /it holds a.txt, b, d, e, f and 1 more/,
      /step folders/,
    ],
    ['a level too high', { 'out/checkpoint-10/config.json': '', 'logs/': '' }, /holds no checkpoints/, /name .*run\/out/],
    [
      'nothing complete',
      { 'checkpoint-1/': '', 'checkpoint-2/config.json': '{}' },
      /none of its 2 checkpoints can be used:\n {2}checkpoint-1: incomplete: the folder is empty\n {2}checkpoint-2: inc/,
      /step folders/,
    ],
    ['only one, and empty', { 'checkpoint-1/': '' }, /none of its checkpoints can be used; checkpoint-1: incomplete/, /step folders/],
  ])('%s', async (_what, files, message, help) => {
    const error = await errorOf(writeTree(join(folder.path, 'run'), files));
    expect(error.code).toBe('E_NO_RUN');
    expect(error.message).toMatch(message);
    expect(error.help).toMatch(help);
  });

  test('a checkpoint, a file, nothing', async () => {
    const run = runOf('checkpoint-10');
    expect(await errorOf(join(run, 'checkpoint-10'))).toMatchObject({
      code: 'E_NO_RUN',
      message: expect.stringContaining('is a checkpoint itself'),
      help: expect.stringContaining(run),
    });
    expect(await errorOf(join(run, 'checkpoint-10/config.json'))).toMatchObject({
      code: 'E_NO_RUN',
      message: expect.stringContaining('is not a folder'),
    });
    expect(await errorOf(join(run, 'nowhere'))).toMatchObject({ code: 'E_NOT_FOUND' });
  });

  test('a checkpoint is not left out for what passes: the merge would be another one', async () => {
    const run = runOf('checkpoint-10', 'checkpoint-20');
    const { open } = localStore;
    vi.spyOn(localStore, 'open').mockImplementation((path, known) => {
      if (!path.includes('checkpoint-20/model')) return open(path, known);
      throw new MergeError('E_TEMPORARY', `${path}: stale file handle (ESTALE from open)`);
    });
    try {
      expect(await errorOf(run)).toMatchObject({ code: 'E_TEMPORARY', message: expect.stringContaining('checkpoint-20/model') });
    } finally {
      vi.restoreAllMocks();
    }
  });

  test('an abort ends it with its reason', async () => {
    const run = runOf('checkpoint-10');
    await expect(discoverRun(run, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});

test('which folders are runs', async () => {
  const run = runOf('checkpoint-10');
  const tree = writeTree(folder.path, {
    'megatron/latest_checkpointed_iteration.txt': '100',
    'other/logs/x': '',
    'foreign/iter_0000100/common.pt': '',
  });
  const answers = ['run', 'run/checkpoint-10', 'run/checkpoint-10/model.safetensors', 'megatron', 'other', 'foreign', 'nowhere'].map(
    (path) => isRunFolder(join(tree, path)),
  );
  expect(await Promise.all(answers)).toEqual([true, false, false, true, false, true, false]);
  writeRun(folder.path, [{ name: basename(run) }]);
  expect(await isRunFolder(run)).toBe(false);
});
