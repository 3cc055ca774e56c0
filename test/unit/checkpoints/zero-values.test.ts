import { expect, it } from 'vitest';
import { readPickle } from '../../../src/checkpoints/containers/pickle/read-pickle.ts';
import { Dict, List, type Value } from '../../../src/checkpoints/containers/pickle/values.ts';
import { writePickle } from '../../../src/checkpoints/containers/pickle/write-pickle.ts';
import { zeroValues } from '../../../src/checkpoints/containers/pickle/zero-values.ts';

function dict(...entries: Value[]): Dict {
  const made = new Dict();
  made.entries.push(...entries);
  return made;
}

function list(...items: Value[]): List {
  const made = new List();
  made.items.push(...items);
  return made;
}

const read = (bytes: Buffer): Value => readPickle(bytes, { path: 'x', what: 'x' }, () => true);

it.each([2, 4] as const)('numbers under a key are 0 in a pickle of protocol %d, and nothing else is another', (protocol) => {
  const group = (step: number): Dict => dict('lr', 0.5, 'step', step, 'name', 'step', 'steps', 7);
  const before = writePickle(list(group(200), group(70_000), group(3.5), dict('last', 'step', 'step', 5, 'n', 6)), protocol);
  const { bytes, count } = zeroValues(before, 'step');
  expect(count).toBe(4);
  expect(bytes).toHaveLength(before.length);
  expect(read(bytes)).toEqual(list(group(0), group(0), group(0), dict('last', 'step', 'step', 0, 'n', 6)));
});

it('a pickle that is one number is 0', () => {
  const { bytes, count } = zeroValues(writePickle(200, 2), null);
  expect([count, read(bytes)]).toEqual([1, 0]);
  expect(zeroValues(writePickle(dict('lr', 1), 2), 'step').count).toBe(0);
});
