import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { grid, planGrid } from '../../src/merge/grid/grid.ts';
import type { GridScoreOptions } from '../../src/search/grid/options.ts';
import { readGridScores } from '../../src/search/grid/report.ts';
import { scoreGrid } from '../../src/search/grid/score.ts';
import type { GridScores } from '../../src/search/grid/types.ts';
import type { ScoreFunction } from '../../src/search/study/scorer.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { withoutTimes } from '../support/ended.ts';
import { weightsIn } from '../support/model-weights.ts';
import { weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
/** Steps 100 to 800. */
const run = weightedRun(join(temporary.path, 'run'), 8);
const fresh = (() => {
  let count = 0;
  return () => join(temporary.path, `grid-${count++}`);
})();

/** Forty items that differ a little; their mean is best for the newest four weighed 0.1, 0.2, 0.3, 0.4. */
const byItem: ScoreFunction = async (model) => {
  const weights = weightsIn(model);
  const last = weights.findLastIndex((w) => w !== 0);
  const target = weights.map((_, i) => [0.4, 0.3, 0.2, 0.1][last - i] ?? 0);
  const score = 1 - weights.reduce((sum, w, i) => sum + (w - target[i]!) ** 2, 0);
  const items = Array.from({ length: 40 }, (_, i) => score + 0.001 * Math.sin(i) * weights[i % weights.length]!);
  return { score: items.reduce((sum, item) => sum + item, 0) / items.length, items };
};

const base = {
  run,
  windows: ['400steps', '200steps'],
  method: ['wma', 'wsm'],
  decay: 'minus-sqrt',
  controls: 'reverse',
  endpoints: ['600', 'newest'],
  eval: byItem,
  goal: 'maximize',
} as const satisfies Omit<GridScoreOptions, 'output'>;

/** What of a document is scores and what is concluded from them. */
const said = ({ outputs, references, artefact, recipes }: GridScores) => ({
  outputs: outputs.map(({ trial, members, ...output }) => output),
  references: references.map(({ trial, ...reference }) => reference),
  artefact,
  recipes,
});

/** Counts what is scored, by the weights of the models. */
function counting(score: ScoreFunction = byItem) {
  const seen: string[] = [];
  const counted: ScoreFunction = async (model, context) => {
    seen.push(weightsIn(model).join());
    return score(model, context);
  };
  return { seen, eval: counted };
}

const tensorsOf = (model: string) => {
  const bytes = readFileSync(join(model, 'model.safetensors'));
  return createHash('sha256')
    .update(bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))))
    .digest('hex');
};

