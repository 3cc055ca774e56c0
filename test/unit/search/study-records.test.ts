import { describe, expect, it } from 'vitest';
import { foundTrials, Records, resumedTrials } from '../../../src/search/study/records.ts';
import type { StudyIdentity, TrialLine } from '../../../src/search/study/trials-file.ts';

const PATHS = ['/data/run/a', '/scratch/x/model.safetensors', '/mnt/x/model.safetensors'];
const members = PATHS.map((path, i) => ({ path, step: null, tokens: null, fingerprint: String(i) }));
const identity = {
  inputs: ['/data/run', ...PATHS.slice(1)],
  members,
  evaluator: 'python /opt/my/eval.py {model}/x --data=/data/run/d.json',
  sampler: '/opt/sampler --fast',
  policies: [],
} as unknown as StudyIdentity;
const trial = (path: string): TrialLine =>
  ({
    params: { checkpoint: path, lambda: 1 },
    weights: [{ path, step: null, weight: 1 }],
    source: 'results.json',
    reason: '/data/run/a: no; see /data/best.search/logs/1.log and /tmp/x y',
  }) as unknown as TrialLine;

describe('what files of a study tell', () => {
  const records = new Records('/data/best.search', identity, { others: ['/data/my best'] });

  it('is where things lie as seen from its folder, or names of their own', () => {
    const written = records.identity(identity);
    expect(written.members.map(({ path }) => path)).toEqual(['../run/a', 'x/model.safetensors', 'x/model.safetensors (2)']);
    expect(written.inputs).toEqual(['../run', 'x/model.safetensors', 'x/model.safetensors (2)']);
    expect(written).toMatchObject({ evaluator: 'python eval.py {model}/x --data=d.json', sampler: 'sampler --fast' });
    expect(records.trial(trial(PATHS[2]!))).toMatchObject({
      params: { checkpoint: 'x/model.safetensors (2)', lambda: 1 },
      weights: [{ path: 'x/model.safetensors (2)' }],
      reason: '../run/a: no; see ./logs/1.log and x y',
    });
  });

  it('is nothing of where links lead', () => {
    const message = '/data/my best: t.json (to /home/ann/secret one)';
    expect(records.warnings([{ code: 'W_LINK_LEFT', message }], ['/home/ann/secret one'])).toEqual([
      { code: 'W_LINK_LEFT', message: '../my best: t.json (to elsewhere)' },
    ]);
  });

  it('is read as what lies there, from wherever the folder is, and stays the same when it is written again', () => {
    const stored = { identity: records.identity(identity), trials: PATHS.map((path) => records.trial(trial(path))) };
    const found = foundTrials('moved/best.search', stored);
    expect(found.identity.members.map(({ path }) => path)).toEqual(['moved/run/a', 'x/model.safetensors', 'x/model.safetensors (2)']);
    expect(found.trials[0]!.weights[0]!.path).toBe('moved/run/a');
    const again = new Records('moved/best.search', stored.identity, { stored: true });
    expect(again.identity(stored.identity)).toEqual(stored.identity);
    expect(stored.trials.map((line) => again.trial(line))).toEqual(stored.trials);
    const now = members.map((member, i) => ({ ...member, path: `/new/${i}` })).reverse();
    expect(resumedTrials(stored, now).map(({ weights, params }) => [weights[0]!.path, params!.checkpoint])).toEqual([
      ['/new/0', '/new/0'],
      ['/new/1', '/new/1'],
      ['/new/2', '/new/2'],
    ]);
  });

  it('of a file of 0.1.0, which has absolute paths, is what it would be now', () => {
    const old = new Records('/data/best.search', identity, { stored: true });
    expect(old.identity(identity)).toEqual(records.identity(identity));
    expect(old.trial(trial(PATHS[0]!))).toEqual(records.trial(trial(PATHS[0]!)));
  });
});
