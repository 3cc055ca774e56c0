import { describe, expect, it } from 'vitest';
import { forecastPage } from '../../../src/search/forecast/page.ts';
import { searchPage } from '../../../src/search/optimise/page.ts';
import { scoreFocus } from '../../../src/search/optimise/page-figures.ts';
import type { SearchDocument } from '../../../src/search/optimise/types.ts';
import { sampleForecast } from '../../browser/sample-forecast.ts';
import { type SampleKind, sampleSearch } from '../../browser/sample-search.ts';

const KINDS: readonly SampleKind[] = ['pairwise', 'plane', 'schedule', 'weights', 'soup', 'chain', 'failed', 'one'];

/** The part of a page between its heading and the next. */
function section(page: string, title: string): string {
  return new RegExp(`<h2>${title}</h2>([\\s\\S]*?)</section>`).exec(page)?.[1] ?? '';
}

/** Rows of the first table that is not folded under a figure, as texts of their cells. */
function tableOf(part: string): string[][] {
  const [, body] = /<div class="wide(?: full)?"><table><thead>[\s\S]*?<tbody>([\s\S]*?)<\/tbody>/.exec(part)!;
  return body!
    .trim()
    .split('</tr>')
    .slice(0, -1)
    .map((row) => [...row.matchAll(/<td[^>]*>([\s\S]*?)<\/td>/g)].map(([, cell]) => cell!.replace(/<[^>]+>/g, '').trim()));
}

it('a parameter that decides nothing has no value in any table of a page', () => {
  const document = sampleSearch('schedule', { members: 20, trials: 40 });
  const params = { window: 3, method: 'sma', alpha: 0.158114 };
  const trials = document.trials.map((trial) => (trial.params === null ? trial : { ...trial, params }));
  expect(trials.some((trial) => trial.params === params)).toBe(true);
  expect(searchPage({ ...document, trials })).not.toContain('>0.158114<');
  const ema = trials.map((trial) => (trial.params === null ? trial : { ...trial, params: { ...params, method: 'ema' } }));
  expect(searchPage({ ...document, trials: ema })).toContain('>0.158114');
});

/** Without scripts and style. */
function markup(page: string): string {
  return page.replace(/<(script|style)>[\s\S]*?<\/\1>/g, '');
}

describe.each(KINDS)('the page of a %s search', (kind) => {
  const page = searchPage(sampleSearch(kind, kind === 'weights' ? { members: 20, trials: 200 } : {}));

  it('has no number that is none, and is the same bytes again', () => {
    expect(markup(page)).not.toMatch(/NaN|Infinity|undefined|null/);
    expect(searchPage(sampleSearch(kind, kind === 'weights' ? { members: 20, trials: 200 } : {}))).toBe(page);
  });

  it('has every trial and every member', () => {
    const document = sampleSearch(kind, kind === 'weights' ? { members: 20, trials: 200 } : {});
    expect(tableOf(section(page, 'Every trial')).map(([id]) => Number(id))).toEqual(document.trials.map(({ id }) => id));
    expect(tableOf(section(page, 'Members')).map((row) => row.at(-1))).toEqual(document.members.map(({ path }) => path));
  });
});

describe('the headline of a search', () => {
  const sample = sampleSearch('pairwise');
  const verdict = (document: SearchDocument): string => /<div class="verdict (\w+)">/.exec(searchPage(document))![1]!;

  it('is the conclusion, and good only where a gain is claimed', () => {
    expect(searchPage(sample)).toContain(`<div class="verdict good"><p>${sample.conclusion.text}</p>`);
    expect(verdict({ ...sample, conclusion: { ...sample.conclusion, gainClaimed: false } })).toBe('neutral');
    expect(verdict(sampleSearch('failed'))).toBe('bad');
  });

  it('is its first sentence, with the others below', () => {
    const text = 'No evidence of a gain: by 0.5 (95 % interval -1.2 to 2.1). The interval covers noise. So it is.';
    const page = searchPage({ ...sample, conclusion: { ...sample.conclusion, text } });
    expect(page).toContain('<p>No evidence of a gain: by 0.5 (95 % interval -1.2 to 2.1).</p>');
    expect(page).toContain('<li>The interval covers noise. So it is.</li>');
  });

  it('rounds a gain to what its interval leaves open, and never says certain', () => {
    const page = searchPage({
      ...sample,
      conclusion: { ...sample.conclusion, gain: 0.00871234, interval: [-0.00123456, 0.01868], probability: 1 },
    });
    expect(page).toContain('+0.0087 (95 % interval -0.0012 to +0.0187) over the uniform mean');
    expect(page).toContain('<dd>over 99 %</dd>');
  });

  it('has advice on bounds below it', () => {
    expect(searchPage(sampleSearch('plane'))).toMatch(/class="verdict good">[\s\S]*?<li>The best window, 6, is all members/);
  });
});

