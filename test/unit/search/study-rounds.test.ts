import { describe, expect, it } from 'vitest';
import { placeOfRound } from '../../../src/search/study/rounds.ts';
import type { TrialLine } from '../../../src/search/study/trials-file.ts';

/** Trials by id, round and size of the round: all that their places depend on. */
const trials = (...places: readonly (readonly [id: number, round: number, roundSize: number])[]) =>
  places.map(([id, round, roundSize]) => ({ id, round, roundSize }) as TrialLine);

describe('the round that comes next', () => {
  it.each([
    ['the first of all', trials(), { first: 0, size: null, known: [] }],
    ['a new one after whole ones', trials([0, 0, 1], [2, 1, 2], [1, 1, 2]), { first: 3, size: null, known: [0, 2, 1] }],
    [
      'the one that was cut off, knowing what was known before it',
      trials([0, 0, 1], [3, 1, 3], [1, 1, 3]),
      { first: 1, size: 3, known: [0] },
    ],
    // A driver that was killed in a round of three, and went on with one more: nothing is left of the first.
    [
      'none of those that a driver filled up',
      trials([0, 0, 1], [1, 1, 3], [2, 1, 3], [3, 3, 1]),
      { first: 4, size: null, known: [0, 1, 2, 3] },
    ],
  ] as const)('is %s', (_, given, wanted) => {
    const { first, size, known } = placeOfRound(given);
    expect({ first, size, known: known.map(({ id }) => id) }).toEqual(wanted);
  });
});
