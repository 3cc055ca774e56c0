import type { StudyUnderWay } from '../../src/search/optimise/live-page.ts';
import { sampleSearch } from './sample-search.ts';

/** A search in the middle of its trials, of names as hostile as asked for. */
export function sampleUnderWay({ name = 'runs/dense/checkpoint', trials = 7 } = {}): StudyUnderWay {
  const { members, space, inputs, evaluator, trials: all, seed, noise } = sampleSearch('plane', { name });
  const pool = [...members.keys()];
  return {
    identity: {
      ...{ kind: 'search', inputs, pool, last: pool, noise, seed, evaluator, metrics: [name], goal: 'minimize' },
      members: members.map((member) => ({ ...member, fingerprint: '0' })),
      legs: [{ ...space, axes: [], members: pool }],
      ...{ sampler: 'gp', policies: [], dtype: null },
    },
    trials: all.slice(0, trials).map((trial) => ({
      ...{ ...trial, items: null, point: null, leg: 0, higherIsBetter: false, elapsed: 0 },
      ...{ round: trial.id, roundSize: 1 },
    })),
    warnings: [{ code: 'W_WEIGHT_SUM', message: name }],
  };
}
