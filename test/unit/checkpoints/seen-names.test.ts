import { expect, test } from 'vitest';
import { OpenCache } from '../../../src/checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { entry, fileBytes, folderOf, indexText, mergeError } from '../../support/safetensors.ts';

type Files = Readonly<Record<string, readonly string[]>>;

/** A folder of files that hold these tensors, a byte each, with an index in an order of its own. */
function saved(files: Files, indexed: readonly string[]): string {
  const fileOf = Object.fromEntries(Object.entries(files).flatMap(([file, names]) => names.map((name) => [name, file])));
  const contents = Object.entries(files).map(([file, names]) => {
    const entries = names.map((name, i) => entry(name, 'U8', [1], i, i + 1)).join();
    return [file, fileBytes(`{${entries}}`, new Uint8Array(names.length))];
  });
  return folderOf({
    'model.safetensors.index.json': indexText(Object.fromEntries(indexed.map((name) => [name, fileOf[name]!]))),
    ...Object.fromEntries(contents),
  });
}

const CASES: readonly [what: string, files: Files, indexed: readonly string[]][] = [
  ['in the order of the index', { s1: ['a', 'b', 'c'], s2: ['d', 'e'] }, ['a', 'b', 'c', 'd', 'e']],
  ['in another order', { s1: ['c', 'a', 'b'], s2: ['e', 'd'] }, ['e', 'a', 'd', 'c', 'b']],
  ['of which some are others', { s1: ['a', 'x', 'c'], s2: ['d', 'y', 'z'] }, ['a', 'x', 'c', 'z', 'd', 'y']],
  ['that go on where another file of the index began', { s1: ['d', 'e'], s2: ['a', 'b', 'c'] }, ['a', 'b', 'c', 'd', 'e']],
  ['more than there were', { s1: ['a', 'b', 'c', 'd', 'e', 'f'], s2: ['g'] }, ['a', 'b', 'c', 'd', 'e', 'f', 'g']],
];

test('names that follow one another as before, or do not, are found where they are', async () => {
  const cache = new OpenCache();
  for (const [, files, indexed] of [...CASES, ...CASES.toReversed()]) {
    const { shards, locate } = await openCheckpoint(saved(files, indexed), { cache });
    expect(Object.fromEntries(shards.map(({ name, tensors }) => [name, tensors.names]))).toEqual(files);
    const places = Object.entries(files).flatMap(([, names], shard) => names.map((name, row) => [name, { shard, row }] as const));
    for (const [name, place] of [...places, ...places.toReversed(), ...places]) expect(locate(name)).toEqual(place);
    expect(locate('nowhere')).toBeUndefined();
  }
});

test('headers of the same tensors that begin their data elsewhere, or give one another dtype, are each read as they are', async () => {
  const cache = new OpenCache();
  const file = (step: string, dtype: string): Uint8Array => {
    const about = `"__metadata__":{"step":"${step}"}`;
    return fileBytes(
      `{${about},${entry('b', 'F32', [2, 1], 0, 8)},${entry('a', dtype, [4], 8, 12)},${entry('c', 'F32', [2, 1], 12, 20)}}`,
      20,
    );
  };
  for (const [step, dtype] of [
    ['1000', 'U8'],
    ['2000', 'U8'],
    ['10000', 'U8'],
    ['2000', 'I8'],
    ['10001', 'U8'],
  ] as const) {
    const bytes = file(step, dtype);
    const { shards } = await openCheckpoint(folderOf({ 'model.safetensors': bytes }), { cache });
    const { metadata, tensors } = shards[0]!;
    const data = bytes.length - 20;
    expect(metadata?.get('step')).toBe(step);
    expect([...tensors.offset]).toEqual([data, data + 8, data + 12]);
    expect([0, 1, 2].map((row) => tensors.info(row))).toEqual([
      { name: 'b', dtype: 'F32', shape: [2, 1], bytes: 8 },
      { name: 'a', dtype, shape: [4], bytes: 4 },
      { name: 'c', dtype: 'F32', shape: [2, 1], bytes: 8 },
    ]);
  }
});

test.each([
  ['in the order of the index', ['a', 'b', 'b', 'c']],
  ['apart', ['a', 'b', 'c', 'a']],
  ['in another order than that of the index', ['c', 'a', 'b', 'c']],
  ['that the index lacks', ['a', 'x', 'b', 'x']],
])('a tensor that a header names twice is refused: %s', async (_, names) => {
  const cache = new OpenCache();
  const whole = saved({ s1: ['a', 'b', 'c'], s2: ['d'] }, ['a', 'b', 'c', 'd']);
  await openCheckpoint(whole, { cache });
  const twice = saved({ s1: names, s2: ['d'] }, ['a', 'b', 'c', 'd']);
  const error = await mergeError(() => openCheckpoint(twice, { cache }));
  expect([error.code, error.details.tensor]).toEqual(['E_DUPLICATE_KEY', names.find((name, i) => names.indexOf(name) < i)]);
});
