import { expect, test } from 'vitest';
import { learningRatePhase } from '../../../src/recipe/select/phase.ts';
import { demoLog, logOfRates } from '../../support/run-objects.ts';

const phaseOf = (rates: readonly (number | null)[], from = 0, to = 1e9) => learningRatePhase(logOfRates(rates), from, to);

test.each([
  ['one rate', [3e-3, 3e-3, 3e-3], 'constant'],
  ['within 1 %', [1, 0.9901, 1, 0.995], 'constant'],
  ['just over 1 %', [1, 0.9899], 'decaying'],
  ['rising', [0.1, 0.2, 0.3], 'warm-up'],
  ['risen, then constant', [0.1, 0.3, 0.3, 0.3], 'warm-up'],
  ['falling', [0.3, 0.2, 0.1], 'decaying'],
  ['constant, then falling to 0', [0.3, 0.3, 0.2, 0], 'decaying'],
  ['slowly falling: every step within 1 %, all of it not', [1, 0.995, 0.99, 0.985], 'decaying'],
  ['rising, then falling', [0.1, 0.3, 0.1], 'unknown'],
  ['a dip', [0.3, 0.1, 0.3], 'unknown'],
  ['a restart whose ends agree', [0.3, 0.2, 0.3, 0.2], 'unknown'],
  ['frozen at 0', [0, 0, 0], 'constant'],
])('%s: %j is %s', (_, rates, kind) => {
  expect(phaseOf(rates).kind).toBe(kind);
});

test('the finding names the rates and how many logs it rests on', () => {
  expect(phaseOf([3e-4, 2e-4, 1.23456e-4])).toEqual({
    kind: 'decaying',
    lowest: 1.23456e-4,
    highest: 3e-4,
    text: 'learning rate falls from 0.0003 to 0.000123 (decaying, 3 logs)',
  });
  expect(phaseOf([0.1, 0.3, 0.2]).text).toBe('learning rate rises and falls between 0.1 and 0.3 (3 logs)');
});

test('only what is logged between the steps counts, both included', () => {
  const rates = [0.1, 0.2, 0.3, 0.3, 0.3, 0.2, 0.1];
  expect(phaseOf(rates, 30, 50)).toMatchObject({ kind: 'constant', lowest: 0.3, highest: 0.3 });
  expect(phaseOf(rates, 20, 50).kind).toBe('warm-up');
  expect(phaseOf(rates, 30, 60).kind).toBe('decaying');
  expect(phaseOf(rates, 20, 60).kind).toBe('unknown');
});

test('with fewer than two logs between the steps those just outside count as well', () => {
  const rates = [0.4, 0.3, 0.2, 0.1];
  expect(phaseOf(rates, 21, 29)).toMatchObject({
    kind: 'decaying',
    lowest: 0.2,
    highest: 0.3,
    text: expect.stringContaining('just outside'),
  });
  expect(phaseOf(rates, 30, 30)).toMatchObject({ kind: 'decaying', lowest: 0.1, highest: 0.3 });
  expect(phaseOf(rates, 41, 60)).toMatchObject({ kind: 'unknown', lowest: null, highest: null });
  expect(phaseOf(rates, 40, 60)).toMatchObject({ kind: 'decaying', lowest: 0.1, highest: 0.2 });
});

test('entries without a rate are passed over; without any the phase is unknown', () => {
  expect(phaseOf([0.3, null, 0.3, null]).text).toBe('learning rate constant at 0.3 (2 logs)');
  expect(phaseOf([null, null])).toEqual({
    kind: 'unknown',
    lowest: null,
    highest: null,
    text: 'learning rate unknown: no learning rate is logged',
  });
  expect(phaseOf([]).kind).toBe('unknown');
  expect(phaseOf([0.3]).text).toBe('learning rate unknown: too few learning rates are logged near the members');
});

test('the demo runs: constant, and falling where they were annealed', () => {
  expect(learningRatePhase(demoLog('dense', 'checkpoint-6000'), 4200, 6000)).toMatchObject({
    kind: 'constant',
    lowest: 0.003,
    highest: 0.003,
  });
  expect(learningRatePhase(demoLog('moe', 'checkpoint-6000'), 4200, 6000).kind).toBe('constant');
  const annealed = demoLog('dense-annealed', 'checkpoint-6000');
  expect(learningRatePhase(annealed, 0, 6000).kind).toBe('decaying');
});
