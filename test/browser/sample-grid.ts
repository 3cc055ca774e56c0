import { gridScoresDocument } from '../../src/search/grid/document.ts';
import type { GridScores } from '../../src/search/grid/types.ts';
import type { StudiedArm, StudyIdentity, TrialLine } from '../../src/search/study/trials-file.ts';

const SHAPES = ['sma', 'wma', 'wma-reverse'] as const;
type Shape = (typeof SHAPES)[number];
/** How much better a shape is than the newest, wherever it is used; the control is the best of all. */
const BETTER = { sma: 0.01, wma: 0.03, 'wma-reverse': 0.05 } as const;
/** Items of an evaluation. */
const ITEMS = 50;

interface SampleGrid {
  /** Windows of two saves at steps 200, 400 …, which have no member in common. */
  readonly ends?: number;
  /** Stands in names of everything: as hostile as asked for. */
  readonly name?: string;
  /** The last output at the newest endpoint has no score. */
  readonly failed?: boolean;
}

/** What `merge grid --eval` knows of a grid of three shapes at each endpoint, scored by items. */
export function sampleGridStudy({ ends = 10, name = '', failed = false }: SampleGrid = {}): {
  readonly identity: StudyIdentity;
  readonly trials: readonly TrialLine[];
} {
  const arm = (kind: StudiedArm['kind'], endpoint: number, shape: Shape | null): StudiedArm => {
    const recipe = shape === null ? 'newest' : `w200-${shape}${name}`;
    const own = shape === null ? `step${endpoint}` : `step${endpoint}-${recipe}`;
    const [method = 'sma', control] = (shape ?? '').split('-');
    const axes =
      shape === null
        ? { endpoint }
        : { endpoint, window: '200steps', method: `${method}${name}`, stride: 1, ...(control && { reverse: true }) };
    const flags = name === '' ? [] : [`crosses ${name}`];
    return { kind, recipe: own, is: [{ name: own, recipe, axes, control: control !== undefined }], endpoint, tokens: null, flags };
  };
  const scored = Array.from({ length: ends }, (_, i) => (i + 1) * 200).flatMap((end) => [
    arm('newest', end, null),
    arm('mean', end, 'sma'),
    ...SHAPES.map((shape) => arm('output', end, shape)),
  ]);
  /** Scores by item: the run gets better, and what a shape gains differs a little from one endpoint to the next. */
  const trialOf = (of: StudiedArm, id: number): TrialLine => {
    const shape = SHAPES.find((one) => of.is[0]!.recipe === `w200-${one}${name}`) ?? null;
    const level = 0.5 + of.endpoint / 10_000 + (shape === null ? 0 : BETTER[shape] * (1 + 0.1 * Math.sin(of.endpoint)));
    const scores = Array.from({ length: ITEMS }, (_, i) => level + 0.02 * Math.sin(7 * i + id) + 0.2 * Math.cos(i));
    const weights =
      shape === null
        ? ([[0, 1]] as const)
        : ([
            [-100, 0.5],
            [0, 0.5],
          ] as const);
    return {
      ...{ id, kind: 'output', params: null, parts: [], recipe: of.recipe, status: 'complete', reason: null, by: null },
      ...{ score: scores.reduce((sum, value) => sum + value, 0) / ITEMS, stderr: null, metrics: {}, source: 'a function', repeatOf: null },
      items: [{ name: '', weight: 1, digest: `n=${ITEMS}`, scores }],
      weights: weights.map(([off, weight]) => ({ path: `${name || 'checkpoint'}-${of.endpoint + off}`, step: of.endpoint + off, weight })),
      ...{ proposals: null, seconds: 1, mergeSeconds: 0, cost: null, time: '', point: null, leg: 0, round: 0, roundSize: 1 },
      ...{ elapsed: 1, higherIsBetter: null },
    };
  };
  const recipes = [...new Map(scored.map((one) => [one.recipe, one])).values()];
  const trials = recipes.map(trialOf);
  const lost = { status: 'failed', score: null, items: null, reason: `out of memory${name}` } as const;
  return {
    identity: {
      ...{ kind: 'grid', inputs: [name || 'run'], members: [], pool: [], last: [], legs: [], evaluator: name || 'eval', metrics: [] },
      ...{ goal: 'maximize', noise: 'shared', sampler: 'grid', seed: 0, policies: [], dtype: null },
      scored,
    },
    trials: failed ? [...trials.slice(0, -1), { ...trials.at(-1)!, ...lost }] : trials,
  };
}

/** A document as `merge grid --eval` makes it. */
export function sampleGrid(sample: SampleGrid = {}): GridScores {
  return gridScoresDocument({ ...sampleGridStudy(sample), goal: 'maximize', reads: 1, warnings: [] });
}
