import { basename } from 'node:path';
import { expect } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import type { SearchOptions } from '../../src/search/optimise/options.ts';
import { search } from '../../src/search/optimise/search.ts';
import type { SearchDocument } from '../../src/search/optimise/types.ts';
import type { StudyEvent } from '../../src/search/study/types.ts';
import { withoutTimes } from './ended.ts';
import { weightsIn } from './model-weights.ts';
import { type SearchPlace, wholeLines } from './searching.ts';

const TARGET = [0, 0, 0.3, 0.7];
/** An evaluator in this process that notes what it scores. */
export function scorer() {
  const scored: string[] = [];
  const score = async (model: string) => {
    scored.push(basename(model));
    return 1 - weightsIn(model).reduce((sum, w, i) => sum + (w - TARGET[i]!) ** 2, 0);
  };
  return { score, scored };
}

/** A search between the two newest of a place; its answer is the same each time. */
export function optionsOf({ run, out }: SearchPlace, more: Partial<SearchOptions> = {}): SearchOptions {
  return { inputs: [run], select: { last: 2 }, eval: scorer().score, goal: 'maximize', output: out, trials: 6, ...more };
}

/** Of the trials that are kept. */
export const idsOf = (place: SearchPlace) => wholeLines(place.trials).map((line) => JSON.parse(line).id as number);

/** What a document says apart from its place. */
export const said = (document: SearchDocument, { folder }: SearchPlace) =>
  JSON.parse(JSON.stringify(withoutTimes(document)).replaceAll(folder, ''));

/**
 * A search that was ended while its trial number `count` was evaluated, which a function carries on to its
 * end.
 */
export async function cutOff(place: SearchPlace, count: number, more: Partial<SearchOptions> = {}): Promise<void> {
  const stop = new AbortController();
  const onEvent = (event: StudyEvent) => {
    if (event.type === 'evaluating' && event.trial === count - 1) stop.abort('the test');
  };
  await expect(search(optionsOf(place, more), { signal: stop.signal, onEvent })).rejects.toBe('the test');
}

/** How work fails. */
export async function failure(work: Promise<unknown>): Promise<MergeError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
}
