import { expect, it } from 'vitest';
import type { MergeEvent } from '../../../src/merge/engine/events.ts';
import { onceAtWork } from '../../../src/merge/several-tasks.ts';

const PLAN = { type: 'plan', plan: {} } as MergeEvent;
const WARNING = { type: 'warning', warning: { code: 'W_NONFINITE', message: 'x' } } as MergeEvent;
const PROGRESS = { type: 'progress', phase: 'merge' } as MergeEvent;

async function* merge(events: readonly MergeEvent[], error?: Error): AsyncGenerator<MergeEvent, string> {
  yield* events;
  if (error !== undefined) throw error;
  return 'result';
}

async function heard(events: AsyncGenerator<MergeEvent, string>): Promise<string[]> {
  const said: string[] = [];
  try {
    for (;;) {
      const { done, value } = await events.next();
      said.push(done ? value : value.type);
      if (done) return said;
    }
  } catch (error) {
    return [...said, (error as Error).message];
  }
}

it('of a task whose merge another one has made, nothing is heard of a merge', async () => {
  expect(await heard(onceAtWork(merge([PLAN, WARNING], new Error('it exists'))))).toEqual(['it exists']);
  expect(await heard(onceAtWork(merge([PLAN, WARNING, PROGRESS, WARNING], new Error('late'))))).toEqual([
    ...['plan', 'warning', 'progress', 'warning', 'late'],
  ]);
  expect(await heard(onceAtWork(merge([PLAN])))).toEqual(['plan', 'result']);
});

it('a merge that is left is ended', async () => {
  let ended = false;
  const events = (async function* (): AsyncGenerator<MergeEvent, string> {
    try {
      yield PROGRESS;
      yield PROGRESS;
      return 'result';
    } finally {
      ended = true;
    }
  })();
  for await (const _ of onceAtWork(events)) break;
  expect(ended).toBe(true);
});
