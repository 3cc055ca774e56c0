import type { StudiedArm, StudyIdentity, TrialLine } from '../../src/search/study/trials-file.ts';
import { watchScores } from '../../src/upkeep/watch/scores/document.ts';
import type { watchPage } from '../../src/upkeep/watch/scores/page.ts';

interface SampleWatch {
  readonly live: boolean;
  /** Stands in names of everything: as hostile as asked for. */
  readonly name?: string;
  readonly ends?: number;
}

const ITEMS = 40;
const WINDOWS = [5, 20];

/** What the page of a watch of two windows is made of: a loss that falls, below which the merges lie. */
export function sampleWatch({ live, name = '', ends = 24 }: SampleWatch): Parameters<typeof watchPage> {
  const scored: StudiedArm[] = [];
  const trials: TrialLine[] = [];
  const add = (kind: 'newest' | 'output', end: number, window: number | null): void => {
    const recipe = window === null ? 'single' : `w${window}ckpt-sma${name}`;
    const own = window === null ? `step${end}` : `step${end}-${recipe}`;
    const axes = { endpoint: end, tokens: end * 4_000_000, ...(window !== null && { window: `${window}ckpt`, method: 'sma' }) };
    scored.push({
      kind,
      recipe: own,
      is: [{ name: own, recipe, axes, control: false }],
      endpoint: end,
      tokens: end * 4_000_000,
      flags: [],
    });
    const id = trials.length;
    const level = 2 + 30 / Math.sqrt(end) - (window === null ? 0 : 0.02 * Math.log2(window));
    const scores = Array.from({ length: ITEMS }, (_, i) => level + 0.03 * Math.sin(7 * i + id) + 0.4 * Math.cos(i));
    const isFailed = end === 3000 && window === 20;
    trials.push({
      ...{ id, kind: window === null ? 'single' : 'output', params: { step: end }, parts: [], recipe: own, by: null, proposals: null },
      ...{ status: isFailed ? 'failed' : 'complete', reason: isFailed ? `CUDA out of memory${name}` : null, metrics: {}, source: null },
      ...{ score: isFailed ? null : scores.reduce((a, b) => a + b, 0) / ITEMS, stderr: isFailed ? null : 0.045, repeatOf: null },
      items: isFailed ? null : [{ name: '', weight: 1, digest: 'd', scores }],
      weights: Array.from({ length: window ?? 1 }, (_, i) => ({
        path: `checkpoint-${end - 500 * i}${name}`,
        step: end,
        weight: 1 / (window ?? 1),
      })),
      ...{
        seconds: 95,
        mergeSeconds: 0,
        cost: null,
        time: '2026-12-01T10:00:00Z',
        point: null,
        leg: 0,
        round: id,
        roundSize: 1,
        elapsed: 1,
      },
      higherIsBetter: false,
    });
  };
  for (let i = 0; i < ends; i++) {
    add('newest', 1000 + 500 * i, null);
    for (const window of WINDOWS) add('output', 1000 + 500 * i, window);
  }
  const identity: StudyIdentity = {
    ...{
      kind: 'watch',
      inputs: [`run${name}`],
      members: [],
      pool: [],
      last: [],
      legs: [],
      evaluator: `python eval.py${name}`,
      metrics: ['arc_easy/loss'],
    },
    ...{ goal: 'minimize', noise: 'shared', sampler: 'watch', seed: 0, policies: [], dtype: null, scored },
  };
  const document = watchScores({ identity, goal: 'minimize', trials, calibrate: [{ step: 6000, score: 2.2 }], isOver: !live });
  const moment = {
    live: live
      ? { now: 'scoring merged-checkpoint-12500-w5, which takes about 95 s.', written: '2026-12-01T10:00:00Z', refresh: 10 }
      : null,
    waiting: live ? [`merged-checkpoint-12500-w20${name}`, 'checkpoint-13000'] : [],
    left: [{ name: `checkpoint-900${name}`, reason: 'its trainer deleted it before it could be scored' }],
    notMerged: [{ name: 'checkpoint-500', reason: 'its window has 1 of at least 2 members' }],
  };
  return [document, moment];
}
