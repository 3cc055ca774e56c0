import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { gridScoresDocument } from '../../../src/search/grid/document.ts';
import { gridPage } from '../../../src/search/grid/page.ts';
import { gridScoresText } from '../../../src/search/grid/text.ts';
import { sampleGridStudy } from '../../browser/sample-grid.ts';

const { identity, trials } = sampleGridStudy();
const document = gridScoresDocument({ identity, goal: 'maximize', trials, reads: 1, warnings: [] });

describe('the document of a grid’s scores', () => {
  it('chooses among outputs that are neither a control nor a plain mean', () => {
    expect(document.outputs).toHaveLength(30);
    expect(document.references).toHaveLength(20);
    expect(document.artefact).toMatchObject({
      chosen: 'step2000-w200-wma',
      against: 'step2000-w200-sma',
      candidates: 1,
      gainClaimed: true,
    });
    expect(document.artefact.gain).toBeGreaterThan(0.015);
    expect(document.artefact.gain).toBeLessThan(0.03);
  });

  it('judges recipes by endpoints, which are independent where no window overlaps another', () => {
    expect(document.recipes).toMatchObject({
      chosen: 'w200-wma',
      against: 'w200-sma',
      gainClaimed: true,
      effective: expect.closeTo(10, 6),
      references: ['newest', 'mean of 200steps'],
    });
    expect(document.recipes.gain).toBeCloseTo(0.02, 2);
  });

  it('does not depend on the order of the trials, and takes the first of two scores of a recipe', () => {
    const again = { ...trials[3]!, id: 900, score: 0, items: null, repeatOf: 3 };
    const other = gridScoresDocument({ identity, goal: 'maximize', trials: [again, ...trials.toReversed()], reads: 1, warnings: [] });
    expect({ ...other, trials: [], seconds: null }).toEqual({ ...document, trials: [], seconds: null });
  });

  it('shows all of it on a page and in the terminal, and says so where a loss alone is scored', () => {
    const page = gridPage(document);
    for (const text of ['Is this output better?', 'Is this recipe better?', 'Along the run', 'wma, reverse', 'mean of 200steps'])
      expect(page).toContain(text);
    const text = gridScoresText(document, pc.createColors(false));
    expect(text).toMatch(/up to step 2000: newest [\d.]+( ± [\d.]+)?\n +200steps +sma/);
    expect(text.indexOf('up to step 2000:')).toBeLessThan(text.indexOf('up to step 200:'));
    const loss = gridScoresDocument({ identity, goal: 'minimize', trials, reads: 1, warnings: [] });
    expect(gridScoresText(loss, pc.createColors(false))).toContain('scored by a loss alone');
    expect(gridPage(loss)).toContain('scored by a loss alone');
  });

  it.each([80, 100, 110])('has a table of at most %i columns, shapes cut in the middle and gains of a column alike', (columns) => {
    const long = 'an-axis-of-the-grid-whose-value-is-long-beyond-all-that-a-terminal-can-show-in-one-line';
    const scored = identity.scored!.map((arm) => ({
      ...arm,
      is: arm.is.map((one) => ({ ...one, axes: { ...one.axes, policies: `${long}-${one.recipe}` } })),
    }));
    const wide = gridScoresDocument({ identity: { ...identity, scored }, goal: 'maximize', trials, reads: 1, warnings: [] });
    const lines = gridScoresText(wide, pc.createColors(false), columns).split('\n');
    const table = lines.slice(lines.findIndex((line) => /^ +window +shape/.test(line)));
    expect(Math.max(...table.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(table.filter((line) => line.includes('…')).length).toBeGreaterThanOrEqual(30);
    // The whole of it is in the document and on the page.
    expect(gridPage(wide)).toContain(long);
    const decimals = table.flatMap((line) => /[+-]\d\.(\d+)( ± [\d.]+)?( +chosen)?$/.exec(line)?.[1]?.length ?? []);
    expect(new Set(decimals).size).toBe(1);
  });

  it('of trials without a score says what is missing', () => {
    const failed = trials.map((trial) => ({ ...trial, status: 'failed' as const, score: null, items: null, reason: 'no <b>GPU</b>' }));
    const none = gridScoresDocument({ identity, goal: 'maximize', trials: failed, reads: 0, warnings: [] });
    expect(none.artefact.text).toBe('No output has a score: nothing can be concluded.');
    expect(gridPage(none)).toContain('no &lt;b&gt;GPU');
    expect(gridScoresText(none, pc.createColors(false))).toContain('no score for');
  });

  describe('whose plain mean is best', () => {
    // A grid in which the mean gains 0.03, and the other shape less than that.
    const swapped = trials.map((trial) => {
      const other = trial.recipe.endsWith('-sma') ? trial.recipe.replace('-sma', '-wma') : trial.recipe.replace(/-wma$/, '-sma');
      const { score, items } = trials.find(({ recipe }) => recipe === other)!;
      return { ...trial, score, items };
    });
    const worse = gridScoresDocument({ identity, goal: 'maximize', trials: swapped, reads: 1, warnings: [] });

    it('says first what it gains over the newest, and then that no other shape is better', () => {
      expect(worse.artefact).toMatchObject({ gainClaimed: false, chosen: 'step2000-w200-wma', best: 'step2000-w200-sma' });
      expect(worse.artefact.overNewest).toMatchObject({
        gainClaimed: true,
        chosen: 'step2000-w200-sma',
        against: 'step2000',
        candidates: 2,
      });
      expect(worse.artefact.text).toMatch(/^The mean of 200steps \(step2000-w200-sma\) is better than the newest \(step 2000\): by 0\.03/);
      expect(worse.artefact.text).toMatch(
        /No evidence that another shape is better than a plain mean: step2000-w200-wma, .* worse than the mean/,
      );
      expect(worse.recipes.text).toMatch(/^As a recipe the mean of 200steps \(w200-sma\) is better than the newest: by 0\.0297 /);
      expect(worse.recipes.text).toContain('No evidence that w200-wma is better as a recipe: 0.0198 worse than the mean of 200steps');
      expect(worse.recipes.rows.map(({ name }) => name)).toContain('w200-sma');
    });

    it('chooses it, and nothing that is estimated worse', () => {
      const lines = gridScoresText(worse, pc.createColors(false)).split('\n');
      expect(lines.filter((line) => line.endsWith('chosen'))).toEqual([expect.stringMatching(/^ +200steps +sma/)]);
      const lower = gridScoresDocument({ identity, goal: 'minimize', trials, reads: 1, warnings: [] });
      expect(lower.artefact.best).toBeNull();
      expect(gridScoresText(lower, pc.createColors(false))).not.toContain(' chosen\n');
      expect(lower.artefact.text).toMatch(/^No evidence of a gain: .* worse than the newest/);
      expect(lower.artefact.text).not.toContain('plain mean');
    });
  });

  describe('beside controls', () => {
    const reverse = 'the control wma, reverse';
    const notesOf = (change: (trial: (typeof trials)[number]) => Partial<(typeof trials)[number]>) =>
      gridScoresDocument({
        identity,
        goal: 'maximize',
        trials: trials.map((trial) => ({ ...trial, ...change(trial) })),
        reads: 1,
        warnings: [],
      }).notes;
    const plainOf = (recipe: string) => trials.find((trial) => trial.recipe === recipe.replace(/-reverse$/, ''))!;

    it('says that weights are the wrong way round where the reversed ones are better by more than scores err', () => {
      expect(document.notes).toEqual([
        expect.stringMatching(
          /^the control wma, reverse is better than what it controls at 10 of 10 windows by more than scores err, by 0\.01\d+ to 0\.02\d+: these weights are the wrong way round here$/,
        ),
      ]);
      const lower = gridScoresDocument({ identity, goal: 'minimize', trials, reads: 1, warnings: [] });
      expect(lower.notes.join()).not.toContain('control');
    });

    it('sees no sign of an order in what is within the error, and none at all where nothing tells the error', () => {
      const level = (stderr: number | null) => notesOf(({ recipe }) => ({ score: plainOf(recipe).score, items: null, stderr }));
      expect(level(0.01)).toContain(
        `${reverse} did as well as what it controls, or better, at 10 of 10 windows: no sign that the order of these weights matters`,
      );
      expect(level(null)).toContain(
        `${reverse} did as well as what it controls, or better, at 10 of 10 windows: nothing tells how far scores err, and so whether the order of these weights matters`,
      );
    });

    it('never counts a merge that is its own control', () => {
      const one = (recipe: string) => recipe.replace(/-reverse$/, '');
      const scored = identity.scored!.map((arm) => ({ ...arm, recipe: one(arm.recipe) }));
      const same = gridScoresDocument({ identity: { ...identity, scored }, goal: 'maximize', trials, reads: 1, warnings: [] });
      expect(same.notes).toEqual([]);
    });
  });

  it('says which windows recipes were judged of, and which have too few endpoints', () => {
    expect(document.recipes.text).not.toContain('Recipes were judged of');
    // The same again as windows of 400 steps, which the last three endpoints have.
    const wide = (text: string) => text.replaceAll('w200', 'w400');
    const more = identity.scored!.filter(({ kind, endpoint }) => kind !== 'newest' && endpoint > 1400);
    const scored = more.map((arm) => ({
      ...arm,
      recipe: wide(arm.recipe),
      is: arm.is.map((one) => ({ ...one, name: wide(one.name), recipe: wide(one.recipe), axes: { ...one.axes, window: '400steps' } })),
    }));
    const again = trials
      .filter(({ recipe }) => more.some((arm) => arm.recipe === recipe))
      .map((trial) => ({
        ...trial,
        id: trial.id + 1000,
        recipe: wide(trial.recipe),
        score: trial.score! + 0.2,
        items: null,
        stderr: null,
      }));
    const both = gridScoresDocument({
      identity: { ...identity, scored: [...identity.scored!, ...scored] },
      goal: 'maximize',
      trials: [...trials, ...again],
      reads: 1,
      warnings: [],
    });
    expect(both.recipes.overNewest!.chosen).toBe('w200-wma');
    expect(both.recipes.text).toMatch(
      /Recipes were judged of the window 200steps; not judged, with fewer than 4 independent endpoints: 400steps \(3\)\.$/,
    );
  });
});
