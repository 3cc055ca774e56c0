import { expect, it } from 'vitest';
import { referencedEntries } from '../../../src/checkpoints/containers/pickle/referenced.ts';
import { op } from '../../support/torch-files.ts';

const entriesOf = (...ops: readonly Uint8Array[]): number[] =>
  [...referencedEntries(Buffer.concat(ops))].flatMap((spoken, entry) => (spoken === 1 ? [entry] : []));

it('entries that a pickle comes back to are found behind operands of all kinds', () => {
  const text = op.text('h\x01 and j, in a text');
  expect(
    entriesOf(op.proto(2), op.global('a', 'b'), op.put(0), text, op.long(0x0168_0168n), op.get(3), Buffer.from('h\x02'), op.stop),
  ).toEqual([2, 3]);
});

it('a pickle that ends inside an operand is looked through up to there', () => {
  const padding = Buffer.alloc(300, 'N');
  for (const cut of ['cos\nsystem', 'cos', 'X\xff\xff\xff\xff', '\x8c\xff', 'j\x01', '\x95', 'h']) {
    expect(entriesOf(Buffer.from('cposix\na\nh\x01'), padding, Buffer.from(cut, 'latin1'))).toEqual([1]);
  }
});
