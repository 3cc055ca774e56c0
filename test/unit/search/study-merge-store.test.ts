import { describe, expect, it } from 'vitest';
import { asOfTrials } from '../../../src/search/study/merge-store.ts';

const places = [0, 1, 12].map((trial) => ({ path: `/dev/shm/work/trial-${String(trial).padStart(4, '0')}-abc`, trial }));

describe('a warning of a merge that is made for a trial', () => {
  it.each([
    ['best', 'best is stored in another dtype'],
    [undefined, 'every merge is stored in another dtype'],
  ])('that is of every merge alike is one, with the name of the output: %s', (output, message) => {
    const said = places.map(({ path }) =>
      asOfTrials({ code: 'W_DTYPE_CHANGED', message: `${path} is stored in another dtype` }, places, output),
    );
    expect(new Set(said.map((warning) => warning.message))).toEqual(new Set([message]));
  });

  it('that is of one merge names its trial, and one of the inputs stays', () => {
    const own = { code: 'W_OVERFLOW', message: `3 values are too large for ${places[2]!.path}` } as const;
    expect(asOfTrials(own, places, 'best').message).toBe('3 values are too large for the merge of trial 12');
    const other = { code: 'W_TIED', message: 'run/checkpoint-100: tied' } as const;
    expect(asOfTrials(other, places, 'best')).toBe(other);
  });
});
