import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { search } from '../../src/search/optimise/search.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = weightedRun(join(temporary.path, 'run'), 4);

describe('a budget', () => {
  const scored: string[] = [];
  const evaluator = async (model: string) => {
    scored.push(model);
    await new Promise((done) => setTimeout(done, 100));
    const newest = readFileSync(join(model, 'model.safetensors')).subarray(-4).readFloatLE();
    return -((newest - 0.6) ** 2);
  };
  const options = {
    inputs: [run],
    select: { last: 2 },
    eval: evaluator,
    goal: 'maximize',
    sampler: 'grid',
    trials: 12,
    dir: join(temporary.path, 'budget'),
  } as const;

  it('ends a round whose trials were all proposed at once, and the rest is done when the search goes on', async () => {
    const begun = await search({ ...options, budget: 0.5 });
    expect(begun.ended).toBe('budget');
    // The budget has room for five at most.
    expect(begun.trials.length).toBeLessThanOrEqual(5);
    const rest = await search({ ...options, resume: true });
    const whole = await search({ ...options, dir: join(temporary.path, 'whole') });
    const told = ({ trials }: typeof rest) => trials.map(({ id, params, score }) => ({ id, params, score }));
    expect(told(rest)).toEqual(told(whole));
    expect(scored).toHaveLength(2 * whole.trials.length);
  });
});

describe('a validation', () => {
  it('is told by the trials of the search that it scores again', async () => {
    const validated = new Map<number, number | null>();
    const told: number[] = [];
    const away = (target: number) => async (model: string) =>
      -((readFileSync(join(model, 'model.safetensors')).subarray(-4).readFloatLE() - target) ** 2);
    const document = await search(
      {
        inputs: [run],
        select: { last: 2 },
        eval: away(0.7),
        validate: away(0.6),
        goal: 'maximize',
        trials: 6,
        dir: join(temporary.path, 'validated'),
      },
      {
        onEvent: (event) => {
          if (event.type === 'evaluating' && event.validation) told.push(event.trial);
          if (event.type === 'trial' && event.validation) validated.set(event.trial.id, event.trial.score);
        },
      },
    );
    expect(told).toEqual([...validated.keys()]);
    expect(validated).toEqual(new Map(document.validation!.rows.map(({ trial, score }) => [trial, score])));
  });
});

describe('a chain of pairs', () => {
  it('says of which pair its conclusion is', async () => {
    const third = async (model: string) => readFileSync(join(model, 'model.safetensors')).subarray(-16).readFloatLE(8);
    const dir = join(temporary.path, 'chain');
    const { conclusion, chain } = await search({ inputs: [run], pairwiseChain: true, eval: third, goal: 'maximize', trials: 4, dir });
    expect(conclusion.text).toMatch(/^Of the newest pair: No /);
    // The third checkpoint is in two pairs, and best where it is alone.
    expect(chain![1]!.best!.score).toBe(1);
    expect(chain![2]!.best!.score).toBeLessThan(1);
  });
});

it('counts the validation that follows in the time that is left', async () => {
  const wait = async () => {
    await new Promise((done) => setTimeout(done, 60));
    return 1;
  };
  const left: (number | null)[] = [];
  const steps: string[] = [];
  await search(
    { inputs: [run], select: { last: 2 }, eval: wait, validate: wait, goal: 'maximize', trials: 3, dir: join(temporary.path, 'left') },
    {
      onEvent: (event) => {
        if (event.type !== 'evaluating') return;
        if (event.validation) steps.push(`${event.progress!.step} of ${event.progress!.of}`);
        else left.push(event.progress!.secondsLeft);
      },
    },
  );
  // The last of the search and at least newest, mean and best on the second set.
  expect(left.at(-1)).toBeGreaterThan(4 * 0.06);
  expect(steps).toEqual(steps.map((_, i) => `${i + 1} of ${steps.length}`));
  expect(steps.length).toBeGreaterThan(2);
});
