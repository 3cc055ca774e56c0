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
    expect(document.notes).toEqual([]);
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
    expect(text).toMatch(/step 2000 +200steps +sma/);
    expect(text.indexOf('step 2000 ')).toBeLessThan(text.indexOf('step 200 '));
    const loss = gridScoresDocument({ identity, goal: 'minimize', trials, reads: 1, warnings: [] });
    expect(gridScoresText(loss, pc.createColors(false))).toContain('scored by a loss alone');
    expect(gridPage(loss)).toContain('scored by a loss alone');
  });

  it('of trials without a score says what is missing', () => {
    const failed = trials.map((trial) => ({ ...trial, status: 'failed' as const, score: null, items: null, reason: 'no <b>GPU</b>' }));
    const none = gridScoresDocument({ identity, goal: 'maximize', trials: failed, reads: 0, warnings: [] });
    expect(none.artefact.text).toBe('No output has a score: nothing can be concluded.');
    expect(gridPage(none)).toContain('no &lt;b&gt;GPU');
    expect(gridScoresText(none, pc.createColors(false))).toContain('no score for');
  });
});
