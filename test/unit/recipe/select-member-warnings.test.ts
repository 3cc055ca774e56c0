import { describe, expect, test } from 'vitest';
import type { LogEntry } from '../../../src/checkpoints/types.ts';
import { memberWarnings } from '../../../src/recipe/select/member-warnings.ts';
import { checkpointAt, logOfLosses, logOfRates, stepsFrom } from '../../support/run-objects.ts';

const at = (...steps: number[]) => steps.map((step) => checkpointAt({ step }));
const saidOf = (steps: readonly number[], log: readonly LogEntry[] = []) =>
  memberWarnings(at(...steps), { log, abandoned: [] }).map(({ code, message }) => `${code}: ${message}`);
const codesOf = (...about: Parameters<typeof saidOf>) => saidOf(...about).map((text) => text.slice(0, text.indexOf(':')));

describe('a window that is wide for the training so far', () => {
  test('begins above 0.4 of the newest position, and says how many members would do', () => {
    expect(codesOf([600, 800, 1000])).toEqual([]);
    expect(saidOf([599, 800, 1000])).toEqual([
      expect.stringMatching(
        /^W_WINDOW_WIDE: 3 members span 0\.40 of the 1000 steps so far, .*; take no more than 2 members, or weigh the recent/,
      ),
    ]);
    expect(saidOf([100, 1000])[0]).toContain('wait until the training is longer');
    expect(codesOf([1000])).toEqual([]);
  });

  test('counts epochs that are done, and steps over epochs where these begin anew', () => {
    const epochs = (...all: number[]) => all.map((epoch) => ({ ...checkpointAt({ step: epoch }), epoch }));
    const said = (members: Parameters<typeof memberWarnings>[0], firstEpoch?: number) =>
      memberWarnings(members, { log: [], abandoned: [], ...(firstEpoch !== undefined && { firstEpoch }) }).map(({ message }) => message);
    expect(said(epochs(2, 3, 4))).toEqual([]);
    expect(said(epochs(1, 2, 3, 4))).toEqual([expect.stringContaining('4 members span 0.60 of the 5 epochs so far')]);
    expect(said(epochs(2, 3, 4), 1)).toEqual([expect.stringContaining('3 members span 0.50 of the 4 epochs so far')]);
    const anew = [0, 1, 2].flatMap((epoch) => [1000, 2000].map((step) => ({ ...checkpointAt({ step }), epoch })));
    expect(said(anew.slice(-3))).toEqual([]);
    expect(said(anew.slice(-4))).toEqual([expect.stringContaining('4 members span 0.50 of about 6000 steps so far')]);
  });

  test('goes by tokens where all have them, and says nothing where a step is unknown, of later stages, of siblings', () => {
    const tokens = [1, 2, 3].map((i) => checkpointAt({ step: 100 * i, tokens: 9e9 + i }));
    expect(memberWarnings(tokens, { log: [], abandoned: [] })).toEqual([]);
    const some = [checkpointAt({ step: null }), ...at(100, 900)];
    expect(memberWarnings(some, { log: [], abandoned: [] })).toEqual([]);
    for (const other of [{ stage: 2 }, { stage: 1, ingredient: 1 }]) {
      const members = [100, 900].map((step, i) => checkpointAt({ step, ...other, ...('ingredient' in other && { ingredient: i }) }));
      expect(memberWarnings(members, { log: [], abandoned: [] })).toEqual([]);
    }
    expect(
      memberWarnings(
        [100, 900].map((step) => checkpointAt({ step, stage: 1 })),
        { log: [], abandoned: [] },
      ),
    ).toHaveLength(1);
  });
});

