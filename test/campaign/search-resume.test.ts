import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readSearch } from '../../src/search/optimise/report.ts';
import { search } from '../../src/search/optimise/search.ts';
import type { ScoreFunction } from '../../src/search/study/scorer.ts';
import type { StudyEvent } from '../../src/search/study/types.ts';
import { weightsIn } from '../support/model-weights.ts';
import { cutOff, failure, idsOf, optionsOf, said, scorer } from '../support/search-options.ts';
import { removePlaces, searchPlace, wholeLines } from '../support/searching.ts';

afterAll(removePlaces);

const undisturbed = searchPlace();
const wanted = said(await search(optionsOf(undisturbed)), undisturbed);

describe('a resume', () => {
  it('of a finished search gives its result, and neither scores nor merges', async () => {
    const place = searchPlace();
    const first = await search(optionsOf(place));
    const before = readFileSync(place.trials, 'utf8');
    const output = join(place.out, 'model.safetensors');
    utimesSync(output, 1, 1);
    const { score, scored } = scorer();
    const again = await search(optionsOf(place, { eval: score, resume: true }));
    expect(said(again, place)).toEqual(said(first, place));
    expect({ scored, merges: again.merges, reads: again.reads }).toEqual({ scored: [], merges: 0, reads: 0 });
    expect(readFileSync(place.trials, 'utf8')).toBe(before);
    expect(weightsIn(place.out)).toEqual(weightsIn(undisturbed.out));
    rmSync(place.out, { recursive: true });
    await search(optionsOf(place, { resume: true }));
    expect(weightsIn(place.out)).toEqual(weightsIn(undisturbed.out));
  });

  it('with more trials goes on from those that are there, and makes its output anew', async () => {
    const [place, long] = [searchPlace(), searchPlace()];
    await search(optionsOf(place, { trials: 3 }));
    const before = wholeLines(place.trials);
    const few = weightsIn(place.out);
    const document = await search(optionsOf(place, { resume: true }));
    expect(wholeLines(place.trials).slice(0, before.length)).toEqual(before);
    expect(document.trials).toHaveLength(wanted.trials.length);
    expect(weightsIn(place.out)).not.toEqual(few);
    await search(optionsOf(long, { trials: 3 }));
    writeFileSync(join(long.out, 'model.safetensors'), 'no more what it was');
    const refused = await failure(search(optionsOf(long, { resume: true })));
    expect(refused.code).toBe('E_OUTPUT_EXISTS');
    // Before anything was paid for.
    expect(wholeLines(long.trials)).toHaveLength(before.length);
    expect(readFileSync(join(long.out, 'model.safetensors'), 'utf8')).toBe('no more what it was');
    await search(optionsOf(long, { resume: true, force: true }));
    expect(weightsIn(long.out)).toEqual(weightsIn(place.out));
    expect(wholeLines(long.trials)).toHaveLength(wholeLines(place.trials).length);
  });

  it('tells repeats from first trials also where a repeat ended first, and so tries no recipe more', async () => {
    const [place, whole] = [searchPlace(), searchPlace()];
    const more = { repeats: 2, parallel: 8, trials: 4 };
    const { trials } = await search(optionsOf(whole, more));
    const stop = new AbortController();
    const { score } = scorer();
    let others = 0;
    const lingering: ScoreFunction = async (model, { trial, signal }) => {
      if (trial !== 1) return score(model);
      // The uniform mean takes longer than all others of its round, its own repeat among them.
      return new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason), { once: true }));
    };
    Object.defineProperty(lingering, 'name', { value: 'score' });
    const onEvent = (event: StudyEvent) => {
      if (event.type === 'trial' && ++others === trials.filter(({ repeatOf }) => repeatOf !== null).length) stop.abort('the test');
    };
    await expect(search(optionsOf(place, { ...more, eval: lingering }), { signal: stop.signal, onEvent })).rejects.toBe('the test');
    const repeat = trials.find(({ repeatOf }) => repeatOf === 1)!;
    expect(idsOf(place)).toContain(repeat.id);
    expect(idsOf(place)).not.toContain(1);
    const resumed = await search(optionsOf(place, { ...more, resume: true }));
    const told = (all: typeof trials) => all.map(({ id, kind, params, repeatOf }) => ({ id, kind, params, repeatOf }));
    expect(told(resumed.trials)).toEqual(told(trials));
  });

  it('makes an output that is a single file anew as well', async () => {
    const { folder, run } = searchPlace();
    const files = [300, 400].map((step) => join(run, `checkpoint-${step}/model.safetensors`));
    const out = join(folder, 'best.safetensors');
    const options = (trials: number) => ({ inputs: files, eval: scorer().score, goal: 'maximize', output: out, trials }) as const;
    await search(options(2));
    const few = weightsIn(out);
    await search({ ...options(6), resume: true });
    expect(weightsIn(out)).not.toEqual(few);
  });

  it('with other settings is refused with every difference', async () => {
    const place = searchPlace();
    await cutOff(place, 3);
    const other = { resume: true, goal: 'minimize', seed: 3, dtype: 'F16', eval: 'other {model}', alpha: 0.25 } as const;
    const { code, message } = await failure(search(optionsOf(place, other)));
    expect(code).toBe('E_SEARCH_STATE');
    for (const what of [
      'the space',
      'evaluator: the function score then, other {model} now',
      'goal: maximize then',
      'seed: 0 then, 3 now',
      'dtype',
    ])
      expect(message).toContain(what);
    expect((await failure(search(optionsOf(place, { resume: true, select: { last: 3 } })))).message).toContain(
      'checkpoints: 300, 400 then',
    );
    expect((await failure(search(optionsOf(place)))).code).toBe('E_OUTPUT_EXISTS');
    expect(idsOf(place)).toEqual([0, 1, 2]);
  });

  it('keeps the count of patience', async () => {
    const whole = searchPlace();
    const patient = { patience: 2, trials: 12, sampler: 'grid' } as const;
    const document = await search(optionsOf(whole, patient));
    const place = searchPlace();
    let runs = 0;
    for (;;) {
      const stop = new AbortController();
      // Each run may score two.
      let left = 2;
      const onEvent = (event: StudyEvent) => {
        if (event.type === 'evaluating' && left-- === 0) stop.abort('enough');
      };
      runs++;
      const end = await search(optionsOf(place, { ...patient, resume: true }), { signal: stop.signal, onEvent }).catch((error) => error);
      if (end === 'enough') continue;
      expect(said(end, place)).toEqual(said(document, whole));
      break;
    }
    expect(runs).toBeGreaterThan(2);
  });

  it('keeps what was spent of the budget', async () => {
    const place = searchPlace();
    await cutOff(place, 3);
    const lines = wholeLines(place.trials).map((line) => JSON.stringify({ ...JSON.parse(line), elapsed: 3590, seconds: 600 }));
    writeFileSync(place.trials, `${lines.join('\n')}\n`);
    const { score, scored } = scorer();
    const document = await search(optionsOf(place, { eval: score, resume: true, budget: 3600 }));
    expect({ ended: document.ended, scored }).toEqual({ ended: 'budget', scored: [] });
    const more = await search(optionsOf(place, { eval: score, resume: true, budget: 36_000 }));
    expect({ ended: more.ended, trials: more.trials.length }).toEqual({ ended: 'trials', trials: wanted.trials.length });
    expect(Math.min(...wholeLines(place.trials).map((line) => JSON.parse(line).elapsed))).toBeGreaterThanOrEqual(3590);
  });

  it('does not score again what was scored before the direction was known', async () => {
    const place = searchPlace();
    const { score, scored } = scorer();
    const unknown = { eval: score, goal: undefined };
    expect((await failure(search(optionsOf(place, unknown)))).code).toBe('E_GOAL');
    expect(scored).toHaveLength(1);
    // Nothing is scored until it is known.
    expect((await failure(search(optionsOf(place, { ...unknown, resume: true })))).code).toBe('E_GOAL');
    expect(scored).toHaveLength(1);
    const document = await search(optionsOf(place, { eval: score, resume: true }));
    expect(said(document, place)).toEqual(wanted);
    expect(scored).toHaveLength(wanted.trials.length);
    // Said once, it is known from then on.
    expect(said(await search(optionsOf(place, { ...unknown, resume: true })), place)).toEqual(wanted);
    const opposite = searchPlace();
    await failure(search(optionsOf(opposite, unknown)));
    const least = await search(optionsOf(opposite, { goal: 'minimize', resume: true }));
    expect(said(await readSearch(opposite.dir), opposite)).toMatchObject({ goal: 'minimize', best: { trial: least.best!.trial } });
  });
});

describe('a validation', () => {
  it('that is ended at any of its trials goes on where it was, and the search itself not at all', async () => {
    const whole = searchPlace();
    const validating = () => {
      const { score, scored } = scorer();
      return { scored, validate: Object.defineProperty(async (model: string) => (await score(model)) / 2, 'name', { value: 'second' }) };
    };
    const second = validating();
    const document = await search(optionsOf(whole, { validate: second.validate }));
    const count = second.scored.length;
    expect(count).toBeGreaterThan(3);
    for (let done = 1; done < count; done++) {
      const place = searchPlace();
      const stop = new AbortController();
      let begun = 0;
      const onEvent = (event: StudyEvent) => {
        if (event.type === 'evaluating' && event.validation && ++begun === done) stop.abort('the test');
      };
      const cut = search(optionsOf(place, { validate: validating().validate }), { signal: stop.signal, onEvent });
      await expect(cut).rejects.toBe('the test');
      const { score, scored } = scorer();
      const rest = validating();
      const resumed = await search(optionsOf(place, { eval: score, validate: rest.validate, resume: true }));
      expect(said(resumed, place)).toEqual(said(document, whole));
      expect({ search: scored.length, validation: rest.scored.length }).toEqual({ search: 0, validation: count - done });
    }
  });
});
