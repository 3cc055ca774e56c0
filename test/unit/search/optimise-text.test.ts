import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { plainNumber } from '../../../src/render/numbers.ts';
import { wrap } from '../../../src/render/wrap.ts';
import { forecastText } from '../../../src/search/forecast/text.ts';
import { searchText } from '../../../src/search/optimise/text.ts';
import { gainText } from '../../../src/search/optimise/words.ts';
import { paramText, scoreText } from '../../../src/search/study/words.ts';
import { sampleForecast } from '../../browser/sample-forecast.ts';
import { type SampleKind, sampleSearch } from '../../browser/sample-search.ts';

const plain = pc.createColors(false);
const colourful = pc.createColors(true);
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of these
const COLOUR = /\u001b\[\d+m/g;

describe('the text of a search', () => {
  it('begins with the conclusion, then the best recipe with its weights and the baselines', () => {
    const lines = searchText(sampleSearch('pairwise'), plain).split('\n');
    expect(lines.slice(0, 9)).toEqual([
      'The best recipe is better than the uniform mean by 0.0087 (95 % interval 0.0061 to 0.0112).',
      '',
      'best recipe: lambda 0.76 (trial 9)',
      '  scored 1.18041 ± 0.013, by the model 1.18081 ± 0.0006 (lower is better)',
      '  step 5800 × 0.24, step 6000 × 0.76',
      '',
      'baseline                        score     best against it',
      'newest (step 6000)    1.33958 ± 0.013  +0.15917 ± 0.00090  item by item',
      'mean of all 6         1.19185 ± 0.013  +0.01144 ± 0.00090  item by item',
    ]);
  });

  it.each<SampleKind>(['pairwise', 'plane', 'schedule', 'weights', 'soup', 'chain', 'failed', 'one'])(
    'of a %s search fits in 100 columns, says nothing by colour alone, and has no number that is none',
    (kind) => {
      const text = searchText(sampleSearch(kind, { members: 20, trials: 40 }), plain);
      expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
      expect(text).not.toMatch(/NaN|undefined|null|Infinity/);
      expect(searchText(sampleSearch(kind, { members: 20, trials: 40 }), colourful).replace(COLOUR, '')).toBe(text);
      expect(text.endsWith('\n')).toBe(true);
    },
  );

  it('writes out few weights, says equal ones once, and of many the heaviest', () => {
    const sample = sampleSearch('schedule', { members: 20 });
    const weigh = (weights: readonly number[]): string => {
      const best = { ...sample.best!, weights: weights.map((weight, i) => ({ ...sample.members[i]!, weight })) };
      return searchText({ ...sample, best }, plain)
        .split('\n')[4]!
        .trim();
    };
    expect(weigh([0.25, 0, 0.75])).toBe('step 2200 × 0.25, step 2600 × 0.75');
    expect(weigh([1])).toBe('step 2200 × 1');
    expect(weigh([0.25, 0.25, 0.25, 0.25])).toBe('4 checkpoints, step 2200 to step 2800, 0.25 each');
    expect(weigh(Array.from({ length: 10 }, (_, i) => (i + 1) / 55))).toBe(
      '10 checkpoints, step 2200 to step 4000; heaviest step 4000 × 0.1818, step 3800 × 0.1636, step 3600',
    );
  });

  it('says where every evaluation failed why, each reason once, and what is on a bound', () => {
    const failed = searchText(sampleSearch('failed'), plain);
    expect(failed).toContain('12 trials from 0 on failed: exit code 1 from runs/dense/checkpoint\n');
    expect(failed).not.toContain('best recipe');
    expect(searchText(sampleSearch('plane'), plain)).toContain('\n  - The best window, 6, is all members:');
  });

  it('has the gain on both sets where there are two', () => {
    expect(searchText(sampleSearch('schedule', { trials: 25 }), plain)).toContain(
      '  gain over the better baseline  +0.00310 ± 0.00090, item by item\n  on the search set it was       +0.00870 ± 0.00090, item by item\n',
    );
  });

  it('shows names that would move the cursor as escapes', () => {
    const text = searchText(sampleSearch('failed', { name: 'runs/\u001b[2Jx/checkpoint' }), colourful);
    expect(text.replace(COLOUR, '')).not.toContain('\u001b');
    expect(text).toContain('\\x1b[2Jx');
  });
});

describe('the text of a forecast', () => {
  it('says what the last window gives, that it is an estimate, and a line a window', () => {
    const text = forecastText(sampleForecast(), plain);
    expect(text.startsWith('Up to step 5800 the merge scores 1.21')).toBe(true);
    expect(text.replace(/\s+/g, ' ')).toContain('not of a decayed one: on our runs a real decay was better each time, its score lower');
    expect(text.match(/^step \d{4} /gm)).toHaveLength(8);
    expect(text).not.toMatch(/calibration|recovered|NaN/);
  });

  it('has decayed scores only where it was calibrated, and fits', () => {
    const text = forecastText(sampleForecast({ calibrated: true }), plain);
    expect(text).toContain('decayed, by the calibration');
    expect(text).toContain('merging recovered 0.7 ± 0.057 of a real decay, from 2 branches');
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
  });

  it('says worse where it is worse, and holds where there is nothing', () => {
    const sample = sampleForecast();
    const worse = sample.points.map((point) => ({ ...point, difference: { gain: -0.012, error: 0.0009, paired: true } }));
    expect(forecastText({ ...sample, points: worse }, plain)).toMatch(/0\.012 worse \(±\s0\.0009,\sitem\sby\sitem\)\sthan/);
    expect(forecastText({ ...sample, points: [], trials: [] }, plain)).toContain('No window has both');
  });
});

describe('numbers in these texts', () => {
  it.each([
    [scoreText(1.2345678, null), '1.23457'],
    [scoreText(0.612, 0.00488), '0.612000 ± 0.0049'],
    [scoreText(1, 0), '1 ± 0'],
    [scoreText(null, null), '–'],
    [gainText(0.0123456), '+0.0123'],
    [gainText(-0.5, 0.01), '-0.500 ± 0.010'],
    [paramText(0.73210001), '0.7321'],
    [paramText(0.5), '0.5'],
    [paramText('ema'), 'ema'],
    [plainNumber(0.00004567, 2), '4.6e-5'],
  ])('%j is %j', (actual, expected) => {
    expect(actual).toBe(expected);
  });

  it('text is broken at spaces, and long words stay whole', () => {
    expect(wrap('aa bb cc', 5)).toEqual(['aa bb', 'cc']);
    expect(wrap('aaaaaaaa b', 5, '  ')).toEqual(['aaaaaaaa', '  b']);
    expect(wrap('a 95 % b', 5)).toEqual(['a', '95 %', 'b']);
    expect(wrap('', 5)).toEqual(['']);
  });
});

describe('numbers of a search', () => {
  it('are written out in a difference as in the sentence, with as many decimals in a column', () => {
    expect([0.000451, -0.00154, 4.51e-7, 0.0871, 0].map((gain) => gainText(gain))).toEqual([
      '+0.000451',
      '-0.00154',
      '+4.51e-7',
      '+0.0871',
      '0',
    ]);
    const sample = sampleSearch('pairwise');
    const difference = (gain: number) => ({ gain, error: null, paired: false });
    const baselines = sample.baselines
      .slice(0, 2)
      .map((baseline, i) => ({ ...baseline, difference: difference([0.000451, -0.00154][i]!) }));
    const text = searchText({ ...sample, baselines }, plain);
    for (const gain of [' +0.000451 ', ' -0.001540 ']) expect(text).toContain(gain);
    const weights = [0.4096, 0.128, 0.16, 0.2, 0.1024].map((weight, i) => ({ path: `c${i}`, step: i, tokens: null, weight }));
    expect(searchText({ ...sample, best: { ...sample.best!, weights } }, plain)).toMatch(
      /× 0\.4096, .* × 0\.1280, .* × 0\.1600,\s.*× 0\.2000/,
    );
    expect(scoreText(7.92365e10, 4.6e7)).toBe('7.92365e10 ± 4.6e7');
  });
});

describe('a score of a forecast far from those beside it', () => {
  const points = (scores: readonly number[]) =>
    scores.map((score, i) => ({ ...sampleForecast().points[0]!, step: 100 * (i + 1), single: score, merged: 2 - i / 100 }));
  const smooth = [11, 4, 3.2, 3.01, 3, 2.99, 2.98];

  it.each([
    [3, -1e9],
    [5, 1e9],
    [6, 1e9],
  ])('is named, at window %i', (at, score) => {
    const document = { ...sampleForecast(), points: points(smooth.map((own, i) => (i === at ? score : own))) };
    expect(forecastText(document, plain).replace(/\s+/g, ' ')).toContain(`Far from the scores beside it: step ${100 * (at + 1)} alone (`);
  });

  it('is none where training begins far off, and where scores are noisy', () => {
    for (const scores of [smooth, [3, 2.5, 3.1, 2.4, 3.3, 2.6], [1, 1, 1, 1, 5]])
      expect(forecastText({ ...sampleForecast(), points: points(scores) }, plain)).not.toContain('Far from');
  });
});
