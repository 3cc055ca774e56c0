import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { average, type WatchOptions } from '../../src/index.ts';
import { countedScores, scoreOfBytes } from '../support/scored-watch.ts';
import { freshRuns } from '../support/watched-run.ts';
import { mergesIn, Watching } from '../support/watching.ts';

const fresh = freshRuns();
const at = (...parts: string[]) => fresh().at(...parts);
const save = (first: number, last?: number) => fresh().save(first, last);
const once = (more?: Partial<WatchOptions>) => fresh().once(more);
const document = () => fresh().document();
const lines = () => fresh().lines();

describe('a watch that scores', () => {
  it('gives each new checkpoint and each merge the score that a merge of its own has', async () => {
    const { evaluate, asked } = countedScores();
    for (const last of [3, 4, 5]) {
      save(last === 3 ? 1 : last, last);
      await once({ eval: evaluate, windows: [2, 3], select: {} });
    }
    const { endpoints, goal, conclusion } = document();
    expect(goal).toBe('minimize');
    expect(endpoints.map(({ step }: { step: number }) => step)).toEqual([300, 400, 500]);
    for (const { step, single, merges, logged } of endpoints) {
      expect(logged).toEqual({ 'training loss': 2 + 100 / step });
      const alone = scoreOfBytes(at('run', `checkpoint-${step}`));
      expect(single.score).toBe(alone.score);
      expect(merges.map(({ recipe }: { recipe: string }) => recipe)).toEqual(['w2ckpt-sma', 'w3ckpt-sma']);
      for (const [i, last] of [2, 3].entries()) {
        const output = at(`own-${step}-${last}`);
        await average({ inputs: [at('run')], select: { last, to: step }, output });
        const own = scoreOfBytes(output);
        expect(merges[i].score).toBe(own.score);
        // Of a loss the merge is better by what it is below; the error by hand from the items.
        const better = own.items.map((item, k) => alone.items[k]! - item);
        const mean = better.reduce((a, b) => a + b, 0) / better.length;
        const variance = better.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (better.length - 1) / better.length;
        expect(merges[i].over.gain).toBeCloseTo(mean, 12);
        expect(merges[i].over.error).toBeCloseTo(Math.sqrt(variance), 12);
        expect(merges[i].over.paired).toBe(true);
      }
    }
    expect(asked).toHaveLength(9);
    expect(new Set(asked).size).toBe(9);
    // From a moment of looking nothing is concluded.
    expect(conclusion).toBeNull();
  });

  it('says of a merge what the checkpoint alone has, and how many wait', async () => {
    save(1, 3);
    const { of } = await once({ eval: countedScores().evaluate });
    const [single, merged] = of('scored');
    expect(single).toMatchObject({ kind: 'single', name: 'checkpoint-300', single: null, over: null, waiting: 1 });
    expect(merged).toMatchObject({ kind: 'merge', name: 'merged-checkpoint-300', single: single!.score, waiting: 0 });
    expect(merged!.over!.gain).toBeCloseTo(single!.score - merged!.score, 12);
    expect(of('scoring')).toMatchObject([{ page: at('merges/scores/live.html'), waiting: 0 }]);
  });

  it('scores nothing twice over restarts, and gives what failed another try', async () => {
    save(1, 3);
    let broken = true;
    const { evaluate, asked } = countedScores();
    const flaky: typeof evaluate = async (model, context) => {
      const found = await evaluate(model, context);
      if (broken && model.includes('model-0001')) throw new Error('the GPU fell off the bus');
      return found;
    };
    const first = await once({ eval: flaky });
    expect(first.summary.failed).toMatchObject([{ checkpoint: 'merged-checkpoint-300', error: { code: 'E_EVALUATOR' } }]);
    expect(first.of('unscored')).toMatchObject([{ name: 'merged-checkpoint-300', reason: 'the GPU fell off the bus', waiting: 0 }]);
    expect(asked).toHaveLength(2);
    broken = false;
    expect((await once({ eval: flaky })).summary.failed).toEqual([]);
    await once({ eval: flaky });
    expect(asked).toHaveLength(3);
    expect(lines().map(({ id, status, repeatOf }) => [id, status, repeatOf])).toEqual([
      [0, 'complete', null],
      [1, 'failed', null],
      [2, 'complete', 1],
    ]);
    expect(document().endpoints[0].merges[0]).toMatchObject({ trial: 2, reason: null });
  });

  it('does not wait with merging for a slow evaluator, and keeps what has no score yet', async () => {
    save(1, 2);
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { evaluate } = countedScores();
    const slow: typeof evaluate = async (model, context) => {
      await gate;
      return evaluate(model, context);
    };
    const watching = new Watching({ run: at('run'), output: at('merges'), keep: 1, threads: 1, select: { last: 2 }, eval: slow });
    await watching.until('merged', 1);
    for (const last of [3, 4, 5]) {
      save(last);
      await watching.until('merged', last - 1);
    }
    expect(watching.of('scored')).toEqual([]);
    expect(mergesIn(at('merges'))).toEqual([2, 3, 4, 5].map((n) => `merged-checkpoint-${n}00`));
    go();
    await watching.until('scored', 8);
    await watching.until('removed', 3);
    await watching.stop();
    expect(mergesIn(at('merges'))).toEqual(['merged-checkpoint-500']);
    // A merge is scored after the checkpoint at its end, the oldest first.
    expect(watching.of('scored').map(({ name }) => name)).toEqual(
      [2, 3, 4, 5].flatMap((n) => [`checkpoint-${n}00`, `merged-checkpoint-${n}00`]),
    );
  });

  it('goes on after its end with what waited', async () => {
    save(1, 3);
    const never = new Watching({
      run: at('run'),
      output: at('merges'),
      threads: 1,
      select: { last: 2 },
      eval: () => new Promise(() => {}),
    });
    await never.until('merged');
    await never.until('evaluating');
    await never.stop();
    const { evaluate, asked } = countedScores();
    // A function without a name is the same evaluator.
    const { of } = await once({ eval: async (model, context) => evaluate(model, context) });
    expect(of('scoring')).toMatchObject([{ waiting: 2 }]);
    expect(asked).toHaveLength(2);
  });

  it('says of a checkpoint that was deleted that it was, and scores the others', async () => {
    save(1, 3);
    const watching = new Watching({
      ...{ run: at('run'), output: at('merges'), threads: 1, select: { last: 2 } },
      eval: async (model) => {
        rmSync(at('run', 'checkpoint-300'), { recursive: true, force: true });
        return scoreOfBytes(model).score;
      },
      goal: 'minimize',
      parallel: 1,
      hook: `rm -r '${at('run', 'checkpoint-300')}'`,
    });
    const [left] = await watching.until('unscored');
    expect(left).toMatchObject({ name: 'checkpoint-300', reason: 'its trainer deleted it before it could be scored', log: null });
    await watching.until('scored');
    await watching.stop();
    expect(document().endpoints).toMatchObject([{ step: 300, single: null, merges: [{ over: null }] }]);
    expect(readFileSync(at('merges/scores/live.html'), 'utf8')).toContain('its trainer deleted it before it could be scored');
  });

  it('holds on to a checkpoint by its pin until it has its score', async () => {
    save(1, 3);
    let seen = 0;
    const watching = new Watching({
      ...{ run: at('run'), output: at('merges'), threads: 1, select: { last: 1 }, pin: at('pins'), goal: 'minimize' },
      eval: async (model) => {
        if (++seen === 1) {
          save(4, 5);
          await watching.until('merged', 3);
          for (const step of [300, 400]) rmSync(at('run', `checkpoint-${step}`), { recursive: true });
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
        return scoreOfBytes(model).score;
      },
    });
    await watching.until('scored', 6);
    await watching.until('unpinned', 2);
    await watching.stop();
    expect(watching.of('unscored')).toEqual([]);
  });

  it('shows what is under way in a page that loads itself, and a conclusion when it was ended', async () => {
    save(1, 3);
    const watching = new Watching({
      run: at('run'),
      output: at('merges'),
      threads: 1,
      select: { last: 2 },
      eval: countedScores().evaluate,
    });
    await watching.until('scored', 2);
    const page = () => readFileSync(at('merges/scores/live.html'), 'utf8');
    while (!existsSync(at('merges/scores/live.html')) || !page().includes('At step 300'))
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(page()).toContain('<meta http-equiv="refresh" content="10">');
    expect(page()).toContain('waiting for the next checkpoint.');
    expect(page()).not.toContain('Recipes are not judged');
    await watching.stop();
    expect(page()).not.toContain('http-equiv="refresh"');
    expect(page()).toContain('Recipes are not judged: it takes 4 independent endpoints, and 1 was scored.');
    expect(readdirSync(at('merges/scores')).filter((name) => name.endsWith('.draft'))).toEqual([]);
  });

  it('shows what a decay would score once real ones say how much of it merging shows', async () => {
    for (const last of [3, 4, 5]) {
      save(last === 3 ? 1 : last, last);
      await once({
        goal: 'minimize',
        calibrate: [{ step: 400, score: 1.4 }],
        // Half of what the decay gains.
        eval: async (_, { trial }) => [2, 1.9, 1.8, 1.6, 1.7, 1.5][trial]!,
      });
    }
    const { calibration, endpoints } = document();
    expect(calibration).toMatchObject([{ recipe: 'w2ckpt-sma', recovered: { mean: expect.closeTo(0.5, 9), spread: null }, problem: null }]);
    expect(endpoints.map(({ merges }: { merges: { decayed: { score: number } }[] }) => merges[0]!.decayed.score)).toEqual([
      expect.closeTo(1.8, 9),
      expect.closeTo(1.4, 9),
      expect.closeTo(1.3, 9),
    ]);
  });
});

describe('a watch that takes results of another pipeline', () => {
  const give = (name: string, score: unknown) => {
    mkdirSync(at('given'), { recursive: true });
    writeFileSync(at('given', `${name}.json`), typeof score === 'string' ? score : JSON.stringify({ score }));
  };
  const given = (more: Partial<WatchOptions> = {}) => once({ scores: at('given'), goal: 'maximize', ...more });
  const said = ({ of }: Awaited<ReturnType<typeof given>>) =>
    of('warning').map(({ warning }) => warning.message.replace(`${at('given')}: `, ''));

  it('takes them whenever they come, by either name, and once', async () => {
    save(1, 3);
    expect(said(await given())).toEqual(['there is no such folder yet; results are waited for']);
    give('checkpoint-300', 0.5);
    expect((await given()).of('scored')).toMatchObject([{ name: 'checkpoint-300', score: 0.5, waiting: 1 }]);
    give('step300-w2ckpt-sma', 0.625);
    const late = await given();
    expect(late.of('scored')).toMatchObject([
      { name: 'merged-checkpoint-300', score: 0.625, single: 0.5, over: { gain: 0.125 }, waiting: 0 },
    ]);
    expect((await given()).of('scored')).toEqual([]);
    expect(lines()).toHaveLength(2);
  });

  it('tells of what it met no model for, of what cannot be read, and of a score that changed', async () => {
    save(1, 3);
    give('checkpoint-300', '{"score": 0.');
    give('checkpoint-250', 0.5);
    const watching = new Watching({
      run: at('run'),
      output: at('merges'),
      threads: 1,
      select: { last: 2 },
      scores: at('given'),
      goal: 'maximize',
    });
    const told = (await watching.until('warning', 2)).map(({ warning }) => warning.message);
    expect(told.some((text) => text.includes('checkpoint-250 is of no merge and no checkpoint that this watch has met'))).toBe(true);
    expect(told.some((text) => text.includes('checkpoint-300.json'))).toBe(true);
    give('checkpoint-300', 0.5);
    await watching.until('scored');
    give('checkpoint-300', 0.75);
    const third = (await watching.until('warning', 3)).at(-1)?.warning.message;
    expect(third).toContain('checkpoint-300.json says 0.75 now, and 0.5 was taken, which stays');
    await watching.stop();
    expect(document().endpoints[0].single.score).toBe(0.5);
  });
});
