import { expect, it } from 'vitest';
import { zeroSteps } from '../../../src/checkpoints/containers/dcp/steps.ts';
import { readPickle } from '../../../src/checkpoints/containers/pickle/read-pickle.ts';
import { Dict, List, type Value } from '../../../src/checkpoints/containers/pickle/values.ts';
import { writePickle } from '../../../src/checkpoints/containers/pickle/write-pickle.ts';
import { number, op, pickle, tupleOf } from '../../support/torch-files.ts';

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
const COMMON = 'common_state/shard_0_1';

it.each([2, 4] as const)("an optimizer's steps are 0 in a pickle of protocol %d, and nothing else is another", (protocol) => {
  const group = (step: number): Dict => dict('lr', 0.5, 'step', step, 'name', 'step', 'steps', 7);
  const state = (...steps: readonly number[]): Value =>
    list(
      dict('optimizer', dict('param_groups', list(...steps.slice(0, 4).map(group)), 'last', 'step', 'step', steps[4]!, 'n', 6)),
      // A text is no key where it is a value, or an item; and other parts of a trainer count steps, too.
      dict('args', dict('unit', list('step', 5), 'by', [['step', 9]], 1, 'step', 2, 8), 'profiler', dict('step', 300)),
    );
  const before = writePickle(state(200, 70_000, 3.5, 2 ** 40, 5), protocol);
  const { bytes, count } = zeroSteps(before, COMMON);
  expect(count).toBe(5);
  expect(bytes).toHaveLength(before.length);
  expect(read(bytes)).toEqual(state(0, 0, 0, 0, 0));
});

it('an object that is one number is 0 where that is its name', () => {
  const { bytes, count } = zeroSteps(writePickle(200, 2), 'optim.state.w.step');
  expect([count, read(bytes)]).toEqual([1, 0]);
  expect(zeroSteps(writePickle(200, 2), 'optim.state.w.lr').count).toBe(0);
  expect(zeroSteps(writePickle(dict('lr', 1), 2), 'optim.param_groups').count).toBe(0);
});

it('a number that a pickle speaks of again stays', () => {
  const step = [op.text('step'), number(7), op.put(0)];
  const other = [op.text('seed'), op.get(0)];
  const bytes = pickle(op.emptyDict, op.mark, ...step, ...other, op.setItems);
  expect(zeroSteps(bytes, 'optim.state')).toMatchObject({ count: 0, bytes });
});

it('ends with a pickle that contains itself, or comes back to one thing often', () => {
  const itself = pickle(op.emptyList, op.put(0), op.get(0), op.append);
  expect(zeroSteps(itself, COMMON).count).toBe(0);
  const doubled = Array.from({ length: 60 }, (_, i) => [op.put(i), op.get(i), Buffer.of(0x86)]).flat();
  expect(zeroSteps(pickle(op.text('optimizer'), ...doubled), COMMON).count).toBe(0);
  expect(zeroSteps(pickle(tupleOf(number(3))), 'optim.state.step').count).toBe(0);
});
