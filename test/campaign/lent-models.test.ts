import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  cpSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { forecast } from '../../src/search/forecast/forecast.ts';
import { search } from '../../src/search/optimise/search.ts';
import { soup } from '../../src/search/optimise/soup.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { weightsIn } from '../support/model-weights.ts';
import { writeRun } from '../support/run-trees.ts';
import { mergeError } from '../support/safetensors.ts';
import { systemTool } from '../support/system-tool.ts';
import { weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
let count = 0;
const place = () => join(temporary.path, `place-${count++}`);
const freshRun = (checkpoints = 3) => weightedRun(join(place(), 'run'), checkpoints);
const goal = 'maximize' as const;
const distance = (weights: readonly number[]) => 1 - weights.reduce((sum, w, i) => sum + (w - i / 3) ** 2, 0);
const tidy = async (model: string) => {
  const score = distance(weightsIn(model));
  rmSync(model, { recursive: true });
  return score;
};
/** Every file of a run, with its bytes and its time. */
const contents = (run: string) =>
  readdirSync(run, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => [
      name,
      statSync(join(run, name)).isFile() ? readFileSync(join(run, name), 'latin1') : null,
      statSync(join(run, name)).mtimeMs,
    ]);

describe('an evaluator that removes its model', () => {
  it('takes nothing from the run, from other trials or from repeats', async () => {
    const run = freshRun();
    const before = contents(run);
    const made = await soup({ inputs: [run], goal, eval: tidy, dir: place() });
    expect(made.trials.every(({ status }) => status === 'complete')).toBe(true);
    const found = await search({ inputs: [run], select: { last: 2 }, goal, eval: tidy, trials: 3, repeats: 3, parallel: 3, dir: place() });
    expect(found.trials.filter(({ status }) => status === 'complete')).toHaveLength(found.trials.length);
    // One merge a recipe: repeats are of the same.
    expect(found.merges).toBeLessThan(found.trials.length / 2);
    await forecast({ inputs: [run], window: 2, goal, eval: tidy, dir: place() });
    expect(contents(run)).toEqual(before);
  });

  it('leaves the merges that are to be kept', async () => {
    const work = place();
    const { merges } = await search({
      inputs: [freshRun()],
      select: { last: 2 },
      goal,
      eval: tidy,
      trials: 3,
      dir: place(),
      work,
      keep: true,
    });
    const [folder] = readdirSync(work);
    expect(readdirSync(join(work, folder!)).map((name) => name.replace(/-[0-9a-f]+$/, ''))).toEqual(
      Array.from({ length: merges }, (_, i) => `trial-000${i + 1}`),
    );
  });
});

describe.runIf(process.getuid?.() === 0)('an evaluator that leaves files of another user, as a container does', () => {
  it('is warned of, and the search goes on to its end', async () => {
    const run = freshRun(2);
    const dir = place();
    mkdirSync(dir);
    const nobody = 65534;
    for (const name of [temporary.path, dirname(dir), dir]) chownSync(name, nobody, nobody);
    const foreign = async (model: string) => {
      const score = distance(weightsIn(model));
      process.seteuid!(0);
      mkdirSync(join(model, '__pycache__'));
      writeFileSync(join(model, '__pycache__/x'), '');
      process.seteuid!(nobody);
      return score;
    };
    process.seteuid!(nobody);
    try {
      const { trials, warnings } = await search({ inputs: [run], goal, eval: foreign, trials: 3, dir, work: dir });
      expect(trials.every(({ status }) => status === 'complete')).toBe(true);
      expect(new Set(warnings.map(({ code }) => code))).toEqual(new Set(['W_NOT_REMOVED']));
    } finally {
      process.seteuid!(0);
    }
  });
});

describe('an evaluator that writes into its model', () => {
  it('does so beside the weights to nothing else', async () => {
    const run = freshRun();
    const before = contents(run);
    const seen: string[] = [];
    const writing = async (model: string) => {
      seen.push(readFileSync(join(model, 'config.json'), 'utf8'));
      writeFileSync(join(model, 'config.json'), '{}');
      mkdirSync(join(model, 'converted'));
      writeFileSync(join(model, 'converted/model.gguf'), 'x');
      return distance(weightsIn(model));
    };
    await search({ inputs: [run], select: { last: 2 }, goal, eval: writing, trials: 3, repeats: 2, dir: place() });
    expect(contents(run)).toEqual(before);
    expect(new Set(seen.map((text) => JSON.parse(text).model_type))).toEqual(new Set(['llama']));
  });

  it('of a checkpoint ends the search with the file that it wrote to, keeps earlier trials, and goes on once that is back', async () => {
    const run = freshRun(4);
    const file = join(run, 'checkpoint-300/model.safetensors');
    const old = readFileSync(file);
    const dir = place();
    const options = { inputs: [run], goal, dir } as const;
    const writes = async (model: string) => {
      const weights = weightsIn(model);
      if (weights[2] === 1) appendFileSync(join(model, 'model.safetensors'), 'x');
      return distance(weights);
    };
    const error = await mergeError(() => soup({ ...options, eval: writes }));
    expect(error).toMatchObject({ code: 'E_INPUT_CHANGED', exitCode: 3, details: { file } });
    expect(error.message).toContain(file);
    const kept = readFileSync(join(dir, 'trials.jsonl'), 'utf8').trim().split('\n').length;
    expect(kept).toBeGreaterThan(0);
    writeFileSync(file, old);
    const scored: string[] = [];
    const counting = { writes: async (model: string) => scored.push(model) && distance(weightsIn(model)) }.writes;
    const { trials } = await soup({ ...options, eval: counting, resume: true });
    expect(scored).toHaveLength(trials.length - kept);
  });

  it.each([
    [
      'and puts its time back',
      (file: string) => {
        const { atime, mtime } = statSync(file);
        const bytes = readFileSync(file);
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(file, bytes);
        utimesSync(file, atime, mtime);
      },
    ],
    [
      'and replaces it',
      (file: string) => {
        const real = readlinkSync(file);
        copyFileSync(real, `${real}.new`);
        rmSync(real);
        cpSync(`${real}.new`, real);
        rmSync(`${real}.new`);
      },
    ],
    ['and removes it', (file: string) => rmSync(readlinkSync(file))],
  ])('%s is found out, too', async (_, harm) => {
    const run = freshRun(2);
    const harmful = async (model: string) => {
      harm(join(model, 'model.safetensors'));
      return 1;
    };
    const error = await mergeError(() => search({ inputs: [run], goal, eval: harmful, trials: 3, dir: place() }));
    expect(error).toMatchObject({ code: 'E_INPUT_CHANGED', details: { file: join(run, 'checkpoint-200/model.safetensors') } });
  });

  it("of a merge that is scored again ends the search, and of one that is not is nobody else's business", async () => {
    const writes = async (model: string) => {
      const weights = weightsIn(model);
      if (!lstatSync(join(model, 'model.safetensors')).isSymbolicLink()) appendFileSync(join(model, 'model.safetensors'), 'x');
      return distance(weights);
    };
    const options = { inputs: [freshRun()], select: { last: 2 }, goal, eval: writes, trials: 3 } as const;
    await search({ ...options, dir: place() });
    const error = await mergeError(() => search({ ...options, repeats: 2, dir: place() }));
    expect(error).toMatchObject({ code: 'E_INPUT_CHANGED' });
  });

  it('is not taken for a backup, which gives the files of the run second names', async () => {
    const run = freshRun();
    const backup = async (model: string) => {
      const file = join(model, 'model.safetensors');
      if (lstatSync(file).isSymbolicLink()) linkSync(readlinkSync(file), join(place()));
      return distance(weightsIn(model));
    };
    expect((await soup({ inputs: [run], goal, eval: backup, dir: place() })).trials.every(({ status }) => status === 'complete')).toBe(
      true,
    );
  });
});

describe('an evaluator that changes weights of the run', () => {
  const real = (model: string) => realpathSync(join(model, 'model.safetensors'));
  /** Writes where no sample of a large file looks, and puts the time back to the nanosecond. */
  const secretly = (file: string) => {
    execFileSync(systemTool('touch'), ['-r', file, `${file}.time`]);
    const open = openSync(file, 'r+');
    writeSync(open, Buffer.alloc(64, 1), 0, 64, Math.floor(statSync(file).size / 2));
    closeSync(open);
    execFileSync(systemTool('touch'), ['-r', `${file}.time`, file]);
    rmSync(`${file}.time`);
  };
  /** Checkpoints of 1.2 MB, of which a fingerprint is 64 blocks of 4 KB. */
  const largeRun = () =>
    writeRun(
      join(place(), 'run'),
      [100, 200].map((step) => ({
        name: `checkpoint-${step}`,
        step,
        shards: [[{ name: 'model.norm.weight', dtype: 'F32' as const, shape: [300_000], data: new Uint8Array(1_200_000).fill(step) }]],
        config: { model_type: 'llama', dtype: 'float32' },
      })),
    );

  it('where no sample looks, and puts the time back, ends the search with the file', async () => {
    const run = largeRun();
    const file = join(run, 'checkpoint-200/model.safetensors');
    expect(statSync(file).size).toBeGreaterThan(1e6);
    const evil = async (model: string) => {
      secretly(real(model));
      return 1;
    };
    const error = await mergeError(() => search({ inputs: [run], goal, eval: evil, trials: 3, dir: place() }));
    expect(error).toMatchObject({ code: 'E_INPUT_CHANGED', exitCode: 3, details: { file, trial: 0 } });
    expect(error.message).toMatch(/its time put back.* while trial 0 was scored/);
  });

  it('does so to a merge that is scored again: one trial at a time, and several', async () => {
    for (const parallel of [1, 3]) {
      const evil = async (model: string) => {
        if (!lstatSync(join(model, 'model.safetensors')).isSymbolicLink()) {
          if (parallel === 1) secretly(real(model));
          else appendFileSync(real(model), 'x');
        }
        return distance(weightsIn(model));
      };
      const options = { inputs: [freshRun()], select: { last: 2 }, goal, eval: evil, trials: 3, repeats: 2, parallel } as const;
      const error = await mergeError(() => search({ ...options, dir: place() }));
      expect(error).toMatchObject({ code: 'E_INPUT_CHANGED' });
    }
  });

  it.each([
    ['mode', (file: string) => chmodSync(file, 0o444), 'its mode changed from 0644 to 0444'],
    ['mode, to one that nobody reads', (file: string) => chmodSync(file, 0), 'its mode changed from 0644 to 0000'],
    ...(process.getuid?.() === 0
      ? ([['owner', (file: string) => chownSync(file, 65534, 65534), 'its owner changed from 0:0 to 65534:65534']] as const)
      : []),
  ] as const)('by its %s: the message has file, trial, and what was', async (_, change, says) => {
    const run = freshRun(2);
    const file = join(run, 'checkpoint-200/model.safetensors');
    chmodSync(file, 0o644);
    for (const fails of [false, true]) {
      const careless = async (model: string) => {
        change(real(model));
        if (fails) throw new Error('broken');
        return 1;
      };
      const error = await mergeError(() => search({ inputs: [run], goal, eval: careless, trials: 3, dir: place() }));
      expect(error).toMatchObject({ code: 'E_INPUT_CHANGED', details: { file, trial: 0 } });
      expect(error.message).toContain(`${file} had ${says} while trial 0 was scored`);
      chmodSync(file, 0o644);
      if (process.getuid?.() === 0) chownSync(file, 0, 0);
    }
  });
});

describe('what an evaluation gets', () => {
  it('of a checkpoint is links to its weights, copies of what belongs to it, no training state, and a path of its own', async () => {
    const run = freshRun();
    for (const step of [100, 200, 300]) {
      const at = (name: string) => join(run, `checkpoint-${step}`, name);
      writeFileSync(at('tokenizer.json'), '{}');
      chmodSync(at('tokenizer.json'), 0o400);
      writeFileSync(at('modeling.py'), '');
      writeFileSync(at('optimizer.pt'), 'x');
    }
    // As in the Hub's cache.
    const blob = join(dirname(run), 'blob');
    const shard = join(run, 'checkpoint-300/model.safetensors');
    copyFileSync(shard, blob);
    rmSync(shard);
    symlinkSync(blob, shard);
    const paths: string[] = [];
    const look = async (model: string) => {
      paths.push(model);
      expect(
        readdirSync(model)
          .filter((name) => !/^(README|merge_)/.test(name))
          .sort(),
      ).toEqual(['config.json', 'model.safetensors', 'modeling.py', 'tokenizer.json']);
      expect(lstatSync(join(model, 'tokenizer.json'))).toMatchObject({ nlink: 1 });
      expect(statSync(join(model, 'tokenizer.json')).mode & 0o200).toBe(0o200);
      const weights = lstatSync(join(model, 'model.safetensors'));
      if (weights.isSymbolicLink()) expect(statSync(readlinkSync(join(model, 'model.safetensors'))).isFile()).toBe(true);
      return distance(weightsIn(model));
    };
    const { trials } = await soup({ inputs: [run], goal, eval: look, dir: place() });
    expect(trials.map(({ reason }) => reason)).toEqual(trials.map(() => null));
    expect(new Set(paths).size).toBe(paths.length);
    expect(paths.some((path) => path.startsWith(run))).toBe(false);
  });

  it('of checkpoints that are files is a file of its own', async () => {
    const folder = place();
    const run = freshRun();
    mkdirSync(folder);
    const inputs = [100, 200, 300].map((step) => {
      const file = join(folder, `step${step}.safetensors`);
      copyFileSync(join(run, `checkpoint-${step}/model.safetensors`), file);
      return file;
    });
    const before = contents(folder);
    const asFile = async (model: string) => {
      expect(model).toMatch(/\.safetensors$/);
      return tidy(model);
    };
    const { trials } = await soup({ inputs, goal, eval: asFile, dir: place() });
    expect(trials.every(({ status }) => status === 'complete')).toBe(true);
    expect(contents(folder)).toEqual(before);
  });

  it('cannot be made of a checkpoint whose tokenizer is a link to nothing: that trial fails, and the others do not', async () => {
    const run = freshRun();
    symlinkSync('nowhere', join(run, 'checkpoint-100/tokenizer.json'));
    const { trials } = await soup({ inputs: [run], goal, eval: async (model) => distance(weightsIn(model)), dir: place() });
    const failed = trials.filter(({ status }) => status === 'failed');
    expect(failed).toMatchObject([{ kind: 'single', reason: expect.stringContaining('a link that leads to nothing') }]);
  });
});
