import { expect, it } from 'vitest';
import { readPickle } from '../../../src/checkpoints/containers/pickle/read-pickle.ts';
import { Call, Dict, Global, List, type Value } from '../../../src/checkpoints/containers/pickle/values.ts';
import { writePickle } from '../../../src/checkpoints/containers/pickle/write-pickle.ts';

const read = (bytes: Uint8Array): Value => readPickle(bytes, { path: 'x', what: 'it' }, () => true);
const dict = (...entries: Value[]): Dict => Object.assign(new Dict(), { entries });
const list = (...items: Value[]): List => Object.assign(new List(), { items });

const SHARED = [1, 2];
const OBJECT = Object.assign(new Call(new Global('m.n', 'C'), []), { state: dict('a', 1, 'b', list()) });

it.each([
  ['nothing', null],
  ['truth', [true, false]],
  ['integers', [0, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, -1, -(2 ** 31), -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER]],
  ['large integers', [2n ** 63n, -(2n ** 63n), 2n ** 200n]],
  ['floats', [0.5, -0, 1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]],
  ['texts', ['', 'a', 'é', 'a', 'x'.repeat(300), '𝒳']],
  ['bytes', [Buffer.of(), Buffer.of(1, 2), Buffer.alloc(300, 7)]],
  ['tuples', [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]],
  ['lists and dicts', dict('a', list(1, dict()), 'b', dict(1, 2, [3], 4))],
  ['long ones', list(...Array.from({ length: 2500 }, (_, i) => `name ${i % 1300}`))],
  ['long dicts', dict(...Array.from({ length: 5002 }, (_, i) => i))],
  ['classes, calls and objects', [new Global('torch', 'float32'), new Call(new Global('torch', 'Size'), [[2, 3]]), OBJECT, OBJECT]],
] satisfies [string, Value][])('%s are read as they were written', (_, value) => {
  expect(read(writePickle(value))).toEqual(value);
});

it('what is one object in several places is one again', () => {
  const back = read(writePickle([SHARED, SHARED, OBJECT, dict('x', OBJECT)])) as [unknown, unknown, unknown, Dict];
  expect(back[0]).toBe(back[1]);
  expect(back[2]).toBe(back[3].entries[1]);
});

it('what is nested too deep is not written; what contains itself is', () => {
  const loop = new List();
  loop.items.push(loop);
  const deep = Array.from({ length: 2000 }).reduce<Value>((inner) => list(inner), null);
  expect(read(writePickle(loop))).toBeInstanceOf(List);
  expect(() => writePickle(deep)).toThrow(RangeError);
});