describe('the learning rate', () => {
  // A log every 10 steps: 100 steps of warm-up, 700 at the peak, 200 of decay.
  const wsd = logOfRates([
    ...Array.from({ length: 10 }, (_, i) => (i + 1) * 1e-4),
    ...Array.from({ length: 70 }, () => 1e-3),
    ...Array.from({ length: 20 }, (_, i) => 1e-3 * (1 - (i + 1) / 20)),
  ]);
  const cosineOf = (length: number) => Array.from({ length }, (_, i) => 1e-3 * 0.5 * (1 + Math.cos((Math.PI * (i + 1)) / length)));
  const cosine = logOfRates(cosineOf(100));

  // From a rate that stood still down to a twentieth and up again, in 50 steps.
  const again = logOfRates(Array.from({ length: 100 }, (_, i) => (i < 50 || i > 54 ? 1e-3 : 1e-3 * (0.05 + 0.19 * (i - 50)))));

  // 800 steps at the peak, and the rest at a tenth of it.
  const settled = logOfRates(Array.from({ length: 100 }, (_, i) => (i < 80 ? 1e-3 : 1e-4)));

  test.each<[string, readonly LogEntry[], number[], string[]]>([
    ['at its peak', wsd, [500, 600, 700], []],
    ['from the warm-up on', wsd, [50, 60, 70], ['W_LR_PHASE']],
    ['the first after the warm-up', wsd, [100, 110, 120], []],
    ['in a decay after a constant rate', wsd, [860, 880, 900], ['W_LR_PHASE']],
    ['from the constant rate into its decay', wsd, [760, 800, 840], ['W_LR_PHASE']],
    ['in the middle of a cosine', cosine, [450, 500, 550], []],
    ['at the end of a cosine', cosine, [900, 950, 990], ['W_LR_PHASE']],
    ['at 0.3 of a cosine', logOfRates(cosineOf(1000).slice(0, 300)), [2000, 2500, 3000], []],
    [
      'at 0.3 of a cosine, logs rounded',
      logOfRates(
        cosineOf(1000)
          .slice(0, 300)
          .map((rate) => Number(rate.toPrecision(3))),
      ),
      [2000, 2500, 3000],
      [],
    ],
    ['unknown', logOfRates([null, null]), [900, 950], []],
    ['after a decay', settled, [900, 950, 990], ['W_LR_PHASE']],
    ['at half of the rate before', logOfRates(Array.from({ length: 100 }, (_, i) => (i < 80 ? 1e-3 : 5e-4))), [900, 950, 990], []],
    ['warmed up again among them', again, [400, 500, 600], ['W_LR_PHASE']],
    ['warmed up again before them', again, [560, 580, 600], []],
    ['warmed up again after them', again, [400, 450, 500], []],
    ['with rates that vary a little', logOfRates(Array.from({ length: 100 }, (_, i) => 1e-3 * (1 + 0.05 * (i % 2)))), [800, 900, 990], []],
  ])('%s', (_, log, steps, expected) => {
    expect(codesOf(steps, log).filter((code) => code !== 'W_WINDOW_WIDE')).toEqual(expected);
  });

  test.each([
    ['in a decay', wsd, [860, 880, 900], /lie in a decay .* so little is to be gained; score both/],
    [
      'after one',
      settled,
      [900, 950, 990],
      /are from after a decay \(learning rate constant at 0.0001 .*; 0.001 before\): .* little is to be gained/,
    ],
  ] as const)('%s it is said that little is to be gained', (_, log, steps, message) => {
    expect(saidOf([...steps], log).find((text) => text.startsWith('W_LR_PHASE'))).toMatch(message);
  });

  test('of a second warm-up it is said where it is', () => {
    expect(saidOf([400, 500, 600], again)[0]).toMatch(
      /^W_LR_PHASE: the learning rate rises again among the members, from 0.00005 at step 510 to 0.001 at step 560, .*\(to: 510, from: 560\)$/,
    );
  });

  test('of a warm-up the members are named, and where it ends', () => {
    expect(saidOf([90, 95, 120], wsd)[0]).toMatch(
      /^W_LR_PHASE: 2 of 3 members \(steps 90, 95\) are from the warm-up, .* up to step 100 .*\(from: 100\)$/,
    );
  });
});

describe('a loss that was no number', () => {
  const infinite = Number.POSITIVE_INFINITY;
  const losses = Array.from({ length: 100 }, (_, i) => (i === 69 || i === 71 ? infinite : 3));

  test('up to the newest member, and as far before the oldest as members are apart', () => {
    expect(saidOf([650, 700, 750], logOfLosses(losses))).toEqual([
      expect.stringMatching(/^W_LOSS_NAN: the loss was NaN or infinite at step 700 and in 1 more logs up to step 720: .*\(before: 700\)$/),
    ]);
    expect(codesOf([740, 790], logOfLosses(losses))).toEqual(['W_LOSS_NAN']);
    expect(codesOf([800, 850, 900], logOfLosses(losses))).toEqual([]);
    expect(codesOf([500, 600, 690], logOfLosses(losses))).toEqual([]);
  });
});

test('a branch that was abandoned is said of members that are of it', () => {
  const members = at(9000, 9100, 9200);
  const said = (abandoned: string[]) =>
    memberWarnings(members, { log: [], abandoned: abandoned.map((path) => ({ path, contradicts: null })) }).map(
      ({ code, message }) => `${code} ${message.slice(0, 40)}`,
    );
  expect(said(['/run/step9200'])).toEqual(['W_ABANDONED_BRANCH step 9200 was saved long before checkpoi']);
  expect(said(['/run/step9100', '/run/step9200'])).toEqual(['W_ABANDONED_BRANCH steps 9100, 9200 were saved long before ']);
  expect(said(['/run/step8000'])).toEqual([]);
});

test('healthy windows of a long training say nothing', () => {
  const rates = logOfRates(Array.from({ length: 1000 }, (_, i) => Math.min(1, (i + 1) / 20) * 3e-4));
  const log = rates.map((entry) => ({ ...entry, loss: 2.5 }));
  for (let start = 2000; start < 9000; start += 500) expect(saidOf(stepsFrom(start, 100, 10), log)).toEqual([]);
});
