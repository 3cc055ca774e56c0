import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { average } from '../../src/merge/average.ts';
import type { SoupOptions } from '../../src/search/optimise/options.ts';
import { readSearch } from '../../src/search/optimise/report.ts';
import { search } from '../../src/search/optimise/search.ts';
import { soup } from '../../src/search/optimise/soup.ts';
import type { SearchDocument } from '../../src/search/optimise/types.ts';
import type { StudyEvent } from '../../src/search/study/types.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { withoutTimes } from '../support/ended.ts';
import { weightsIn } from '../support/model-weights.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = weightedRun(join(temporary.path, 'run'), 5);
const fresh = (() => {
  let count = 0;
  return () => join(temporary.path, `soup-${count++}`);
})();

/** Best is the mean of steps 300 and 500; alone 300 is best, then 500. */
const TARGET = [0, 0, 0.55, 0, 0.45];
const score = async (model: string) => 1 - weightsIn(model).reduce((sum, w, i) => sum + (w - TARGET[i]!) ** 2, 0);
const base = { inputs: [run], eval: score, goal: 'maximize' } as const satisfies SoupOptions;
const kept = ({ greedy }: SearchDocument) => greedy!.tried.filter(({ added }) => added).map(({ step }) => step);

describe('merge soup', () => {
  it('leaves the run whole under an evaluator that removes what it was given (test/campaign/lent-models.test.ts)', async () => {
    const tidy = async (model: string) => {
      const found = await score(model);
      rmSync(model, { recursive: true });
      return found;
    };
    const document = await soup({ ...base, eval: tidy, dir: fresh() });
    expect(document.trials.every(({ status }) => status === 'complete')).toBe(true);
    expect(kept(document)).toEqual([300, 500]);
  });

  it('makes the greedy soup: one read for the means, one a soup, and leaves recipe, page, result and trials', async () => {
    const output = fresh();
    const events: StudyEvent[] = [];
    const document = await soup({ ...base, output }, { onEvent: (event) => events.push(event) });
    expect(kept(document)).toEqual([300, 500]);
    expect(document).toMatchObject({ kind: 'soup', space: { name: 'soup', parameters: [] }, ended: 'exhausted', greedy: { left: 0 } });
    expect(document.trials.map(({ kind }) => kind)).toEqual([
      'newest',
      ...Array(4).fill('single'),
      'uniform',
      'soup',
      'soup',
      'soup',
      'soup',
    ]);
    expect(document.baselines.map(({ name, label }) => [name, label])).toEqual([
      ['newest', 'newest (step 500)'],
      ['uniform', 'mean of all 5'],
      ['sma', expect.stringContaining('SMA')],
      ['best single', 'best single (step 300)'],
    ]);
    // Checkpoints alone need no merge. Four soups of two or three, and the mean of all.
    expect({ merges: document.merges, reads: document.reads }).toEqual({ merges: 5, reads: 5 });
    expect(events.filter(({ type }) => type === 'merging')).toHaveLength(5);
    expect(document.best!.weights.map(({ step, weight }) => [step, weight])).toEqual([
      [300, 0.5],
      [500, 0.5],
    ]);
    const direct = fresh();
    await average({ inputs: [join(run, 'checkpoint-300'), join(run, 'checkpoint-500')], output: direct });
    expect(weightsIn(output)).toEqual(weightsIn(direct));
    const folder = `${output}.search`;
    for (const name of ['trials.jsonl', 'best.yaml', 'report.html', 'result.json']) expect(existsSync(join(folder, name))).toBe(true);
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('Greedy soup: 2 of 5 kept');
    // Nothing is left where the merges waited.
    expect(readdirSync(folder).filter((name) => name.startsWith('ckpt-merge-work'))).toEqual([]);
    expect(withoutTimes(await readSearch(folder))).toEqual(withoutTimes({ ...document, warnings: [] }));
    const calls: string[] = [];
    // A function goes by its name.
    const counting = { score: async (model: string) => calls.push(model) };
    const again = await soup({ ...base, output, resume: true, eval: counting.score });
    expect(withoutTimes(again)).toEqual(withoutTimes(document));
    expect(calls).toEqual([]);
  });

  it('goes on after an end among singles or soups to the same soup, and scores nothing twice', async () => {
    const whole = await soup({ ...base, dir: fresh() });
    for (const most of [1, 4, 7, 9]) {
      const dir = fresh();
      const scored: string[] = [];
      const counting = async (model: string) => {
        const value = await score(model);
        scored.push(weightsIn(model).join());
        return value;
      };
      const ending = new AbortController();
      const reason = new Error('ended');
      const onEvent = (event: StudyEvent) => {
        if (event.type === 'trial' && event.trial.id === most - 1) ending.abort(reason);
      };
      await expect(soup({ ...base, eval: counting, dir }, { signal: ending.signal, onEvent })).rejects.toBe(reason);
      expect(existsSync(join(dir, 'result.json'))).toBe(true);
      const document = await soup({ ...base, eval: counting, dir, resume: true });
      expect(withoutTimes({ ...document, evaluator: whole.evaluator })).toEqual(withoutTimes(whole));
      // What was under way at the end is scored again; all else once.
      expect(scored.length - new Set(scored).size).toBeLessThanOrEqual(1);
    }
  });

  it('is of runs side by side, each by its last checkpoint, which often stand at one step', async () => {
    const parent = join(temporary.path, 'siblings');
    mkdirSync(parent);
    const all = weightedRun(join(temporary.path, 'all'), 3);
    const runs = [100, 200, 300].map((step, i) => {
      const folder = join(parent, `seed-${i}`);
      mkdirSync(folder);
      renameSync(join(all, `checkpoint-${step}`), join(folder, 'checkpoint-300'));
      rmSync(join(folder, 'checkpoint-300', 'trainer_state.json'));
      return folder;
    });
    const document = await soup({
      ...base,
      inputs: runs,
      dir: fresh(),
      eval: async (model) => 1 - Math.abs(weightsIn(model)[1]! - 0.5) - weightsIn(model)[0]!,
    });
    expect(document.greedy!.tried.map(({ path, added }) => [path.slice(parent.length + 1), added])).toEqual([
      ['seed-2/checkpoint-300', true],
      ['seed-1/checkpoint-300', true],
      ['seed-0/checkpoint-300', false],
    ]);
    expect(document.best!.weights.map(({ weight }) => weight)).toEqual([0.5, 0.5]);
    const labels = document.baselines.map(({ label }) => label);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels[0]).toContain('seed-2');
  });

  it('scores several at a time and again, and validates soups on a second set', async () => {
    const validate = async (model: string) => ({ score: await score(model), items: [await score(model), await score(model)] });
    const document = await soup({ ...base, dir: fresh(), parallel: 3, repeats: 2, validate });
    expect(kept(document)).toEqual([300, 500]);
    expect(document.trials.filter(({ repeatOf }) => repeatOf !== null)).toHaveLength(document.trials.length / 2);
    expect(document.merges).toBe(5);
    const validated = document.validation!.rows.map(({ trial }) => document.trials[trial]!.kind);
    expect(validated).toContain('soup');
    expect(validated).toContain('newest');
    expect(document.conclusion.basis).toBe('validation');
  });

  it('leaves out a checkpoint that the evaluator cannot score', async () => {
    const document = await soup({
      ...base,
      dir: fresh(),
      eval: async (model) => {
        if (weightsIn(model)[2] === 1) throw new Error('out of memory');
        return score(model);
      },
    });
    expect(kept(document)).not.toContain(300);
    expect(document.trials.find(({ status }) => status === 'failed')).toMatchObject({
      reason: 'out of memory',
      kind: 'single',
      params: { step: 300 },
    });
  });

  it('ends when its budget is spent with the soup so far', async () => {
    const document = await soup({ ...base, dir: fresh(), budget: 1e-9, eval: score }).catch((error: Error) => error);
    expect(document).toMatchObject({ code: 'E_NO_TRIAL' });
    const slow = async (model: string) => {
      await new Promise((done) => setTimeout(done, 40));
      return score(model);
    };
    const some = await soup({ ...base, dir: fresh(), budget: 0.2, eval: slow });
    expect(some.ended).toBe('budget');
    expect(some.best).not.toBe(null);
  });

  it.each<[string, Partial<SoupOptions>, string, RegExp]>([
    ['one checkpoint', { inputs: [join(run, 'checkpoint-300')] }, 'E_OPTION', /at least two checkpoints/],
    ['one selected', { select: { last: 1 } }, 'E_OPTION', /at least two checkpoints/],
    ['an evaluator that always fails', { eval: 'exit 3' }, 'E_EVALUATOR', /first evaluation failed/],
    ['scores without a direction', { goal: undefined }, 'E_GOAL', /larger or smaller/],
    ['no repeats', { repeats: 0 }, 'E_OPTION', /repeats must be/],
  ])('refuses %s', async (_, options, code, message) => {
    await expect(soup({ ...base, dir: fresh(), ...options })).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('does not go on with a search, nor a search with a soup', async () => {
    const dir = fresh();
    await soup({ ...base, dir, eval: `${SCORE_WEIGHTS} 0.5,0.5`, select: { last: 2 } });
    await expect(soup({ ...base, dir, select: { last: 2 } })).rejects.toMatchObject({
      code: 'E_OUTPUT_EXISTS',
      message: expect.stringContaining('holds a soup'),
    });
    await expect(search({ ...base, dir, resume: true, select: { last: 2 } })).rejects.toMatchObject({
      code: 'E_SEARCH_STATE',
      message: expect.stringContaining('kind: soup then, search now'),
    });
  });
});