describe('scores of a grid', () => {
  it('scores the newest, plain means and every output, chooses the best, and removes what it merged', async () => {
    const output = fresh();
    const document = await scoreGrid({ ...base, output });
    const of = (name: string) => [...document.outputs, ...document.references].find((one) => one.name === name)!;
    // wma of four is the target itself; a checkpoint alone has 1 - (0.6² + 0.3² + 0.2² + 0.1²).
    expect(of('step800-w400steps-wma').score).toBeCloseTo(1, 3);
    expect(of('step800').score).toBeCloseTo(0.5, 3);
    expect(of('step800-w400steps-sma').score).toBeCloseTo(1 - (0.15 ** 2 + 0.05 ** 2 + 0.05 ** 2 + 0.15 ** 2), 3);
    expect(document.outputs).toHaveLength(16);
    expect(document.outputs.filter(({ control }) => control)).toHaveLength(8);
    expect(of('step800-w400steps-wma')).toMatchObject({ overNewest: { paired: true }, overMean: { paired: true } });
    expect(document.artefact).toMatchObject({ chosen: 'step800-w400steps-wma', against: 'step800-w400steps-sma', gainClaimed: true });
    // The shrunken gain over the better of newest and means.
    expect(document.artefact.gain).toBeCloseTo(0.05, 2);
    expect(document.recipes).toMatchObject({
      chosen: null,
      gainClaimed: false,
      references: ['newest', 'mean of 400steps', 'mean of 200steps'],
    });
    // The newest alone shows first whether the evaluator works; equal recipes are one trial.
    expect(document.trials[0]).toMatchObject({ kind: 'single', params: { step: 800 } });
    expect(new Set(document.trials.map(({ recipe }) => recipe)).size).toBe(document.trials.length);
    expect(document.trials).toHaveLength(2 + 4 + 16);
    expect(existsSync(output)).toBe(false);
    expect(readdirSync(`${output}.scores`)).toEqual(expect.arrayContaining(['report.html', 'result.json', 'trials.jsonl']));
    expect(readdirSync(`${output}.scores`).filter((name) => name.startsWith('ckpt-merge-work'))).toEqual([]);
    expect(withoutTimes(await readGridScores(`${output}.scores`))).toEqual(withoutTimes({ ...document, reads: 0, warnings: [] }));
  });

  it('scores the very bytes that the grid makes, dtypes, routers and policies among the axes', async () => {
    const digests = new Map<string, string>();
    const output = fresh();
    const asked = {
      run,
      windows: '300steps',
      method: 'wma',
      dtype: ['F32', 'BF16'],
      policies: { usual: [], newest: [{ role: 'norm', use: 'newest' }] },
    } as const;
    const document = await scoreGrid({
      ...asked,
      output,
      goal: 'maximize',
      eval: async (model, { trial }) => {
        digests.set(String(trial), tensorsOf(model));
        return 1;
      },
    });
    const made = await grid({ ...asked, output });
    expect(made.outputs).toHaveLength(4);
    for (const { name, path } of made.outputs) {
      const { trial } = document.outputs.find((one) => one.name === name)!;
      expect([name, digests.get(String(trial))]).toEqual([name, tensorsOf(path)]);
    }
    expect(new Set(digests.values()).size).toBeGreaterThanOrEqual(4);
  });

  it('goes on after it was ended, with each recipe scored once', async () => {
    const whole = await scoreGrid({ ...base, output: fresh() });
    const output = fresh();
    const abort = new AbortController();
    const first = counting(async (model, context) => {
      if (first.seen.length === 6) abort.abort(new Error('ended'));
      return byItem(model, context);
    });
    await expect(scoreGrid({ ...base, output, eval: first.eval }, { signal: abort.signal })).rejects.toThrow('ended');
    await expect(scoreGrid({ ...base, output })).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
    const second = counting();
    // A function goes by its name.
    const document = await scoreGrid({
      ...base,
      output,
      eval: Object.defineProperty(second.eval, 'name', { value: first.eval.name }),
      resume: true,
    });
    const done = document.trials.length - second.seen.length;
    expect(done).toBeGreaterThanOrEqual(5);
    expect(second.seen).toHaveLength(22 - done);
    expect(said(document)).toEqual(said(whole));
  });

  it('keeps what was scored where the run grows, loses checkpoints, or more is asked', async () => {
    const growing = join(temporary.path, 'growing');
    for (const step of [100, 200, 300, 400, 500])
      cpSync(join(run, `checkpoint-${step}`), join(growing, `checkpoint-${step}`), { recursive: true });
    const output = fresh();
    const asked = { ...base, run: growing, windows: '200steps', endpoints: 'every:200', output } as const;
    const scoring = counting();
    const first = await scoreGrid({ ...asked, eval: scoring.eval });
    const before = scoring.seen.length;
    expect(new Set(first.outputs.map(({ axes }) => axes.endpoint))).toEqual(new Set([200, 400, 500]));
    for (const step of [600, 700]) cpSync(join(run, `checkpoint-${step}`), join(growing, `checkpoint-${step}`), { recursive: true });
    for (const step of [100, 200]) rmSync(join(growing, `checkpoint-${step}`), { recursive: true });
    const second = await scoreGrid({ ...asked, eval: scoring.eval, resume: true });
    // What ends at 200, 400 and 500 was scored, and stays though its members are gone or 500 is the newest no more.
    expect(new Set(second.outputs.map(({ axes }) => axes.endpoint))).toEqual(new Set([200, 400, 500, 600, 700]));
    expect(new Set(second.outputs.flatMap(({ axes, earlier }) => (earlier ? [axes.endpoint] : [])))).toEqual(new Set([500]));
    expect(second.outputs.every(({ score }) => score !== null)).toBe(true);
    expect(second.artefact.chosen).toMatch(/^step700-/);
    expect(new Set(scoring.seen).size).toBe(scoring.seen.length);
    const grown = scoring.seen.length;
    expect(grown).toBeGreaterThan(before);
    expect(withoutTimes(await readGridScores(`${output}.scores`))).toEqual(withoutTimes({ ...second, reads: 0, warnings: [] }));
    const third = await scoreGrid({ ...asked, windows: ['200steps', '300steps'], eval: scoring.eval, resume: true });
    expect(third.outputs.length).toBeGreaterThan(second.outputs.length);
    expect(new Set(scoring.seen).size).toBe(scoring.seen.length);
    cpSync(join(run, 'checkpoint-100', 'model.safetensors'), join(growing, 'checkpoint-600', 'model.safetensors'));
    await expect(scoreGrid({ ...asked, eval: scoring.eval, resume: true })).rejects.toMatchObject({
      code: 'E_SEARCH_STATE',
      message: expect.stringContaining('checkpoint-600'),
    });
  });

  it('keeps the scores of merges of which only some members are there any more', async () => {
    const thinning = join(temporary.path, 'thinning');
    for (const step of [100, 200, 300, 400, 500, 600])
      cpSync(join(run, `checkpoint-${step}`), join(thinning, `checkpoint-${step}`), { recursive: true });
    const { seen, eval: scoring } = counting();
    const asked = { ...base, run: thinning, endpoints: ['500', 'newest'], output: fresh(), eval: scoring } as const;
    const first = await scoreGrid(asked);
    const before = seen.length;
    for (const step of [300, 500, 400]) {
      rmSync(join(thinning, `checkpoint-${step}`), { recursive: true });
      const again = await scoreGrid({ ...asked, resume: true });
      expect(said(again)).toEqual(said(first));
      expect(again.warnings).toEqual([]);
    }
    expect(seen).toHaveLength(before);
  });

  it('with keep makes the grid and scores it as it lies', async () => {
    const output = fresh();
    const { seen, eval: scoring } = counting();
    const document = await scoreGrid({ ...base, output, eval: scoring, keep: true });
    expect(readdirSync(output).sort()).toEqual(document.outputs.map(({ name }) => name).sort());
    // Only plain means are merged: those in one read.
    expect(document.reads).toBe(1);
    expect(seen).toHaveLength(22);
    expect(said(document)).toEqual(said(await scoreGrid({ ...base, output: fresh() })));
  });

  it('scores what lies there also where its members are not there any more', async () => {
    const rotated = join(temporary.path, 'rotated');
    for (const step of [100, 200, 300, 400])
      cpSync(join(run, `checkpoint-${step}`), join(rotated, `checkpoint-${step}`), { recursive: true });
    const output = fresh();
    const asked = { run: rotated, windows: '200steps', method: 'wma', endpoints: ['200', 'newest'], output } as const;
    await grid(asked);
    rmSync(join(rotated, 'checkpoint-100'), { recursive: true });
    const document = await scoreGrid({ ...asked, eval: byItem, goal: 'maximize' });
    expect(document.outputs.map(({ name, score, members }) => [name, score === null, members.map(({ step }) => step)])).toEqual([
      ['step200-w200steps-wma', false, [100, 200]],
      ['step400-w200steps-wma', false, [300, 400]],
    ]);
    // The plain mean there cannot be made any more, and none of fewer checkpoints goes by its name.
    expect(document.references.find(({ name }) => name === 'step200-w200steps-sma')).toMatchObject({ trial: null, score: null });
    const again = counting();
    await scoreGrid({ ...asked, eval: Object.defineProperty(again.eval, 'name', { value: 'byItem' }), goal: 'maximize', resume: true });
    expect(again.seen).toEqual([]);
  });

  it('concludes the same from results that another pipeline wrote, and merges nothing', async () => {
    const scores = new Map<string, unknown>();
    const scoring: ScoreFunction = async (model, context) => {
      const given = await byItem(model, context);
      scores.set(String(context.trial), given);
      return given;
    };
    const evaluated = await scoreGrid({ ...base, output: fresh(), eval: scoring });
    const folder = join(temporary.path, 'results');
    mkdirSync(folder);
    for (const { name, trial } of [...evaluated.outputs, ...evaluated.references])
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(scores.get(String(trial))));
    const { eval: _, ...asked } = base;
    const output = fresh();
    const document = await scoreGrid({ ...asked, output, scores: folder });
    expect(said(document)).toEqual(said(evaluated));
    expect(document.warnings).toEqual([]);
    expect(existsSync(output)).toBe(false);
    expect(readFileSync(join(`${output}.given`, 'report.html'), 'utf8')).toContain('step800-w400steps-wma');

    // What is no output is told, and so is a reference without a result; an output without one is refused by name.
    writeFileSync(join(folder, 'other.json'), '1');
    rmSync(join(folder, 'step600.json'));
    const less = await scoreGrid({ ...asked, output, scores: folder });
    expect(less.warnings.map(({ code, message }) => [code, message])).toEqual([
      ['W_SCORES', expect.stringContaining('other belongs to no output of the grid')],
      ['W_SCORES', expect.stringContaining('step600')],
    ]);
    rmSync(join(folder, 'step800-w400steps-wma.json'));
    await expect(scoreGrid({ ...asked, output, scores: folder })).rejects.toMatchObject({
      code: 'E_SCORES',
      message: expect.stringContaining('step800-w400steps-wma'),
    });
  });

  it('takes results as they come: links, NaN as a failure, and no two results of one merge', async () => {
    const folder = join(temporary.path, 'mixed');
    mkdirSync(folder);
    const { eval: _, goal: __, ...some } = base;
    const asked = { ...some, scores: folder, endpoints: 'newest', method: ['wma', 'wsm'], decay: 'linear', controls: undefined } as const;
    const put = (name: string, result: unknown) => writeFileSync(join(folder, `${name}.json`), JSON.stringify(result));
    const said = (score: number) => ({ score, stderr: 0.001, higher_is_better: true });
    // Of flat weights, so that they are the plain means.
    const flat = ['step800-w400steps-wsm-linear', 'step800-w200steps-wsm-linear'];
    for (const name of flat) put(name, said(0.6));
    put('step800-w400steps-wma', said(0.7));
    put('step800', 0.5);
    // Results of a harness, elsewhere.
    const elsewhere = join(temporary.path, 'elsewhere');
    mkdirSync(elsewhere);
    const results = {
      results: { arc: { alias: 'arc', 'acc,none': 0.65, 'acc_stderr,none': 0.01 } },
      higher_is_better: { arc: { acc: true } },
    };
    writeFileSync(join(elsewhere, 'results_2026-01-01.json'), JSON.stringify({ ...results, configs: {} }));
    symlinkSync(elsewhere, join(folder, 'step800-w200steps-wma'));
    const document = await scoreGrid({ ...asked, output: fresh() });
    const scoreOf = (name: string) => [...document.outputs, ...document.references].find((one) => one.name === name)!.score;
    expect(scoreOf('step800-w200steps-wma')).toBe(0.65);
    expect([scoreOf('step800-w400steps-sma'), document.goal, document.warnings]).toEqual([0.6, 'maximize', []]);

    writeFileSync(join(folder, 'step800.json'), '{"score": NaN}');
    const less = await scoreGrid({ ...asked, output: fresh() });
    expect(less.warnings.map(({ message }) => message)).toEqual([expect.stringMatching(/step800\.json \(the score is NaN/)]);
    expect(less.references.find(({ name }) => name === 'step800')).toMatchObject({ score: null, reason: expect.stringContaining('NaN') });
    expect(less.artefact.against).toMatch(/sma$/);

    put('step800-w400steps-sma', said(0.6));
    await scoreGrid({ ...asked, output: fresh() });
    put('step800-w400steps-sma', said(0.8));
    await expect(scoreGrid({ ...asked, output: fresh() })).rejects.toMatchObject({
      code: 'E_SCORES',
      message: expect.stringMatching(/step800-w400steps-sma\.json says 0\.8, and step800-w400steps-wsm-linear\.json says 0\.6/),
    });
    for (const name of ['step800-w400steps-sma', 'step800-w400steps-wsm-linear', 'step800-w400steps-wma', 'step800-w200steps-wsm-linear'])
      rmSync(join(folder, `${name}.json`), { force: true });
    await expect(scoreGrid({ ...asked, output: fresh() })).rejects.toMatchObject({
      message: expect.stringMatching(/no result of step800-w400steps-wma, step800-w400steps-wsm-linear, step800-w200steps-wsm-linear$/),
    });
  });

  it('says which saves cannot be used, within windows and beyond the newest, and with strict refuses', async () => {
    const torn = join(temporary.path, 'torn');
    for (const step of [100, 200, 300, 400, 500])
      cpSync(join(run, `checkpoint-${step}`), join(torn, `checkpoint-${step}`), { recursive: true });
    for (const step of [300, 500]) truncateSync(join(torn, `checkpoint-${step}`, 'model.safetensors'), 100);
    const making = { run: torn, windows: '400steps', method: 'wma' } as const;
    const asked = { ...making, eval: byItem, goal: 'maximize' } as const;
    const leftOut = ({ warnings }: Pick<GridScores, 'warnings'>) =>
      warnings.flatMap(({ code, message }) => (code === 'W_LEFT_OUT_MEMBERS' ? [message] : [])).join('\n');
    const output = fresh();
    const document = await scoreGrid({ ...asked, output });
    for (const said of [
      document,
      JSON.parse(readFileSync(join(`${output}.scores`, 'result.json'), 'utf8')),
      await planGrid({ ...making, output }),
    ])
      expect(leftOut(said)).toMatch(/checkpoint-300.*checkpoint-500|checkpoint-500.*checkpoint-300/s);
    // Somebody who names an older save does not ask for the newest.
    expect(leftOut(await planGrid({ ...making, windows: '200steps', endpoints: '200', output }))).toBe('');
    for (const call of [
      () => scoreGrid({ ...asked, output: fresh(), strict: true }),
      () => planGrid({ ...making, windows: '100steps', output, strict: true }),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'E_STRICT', message: expect.stringContaining('checkpoint-500') });
  });

  it('judges the chosen output on a second set', async () => {
    const output = fresh();
    const seen: string[] = [];
    const validate: ScoreFunction = async (model, context) => {
      seen.push(
        weightsIn(model)
          .map((w) => w.toFixed(2))
          .join(' '),
      );
      const { items = [] } = (await byItem(model, context)) as { items?: readonly number[] };
      return { score: items![0]! - 1, items: items!.map((item) => item - 1) };
    };
    const document = await scoreGrid({ ...base, output, validate });
    expect(document.artefact).toMatchObject({ basis: 'validation', chosen: 'step800-w400steps-wma', gainClaimed: true });
    expect(document.artefact.gain).toBeCloseTo(0.05, 2);
    // The newest, two plain means and the chosen one.
    expect(seen).toHaveLength(4);
    expect((await readGridScores(`${output}.scores`)).artefact).toEqual(document.artefact);
  });

  it('shows what failed, and concludes from the others', async () => {
    const failing: ScoreFunction = async (model, context) => {
      if (weightsIn(model).filter((w) => w !== 0).length === 2 && weightsIn(model)[7] === 0.5) throw new Error('no GPU left');
      return byItem(model, context);
    };
    const document = await scoreGrid({ ...base, output: fresh(), eval: failing });
    expect(document.references.find(({ name }) => name === 'step800-w200steps-sma')).toMatchObject({ score: null, reason: 'no GPU left' });
    expect(document.artefact.chosen).toBe('step800-w400steps-wma');
    const never: ScoreFunction = async () => {
      throw new Error('no module named eval');
    };
    await expect(scoreGrid({ ...base, output: fresh(), eval: never })).rejects.toMatchObject({ code: 'E_EVALUATOR' });
  });

  it('of a grid of plain means alone compares these with the newest', async () => {
    const { method, decay, controls, ...asked } = base;
    const document = await scoreGrid({ ...asked, output: fresh() });
    expect(document.artefact).toMatchObject({ against: 'step800', candidates: 2, chosen: 'step800-w400steps-sma' });
    expect(document.trials).toHaveLength(2 + 4);
  });

  it('knows an output of flat weights for the plain mean: one evaluation, one result under either name', async () => {
    const asked = { ...base, decay: ['linear', 'minus-sqrt'], method: 'wsm', controls: undefined, windows: '400steps' } as const;
    const { seen, eval: scoring } = counting();
    const document = await scoreGrid({ ...asked, output: fresh(), eval: scoring });
    // At each of two endpoints: the checkpoint, the mean, and the one other shape.
    expect(seen).toHaveLength(6);
    const of = (name: string) => [...document.outputs, ...document.references].find((one) => one.name === name)!;
    expect(of('step800-w400steps-wsm-linear')).toMatchObject({ trial: of('step800-w400steps-sma').trial, overMean: null });
    expect(document.artefact).toMatchObject({ candidates: 1, chosen: 'step800-w400steps-wsm-minus-sqrt' });
    const folder = join(temporary.path, 'flat');
    mkdirSync(folder);
    for (const { name, score } of [...document.outputs, ...document.references.filter(({ kind }) => kind === 'newest')])
      writeFileSync(join(folder, `${name}.json`), JSON.stringify({ score, stderr: 0.001 }));
    const { eval: _, ...given } = asked;
    const read = await scoreGrid({ ...given, output: fresh(), scores: folder });
    expect(read.warnings).toEqual([]);
    expect(read.references.every(({ score }) => score !== null)).toBe(true);
    expect(read.artefact).toMatchObject({ candidates: 1 });
  });

  it('compares members that scores choose with the checkpoint and the mean that their window ends at', async () => {
    const memberScores = join(temporary.path, 'members.csv');
    // The best two of every window are the oldest of it.
    writeFileSync(memberScores, ['step,score', ...[1, 2, 3, 4, 5, 6, 7, 8].map((i) => `${i * 100},${1 - i / 100}`)].join('\n'));
    const asked = { ...base, method: 'wma', decay: undefined, controls: undefined, windows: ['400steps', '300steps'] } as const;
    const members = { members: ['all', 'top:2'], memberScores, memberMetrics: undefined, memberGoal: 'maximize' } as const;
    const document = await scoreGrid({ ...asked, ...members, output: fresh() });
    const top = document.outputs.find(({ name }) => name === 'step800-w400steps-wma-top2')!;
    expect(top.members.map(({ step }) => step)).toEqual([500, 600]);
    expect(document.outputs.every(({ overMean, overNewest }) => overMean !== null && overNewest !== null)).toBe(true);
    expect(document.outputs.map(({ axes }) => axes.endpoint)).toEqual([600, 600, 600, 600, 800, 800, 800, 800]);
    expect(document.references.map(({ name }) => name).sort()).toEqual(
      [600, 800].flatMap((step) => ['', '-w300steps-sma', '-w400steps-sma'].map((end) => `step${step}${end}`)),
    );
    const scores = new Map([...document.references, ...document.outputs].map(({ name, score }) => [name, score!]));
    expect(top.overMean!.gain).toBeCloseTo(scores.get(top.name)! - scores.get('step800-w400steps-sma')!, 10);
  });

  it('scores what weights files say, each as its own', async () => {
    const files = ['a', 'b'].map((name, i) => {
      const path = join(temporary.path, `${name}.json`);
      writeFileSync(path, JSON.stringify({ 'model.norm.weight': i === 0 ? [0.25, 0.75] : [0.75, 0.25] }));
      return path;
    });
    const { seen, eval: scoring } = counting();
    await scoreGrid({ run, windows: '200steps', weightsFile: files, output: fresh(), eval: scoring, goal: 'maximize' });
    expect(seen).toEqual(['0,0,0,0,0,0,0,1', '0,0,0,0,0,0,0.5,0.5', '0,0,0,0,0,0,0.25,0.75', '0,0,0,0,0,0,0.75,0.25']);
  });
});
