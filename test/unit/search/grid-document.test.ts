import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { gridScoresDocument } from '../../../src/search/grid/document.ts';
import { gridPage } from '../../../src/search/grid/page.ts';
import { gridScoresText } from '../../../src/search/grid/text.ts';
import type { StudiedArm, StudyIdentity, TrialLine } from '../../../src/search/study/trials-file.ts';

/** Windows of two saves at steps 200, 400 … 2000, which have no member in common. */
const ENDS = Array.from({ length: 10 }, (_, i) => (i + 1) * 200);
const SHAPES = ['sma', 'wma', 'wma-reverse'] as const;
/** How much better a shape is than the newest, wherever it is used; the control is the best of all. */
const BETTER = { sma: 0.01, wma: 0.03, 'wma-reverse': 0.05 } as const;

function arm(kind: StudiedArm['kind'], endpoint: number, shape: (typeof SHAPES)[number] | null): StudiedArm {
  const recipe = shape === null ? 'newest' : `w200-${shape}`;
  const name = shape === null ? `step${endpoint}` : `step${endpoint}-${recipe}`;
  const [method = 'sma', control] = (shape ?? '').split('-');
  const axes = shape === null ? { endpoint } : { endpoint, window: '200steps', method, stride: 1, ...(control && { reverse: true }) };
  return { kind, recipe: name, is: [{ name, recipe, axes, control: control !== undefined }], endpoint, tokens: null, flags: [] };
}

const scored: readonly StudiedArm[] = ENDS.flatMap((end) => [
  arm('newest', end, null),
  arm('mean', end, 'sma'),
  ...SHAPES.map((shape) => arm('output', end, shape)),
]);

const identity: StudyIdentity = {
  ...{ kind: 'grid', inputs: ['run'], members: [], pool: [], last: [], legs: [], evaluator: 'eval', metrics: [], goal: 'maximize' },
  ...{ noise: 'shared', sampler: 'grid', seed: 0, policies: [], dtype: null },
  scored,
};

/** Scores by item: the run gets better, and what a shape gains differs a little from one endpoint to the next. */
function trialOf(of: StudiedArm, id: number): TrialLine {
  const shape = SHAPES.find((name) => of.is[0]!.recipe === `w200-${name}`) ?? null;
  const level = 0.5 + of.endpoint / 10_000 + (shape === null ? 0 : BETTER[shape] * (1 + 0.1 * Math.sin(of.endpoint)));
  const scores = Array.from({ length: 50 }, (_, i) => level + 0.02 * Math.sin(7 * i + id) + 0.2 * Math.cos(i));
  const weights =
    shape === null
      ? [[0, 1]]
      : [
          [-100, 0.5],
          [0, 0.5],
        ];
  return {
    ...{ id, kind: 'output', params: null, parts: [], recipe: of.recipe, status: 'complete', reason: null, by: null },
    ...{ score: scores.reduce((sum, value) => sum + value, 0) / 50, stderr: null, metrics: {}, source: 'a function', repeatOf: null },
    items: [{ name: '', weight: 1, digest: 'n=50', scores }],
    weights: weights.map(([off, weight]) => ({ path: `checkpoint-${of.endpoint + off!}`, step: of.endpoint + off!, weight: weight! })),
    ...{ proposals: null, seconds: 1, mergeSeconds: 0, cost: null, time: '', point: null, leg: 0, round: 0, roundSize: 1 },
    ...{ elapsed: 1, higherIsBetter: null },
  } as TrialLine;
}

const recipes = [...new Map(scored.map((one) => [one.recipe, one])).values()];
const trials = recipes.map(trialOf);
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
