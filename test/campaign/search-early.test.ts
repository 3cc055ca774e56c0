import pc from 'picocolors';
import { afterAll, describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../src/base/numbers/random.ts';
import { readSearch } from '../../src/search/optimise/report.ts';
import { search } from '../../src/search/optimise/search.ts';
import type { ScoreFunction } from '../../src/search/study/scorer.ts';
import { studyLine } from '../../src/search/study/text.ts';
import type { StudyEvent } from '../../src/search/study/types.ts';
import { cutOff, idsOf, optionsOf, said, scorer } from '../support/search-options.ts';
import { removePlaces, searchPlace, wholeLines } from '../support/searching.ts';

afterAll(removePlaces);

/** The same noise for the same trial, so that a resumed search hears what it would have heard. */
const noisy =
  (of: (trial: number) => number): ScoreFunction =>
  async (_, { trial }) =>
    of(trial) + 0.01 * normalOf(randomOf(trial, 31))();

describe('a search of scores without differences', () => {
  it('ends early, says so, and tries all with allTrials', async () => {
    const [place, whole] = [searchPlace(), searchPlace()];
    const more = { eval: noisy(() => 0.5), trials: 40 };
    const document = await search(optionsOf(place, more));
    expect(document.ended).toBe('alike');
    expect(document.trials.length).toBeLessThan(40);
    expect(document.trials.length).toBeGreaterThanOrEqual(12);
    expect(document.conclusion).toMatchObject({ gainClaimed: false, noDifferences: { most: expect.any(Number) } });
    expect(document.conclusion.noDifferences!.most).toBeLessThan(0.03);
    expect(document.conclusion.text).toMatch(
      /No differences: \d+ recipes score alike within the noise, and no recipe of the space is likely/,
    );
    expect((await readSearch(place.trials)).conclusion).toEqual(document.conclusion);
    const again = await search(optionsOf(place, { ...more, resume: true }));
    expect(again.ended).toBe('alike');
    expect(again.trials).toHaveLength(document.trials.length);
    const all = await search(optionsOf(whole, { ...more, trials: document.trials.length + 1, allTrials: true }));
    expect(all.trials).toHaveLength(document.trials.length + 2);
    expect(all.ended).toBe('trials');
  });

  it('ends after eight of the very same score', async () => {
    const document = await search(optionsOf(searchPlace(), { eval: async () => 0.25, trials: 30 }));
    expect(document.ended).toBe('alike');
    expect(document.trials.length).toBeLessThan(12);
    expect(document.conclusion.text).toContain('the very same score');
  });

  it('does not end where there are differences, nor with a sampler that was asked for', async () => {
    expect(await search(optionsOf(searchPlace(), { trials: 16 }))).toMatchObject({ ended: 'trials' });
    const sobol = await search(optionsOf(searchPlace(), { eval: async () => 0.25, trials: 12, sampler: 'sobol' }));
    expect(sobol.ended).toBe('trials');
    expect(sobol.trials).toHaveLength(13); // the mean of the last ten comes on top
  });
});

describe('anchors', () => {
  const drifting: ScoreFunction = async (model, context) => {
    const own = await scorer().score(model);
    return own + 0.001 * normalOf(randomOf(context.trial, 32))() + (context.trial > 10 ? 0.2 : 0);
  };

  it('score the newest again after so many trials, and tell an evaluator that drifts', async () => {
    const place = searchPlace();
    const document = await search(optionsOf(place, { eval: drifting, trials: 16, anchorEvery: 4, allTrials: true }));
    const anchors = document.trials.filter(({ kind, repeatOf }) => kind === 'newest' && repeatOf !== null);
    expect(anchors.length).toBeGreaterThanOrEqual(2);
    expect(document.trials.filter(({ repeatOf }) => repeatOf === null)).toHaveLength(17); // the mean of the last ten comes on top
    expect(document.conclusion.drift).toMatchObject({ trials: [0, ...anchors.map(({ id }) => id)] });
    expect(document.conclusion.text).toMatch(
      /The evaluator drifts: the newest scored \S+ to \S+ in \d evaluations, \S+ times the noise of a score/,
    );
    expect((await readSearch(place.trials)).conclusion).toEqual(document.conclusion);
    const steady = await search(optionsOf(searchPlace(), { trials: 16, anchorEvery: 4 }));
    expect(steady.conclusion.drift).toBeUndefined();
  });

  it.each([
    [6, 1, 1, [4, 6, 8, 10]],
    [6, 2, 1, [5, 8]],
    [12, 2, 1, [5, 8, 11, 14, 17]],
    [12, 2, 3, [5, 8, 11, 14, 17]],
    [4, 3, 1, []],
  ])(
    'of %i trials come after each %i, also in the first batch, and the total is told (%i at once)',
    async (trials, anchorEvery, parallel, ids) => {
      const totals: (number | undefined)[] = [];
      const onEvent = (event: StudyEvent) => {
        if (event.type === 'evaluating') totals.push(event.progress?.of);
      };
      const { trials: lines } = await search(
        optionsOf(searchPlace(), { trials, anchorEvery, parallel, allTrials: true, scoreMembers: false }),
        { onEvent },
      );
      expect(lines.filter(({ kind, repeatOf }) => kind === 'newest' && repeatOf !== null).map(({ id }) => id)).toEqual(ids);
      expect(totals.at(-1)).toBe(lines.length);
    },
  );

  it('are where they would have been, whenever the search was ended and resumed', async () => {
    const more = { eval: drifting, trials: 14, anchorEvery: 3, allTrials: true };
    const whole = searchPlace();
    const wanted = said(await search(optionsOf(whole, more)), whole);
    for (const count of [9, 11, 13]) {
      const place = searchPlace();
      await cutOff(place, count, more);
      const document = await search(optionsOf(place, { ...more, resume: true }));
      expect(said(document, place)).toEqual(wanted);
      expect(idsOf(place).toSorted((a, b) => a - b)).toEqual(wholeLines(whole.trials).map((_, i) => i));
    }
  });
});

it('a search tells how far it is', async () => {
  const lines: string[] = [];
  const onEvent = (event: StudyEvent) => {
    if (event.type === 'evaluating') lines.push(studyLine(event, pc.createColors(false)));
  };
  await search(optionsOf(searchPlace(), { trials: 6 }), { onEvent });
  expect(lines[0]).toMatch(/^evaluating trial 0 \(1 of 7\): the newest checkpoint/);
  expect(lines.at(-1)).toMatch(/^evaluating trial \d \(7 of 7; best so far 0\.\d+ of trial \d; about \S+ \S+ left\): /);
});
