import { expect, test } from 'vitest';
import { ColumnTable } from '../../../src/checkpoints/tensors/table.ts';
import { kindsOfNames } from '../../../src/model/roles/name-kinds.ts';
import { seeded } from '../../support/safetensors.ts';

/** What is left of a name without the numbers between its dots: split and not scanned. */
const withoutNumbers = (name: string): string =>
  name
    .split('.')
    .map((part) => (/^\d{1,9}$/.test(part) ? '\0' : part))
    .join('.');

const tableOf = (names: readonly string[]): ColumnTable => {
  const none = new Float64Array(names.length);
  return new ColumnTable({ names, shapes: names.map(() => []), dtypes: new Uint8Array(names.length), bytes: none, offset: none });
};

const WORDS = ['model', 'layers', 'experts', 'w1', 'weight', '0x1', '', '#', '7_', '1234567890', 'é'];

test('of names that differ in numbers between dots alone the first is kept, in the order of the names', () => {
  const random = seeded(5);
  for (let round = 0; round < 50; round++) {
    const shards = Array.from({ length: 2 }, () => {
      const names = new Set<string>();
      for (let i = 0; i < 120; i++) {
        const parts = Array.from({ length: 1 + random(5) }, () => (random(2) === 0 ? String(random(12)) : WORDS[random(WORDS.length)]!));
        names.add(parts.join('.'));
      }
      return [...names];
    });
    const wanted = shards.flatMap((names) => {
      const seen = new Set<string>();
      return names.filter((name) => {
        const kind = withoutNumbers(name);
        return !seen.has(kind) && seen.add(kind);
      });
    });
    expect(kindsOfNames({ shards: shards.map((names) => ({ tensors: tableOf(names) })) })).toEqual(wanted);
  }
});
