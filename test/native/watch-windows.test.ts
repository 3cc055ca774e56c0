import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { average } from '../../src/index.ts';
import type { WatchOptions } from '../../src/upkeep/watch/types.ts';
import { mergeError } from '../support/safetensors.ts';
import { freshRuns } from '../support/watched-run.ts';
import { historyOf, mergesIn } from '../support/watching.ts';

const fresh = freshRuns();
const at = (...parts: string[]) => fresh().at(...parts);
const save = (first: number, last?: number) => fresh().save(first, last);
const once = (more: Partial<WatchOptions> = {}) => fresh().once({ windows: [4, 2], ...more });
const bytes = (path: string) => readFileSync(join(path, 'model.safetensors'));

describe('a watch of several windows', () => {
  it('makes each as a merge of its own would be, all of one read', async () => {
    save(1, 6);
    const { summary, events } = await once();
    expect(summary.merges).toMatchObject([
      { output: 'merged-checkpoint-600-w2', window: 2, step: 600 },
      { output: 'merged-checkpoint-600-w4', window: 4, step: 600 },
    ]);
    for (const last of [2, 4]) {
      await average({ inputs: [at('run')], select: { last }, output: at(`own-${last}`) });
      expect(bytes(at('merges', `merged-checkpoint-600-w${last}`)).equals(bytes(at(`own-${last}`)))).toBe(true);
    }
    expect(summary.merges.map(({ members }) => members.map(({ step }) => step))).toEqual([
      [500, 600],
      [300, 400, 500, 600],
    ]);
    const plans = events.flatMap((event) => (event.type === 'merge' && event.event.type === 'plan' ? [event.event.plan] : []));
    expect(plans).toHaveLength(1);
    expect(plans[0]!.members).toHaveLength(4);
    expect(historyOf(at('merges'))).toEqual(summary.merges);
  });

  it('makes of windows that have the same members the smallest alone', async () => {
    save(1, 2);
    expect((await once()).summary.merges).toMatchObject([{ output: 'merged-checkpoint-200-w2' }]);
    save(3);
    expect((await once()).summary.merges).toMatchObject([
      { output: 'merged-checkpoint-300-w2', members: [{ step: 200 }, { step: 300 }] },
      { output: 'merged-checkpoint-300-w4', members: [{ step: 100 }, { step: 200 }, { step: 300 }] },
    ]);
  });

  it('keeps the merges of so many rounds, and runs the hook for each merge', async () => {
    const hook = 'basename "$MERGE_OUTPUT" >> hooked.txt';
    for (let i = 3; i <= 6; i++) {
      save(i === 3 ? 1 : i, i);
      await once({ keep: 2, hook: `cd '${at()}'; ${hook}` });
    }
    expect(mergesIn(at('merges'))).toEqual([5, 6].flatMap((n) => [2, 4].map((w) => `merged-checkpoint-${n}00-w${w}`)));
    const hooked = readFileSync(at('hooked.txt'), 'utf8').trimEnd().split('\n');
    expect(hooked).toEqual([3, 4, 5, 6].flatMap((n) => [2, 4].map((w) => `merged-checkpoint-${n}00-w${w}`)));
  });

  it.each([
    [{ windows: [] }, 'sizes of windows are whole numbers from 1 to 2147483647, not none'],
    [{ windows: [2, 2] }, 'one size of windows is named twice: 2, 2'],
    [{ windows: [2, 4], select: { last: 3 } }, 'the size of windows is given twice'],
    [{ windows: [2, 4], select: { minMembers: 3 } }, 'minMembers 3 cannot be reached by windows of 2'],
    [{ windows: [2, 4], accumulate: 'ema' }, 'window is about windows, and an accumulator has none'],
  ] as const)('refuses %j', async (more, message) => {
    save(1, 2);
    const error = await mergeError(() => once(more));
    expect(error.code).toBe('E_OPTION');
    expect(error.message).toContain(message);
  });
});
