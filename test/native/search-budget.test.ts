import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { search } from '../../src/search/search.ts';
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
    trials: 30,
    dir: join(temporary.path, 'budget'),
  } as const;

  it('ends a round whose trials were all proposed at once, and the rest is done when the search goes on', async () => {
    const begun = await search({ ...options, budget: 1.5 });
    expect(begun.ended).toBe('budget');
    // The budget has room for fifteen at most.
    expect(begun.trials.length).toBeLessThanOrEqual(15);
    const rest = await search({ ...options, resume: true });
    const whole = await search({ ...options, dir: join(temporary.path, 'whole') });
    const told = ({ trials }: typeof rest) => trials.map(({ id, params, score }) => ({ id, params, score }));
    expect(told(rest)).toEqual(told(whole));
    expect(scored).toHaveLength(2 * whole.trials.length);
  });
});