describe('what a search learned', () => {
  const titles = (page: string): string[] => [...page.matchAll(/<figcaption>([^<]*)/g)].map(([, title]) => title!);

  it.each([
    ['pairwise', ['What the model makes of lambda']],
    ['plane', ['What the model makes of window and alpha', 'How unsure the model is']],
    ['schedule', ['Every trial across all parameters']],
    ['weights', ['Every trial across all parameters']],
    ['one', ['Score by lambda']],
    ['soup', []],
    ['failed', []],
  ] as const)('of a %s search is drawn as %j', (kind, expected) => {
    expect(titles(section(searchPage(sampleSearch(kind)), 'What it learned'))).toEqual(expected);
  });

  it('has the trials on the curve, repeats as one, the best apart, and failures at the foot', () => {
    const part = section(searchPage(sampleSearch('pairwise')), 'What it learned');
    const sample = sampleSearch('pairwise');
    const mean = (sample.trials[3]!.score! + sample.trials[10]!.score!) / 2;
    expect(sample.trials[10]!.repeatOf).toBe(3);
    expect(part).toContain(`data-v="${mean}"`);
    expect(part).toContain(`>best (trial ${sample.best!.trial})</text>`);
    expect(part.match(/<td>yes/g)).toHaveLength(2);
  });

  it('has the trials on the map where their values lie, larger values upwards', () => {
    const sample = sampleSearch('plane');
    const part = section(searchPage(sample), 'What it learned');
    const cell = Number(/data-cell-height="(\d+)"/.exec(part)![1]);
    const top = Number(/data-top="(\d+)"/.exec(part)![1]);
    const drawn = [...part.matchAll(/<circle class="point[^>]*cy="([\d.]+)"[^>]*><title>trial (\d+)/g)].slice(0, 7);
    expect(drawn.length).toBe(7);
    for (const [, y, id] of drawn) {
      const alpha = Number(sample.trials[Number(id)]!.params!.alpha);
      // 25 rows from 0.05 at the foot to 0.5, by ratio.
      const row = 24 - 24 * Math.log10(alpha / 0.05);
      expect(Number(y)).toBeCloseTo(top + (row + 0.5) * cell, 0);
    }
  });

  it('holds parameters of any name', () => {
    const sample = sampleSearch('pairwise');
    const named = { ...sample, space: { ...sample.space, parameters: [{ name: '__proto__', kind: 'real' as const, low: 0, high: 1 }] } };
    expect(() => searchPage(named)).not.toThrow();
  });
});

describe('an axis of scores', () => {
  it('spans the good ones and leaves out what is far off, in either direction', () => {
    expect(scoreFocus([1.2, 1.18, 1.19, 9], 'minimize').sort()).toEqual([1.18, 1.19, 1.2]);
    expect(scoreFocus([0.5, 0.51, 0.52, 0.01], 'maximize').sort()).toEqual([0.5, 0.51, 0.52]);
  });

  it('spans all that is evenly spread, all of equal scores, and one', () => {
    const even = Array.from({ length: 11 }, (_, i) => i / 10);
    expect(scoreFocus(even, 'maximize')).toEqual(even);
    expect(scoreFocus([2, 2, 2, 5], 'minimize')).toEqual([2, 2, 2, 5]);
    expect(scoreFocus([2], 'minimize')).toEqual([2]);
  });
});

describe('the best recipe and its baselines', () => {
  it('are compared in the direction of the goal, item by item or not', () => {
    const rows = tableOf(section(searchPage(sampleSearch('pairwise')), 'The best recipe and its baselines'));
    expect(rows[0]![0]).toBe('lambda 0.76 best');
    expect(rows[1]!.slice(3, 5)).toEqual(['+0.15917 ± 0.00090', 'item by item']);
  });

  it('may be the same', () => {
    const sample = sampleSearch('one');
    expect(tableOf(section(searchPage(sample), 'The best recipe and its baselines'))[1]).toContain('the same');
    expect(section(searchPage(sample), 'Who weighs how much')).toContain('best, newest');
  });

  it('have weights of roles in a column of their own', () => {
    const sample = sampleSearch('schedule', { trials: 25 });
    const trials = sample.trials.map((trial) =>
      trial.id === sample.best!.trial
        ? { ...trial, parts: [{ role: 'router', weights: trial.weights.map((_, i) => (i === 0 ? 1 : 0)) }] }
        : trial,
    );
    expect(section(searchPage({ ...sample, trials }), 'Who weighs how much')).toContain('<th scope="col">best, router');
  });

  it('that reach back beyond the pool are told by their steps', () => {
    const sample = sampleSearch('pairwise');
    const older = { path: 'elsewhere/a', step: 4000, weight: 0.1 };
    const trials = sample.trials.map((trial) => (trial.id === 2 ? { ...trial, weights: [older, ...trial.weights] } : trial));
    expect(tableOf(section(searchPage({ ...sample, trials }), 'Every trial'))[2]).toContain('3 from step 4000');
  });

  it('of another run than the pool have their checkpoints in the table of weights, too', () => {
    const sample = sampleSearch('pairwise');
    const older = { path: 'runs/dense/checkpoint-4000', step: 4000, weight: 0.1 };
    const trials = sample.trials.map((trial) => (trial.id === 2 ? { ...trial, weights: [older, ...trial.weights] } : trial));
    const part = section(searchPage({ ...sample, trials }), 'Who weighs how much');
    expect([...part.matchAll(/<th scope="row">(step \d+)/g)].map(([, label]) => label)[0]).toBe('step 4000');
  });
});

describe('a second set', () => {
  const sample = sampleSearch('schedule', { trials: 25 });
  const onValidation = (gain: number): string =>
    section(
      searchPage({ ...sample, validation: { ...sample.validation!, onValidation: { gain, error: null, paired: false } } }),
      'On a second set',
    );

  it('says how much of the gain is found there, or that it is gone', () => {
    expect(section(searchPage(sample), 'On a second set')).toContain('35.6 % of the gain on the search set is found here, too.');
    expect(onValidation(-0.001)).toContain('The gain on the search set is gone here');
    expect(onValidation(-0.001)).toContain('second set (unpaired)');
  });

  it('is not there where there was none', () => {
    expect(searchPage(sampleSearch('pairwise'))).not.toContain('On a second set');
  });
});

it('errors are drawn only where they are each trial’s own', () => {
  const sample = sampleSearch('pairwise');
  const errors = (noise: 'shared' | 'independent'): number =>
    [...section(searchPage({ ...sample, noise }), 'How the search went').matchAll(/<td data-v="[^"]*">[\d.]+ ± /g)].length;
  expect(errors('shared')).toBe(0);
  expect(errors('independent')).toBe(sample.trials.filter(({ score }) => score !== null).length);
});

it('the best so far never gets worse, in the direction of the goal', () => {
  const sample = sampleSearch('schedule', { trials: 40 });
  for (const goal of ['minimize', 'maximize'] as const) {
    const part = section(searchPage({ ...sample, goal }), 'How the search went');
    const heads = [...part.matchAll(/<th scope="col"[^>]*>([^<]*)/g)].map(([, head]) => head);
    const column = heads.indexOf('best so far');
    const values = [...part.matchAll(/<tr><th scope="row"[^>]*>[^<]*((?:<td[^>]*>[^<]*)+)/g)].flatMap(([, cells]) => {
      const cell = [...cells!.matchAll(/<td([^>]*)>/g)][column - 1]?.[1] ?? '';
      return /data-v="([^"]+)"/.exec(cell)?.[1] ?? [];
    });
    const numbers = values.map(Number);
    expect(numbers.length).toBeGreaterThan(30);
    for (const [i, value] of numbers.entries()) {
      if (i > 0) expect(goal === 'minimize' ? value <= numbers[i - 1]! : value >= numbers[i - 1]!).toBe(true);
    }
  }
});

it('a chain has λ and scores along the run, and a row a pair', () => {
  const part = section(searchPage(sampleSearch('chain')), 'Pair by pair');
  expect([...part.matchAll(/<figcaption>([^<]*)/g)].map(([, title]) => title)).toEqual(['λ along the run', 'Scores along the run']);
  expect(tableOf(part).map(([pair, lambda]) => [pair, lambda])).toEqual([
    ['step 5000 → step 5200', 'lambda 0.6'],
    ['step 5200 → step 5400', 'lambda 0.68'],
    ['step 5400 → step 5600', 'lambda 0.76'],
    ['step 5600 → step 5800', 'lambda 0.84'],
    ['step 5800 → step 6000', 'lambda 0.92'],
  ]);
});

it('the curve of a chain has the trials of the newest pair alone: λ = 1 of the pair before is another recipe', () => {
  const sample = sampleSearch('chain');
  const [older, before] = [sample.members[3]!, sample.members[4]!];
  const score = 1.23456789;
  const trials = sample.trials.map((trial) =>
    trial.id === 4
      ? {
          ...trial,
          score,
          params: { lambda: 1 },
          weights: [
            { ...older, weight: 0 },
            { ...before, weight: 1 },
          ],
        }
      : trial,
  );
  const alone = trials.map((trial) => (trial.id === 4 ? { ...trial, weights: trial.weights.slice(1) } : trial));
  for (const of of [trials, alone]) {
    const part = section(searchPage({ ...sample, trials: of }), 'What it learned of the newest pair');
    expect(part).not.toContain(`data-v="${score}"`);
    expect(part).toContain(`data-v="${sample.trials[6]!.score}"`);
  }
});

describe('the page of a forecast', () => {
  it('says that it is an estimate, and has no decayed score unless it was calibrated', () => {
    const plain = forecastPage(sampleForecast());
    expect(plain).toContain('not of a decayed one: on our runs a real decay was better each time, its score lower');
    expect(plain).toContain('no: nothing is said of a decayed score');
    expect(markup(plain)).not.toMatch(/decayed, by the calibration|Decayed, by the calibration|class="band/);
    const calibrated = forecastPage(sampleForecast({ calibrated: true }));
    expect(calibrated).toContain('0.7 ± 0.057 of a real decay, from 2 branches');
    expect(markup(calibrated).match(/class="band c2"/g)).toHaveLength(1);
    expect(markup(calibrated)).not.toMatch(/NaN|Infinity|undefined|null/);
  });

  it('has a gain of each window, with its error where one is known', () => {
    const sample = sampleForecast();
    const gains = (error: number | null) => {
      const points = sample.points.map((point) => ({ ...point, difference: point.difference && { ...point.difference, error } }));
      return tableOf(section(forecastPage({ ...sample, points }), 'Along the run')).map((row) => row.at(-1)!);
    };
    expect(gains(0.0009)[0]).toBe('+0.07600 ± 0.00090');
    expect(gains(null)[0]).toBe('+0.0760');
    expect(gains(null)[2]).toBe('–');
  });

  it('has no band from one branch, and says so', () => {
    const sample = sampleForecast({ calibrated: true });
    const flat = sample.points.map((point) => ({
      ...point,
      decayed: point.decayed && { ...point.decayed, low: point.decayed.score, high: point.decayed.score },
    }));
    const one = forecastPage({ ...sample, points: flat, branches: sample.branches.slice(0, 1), recovered: { mean: 0.66, spread: null } });
    expect(markup(one)).not.toContain('class="band');
    expect(one).toContain('One branch has no spread: the decayed line has no band.');
  });

  it('holds where nothing has a score, and where steps are unknown', () => {
    const sample = sampleForecast();
    const nothing = sample.points.map((point) => ({ ...point, single: null, merged: null, difference: null }));
    expect(forecastPage({ ...sample, points: nothing })).toContain('<div class="verdict bad"><p>No window has both');
    expect(forecastPage({ ...sample, points: [] })).toContain('0 windows');
    const stepless = forecastPage({ ...sample, points: sample.points.map((point) => ({ ...point, step: null })) });
    expect(stepless).toContain('window, oldest first');
  });
});
