import { expect, it } from 'vitest';
import {
  isDict,
  type PickleNode,
  parsePickleTree,
  standsFor,
  writePickleTree,
} from '../../../src/checkpoints/containers/pickle/pickle-tree.ts';
import { List } from '../../../src/checkpoints/containers/pickle/values.ts';
import { editState } from '../../../src/checkpoints/containers/torch/edit-state.ts';
import { tensorNodes } from '../../../src/checkpoints/containers/torch/template.ts';
import { dictOf, op, pickle, tensor, tupleOf } from '../../support/torch-files.ts';

/**
 * By protocol, in base64: what `pickle.dumps` of Python 3 makes of dicts, an OrderedDict and a defaultdict,
 * sets and frozensets, bytes and a bytearray, tuples, numbers, and lists that come back to them.
 */
const OF_PYTHON: Readonly<Record<number, readonly string[]>> = {
  2: [
    'gAJ9cQAoWAEAAABkcQFjY29sbGVjdGlvbnMKZGVmYXVsdGRpY3QKcQJjX19idWlsdGluX18KZGljdApxA4VxBFJxBShYAQAAAGFxBn1x',
    'B1gBAAAAeHEISwFzWAEAAABicQldcQooSwFLAksDhXELZXVYAQAAAG9xDGNjb2xsZWN0aW9ucwpPcmRlcmVkRGljdApxDSlScQ5YAQAA',
    'AGtxD2gFc1gBAAAAc3EQY19fYnVpbHRpbl9fCnNldApxEV1xEksHYYVxE1JxFFgBAAAAZXEVaBFdcRaFcRdScRhYAQAAAGZxGWNfX2J1',
    'aWx0aW5fXwpmcm96ZW5zZXQKcRpdcRtYAQAAAHRxHGGFcR1ScR5YAQAAAGdxH2gaXXEghXEhUnEiWAEAAAB5cSNjX19idWlsdGluX18K',
    'Ynl0ZWFycmF5CnEkY19jb2RlY3MKZW5jb2RlCnElWAMAAABhYmNxJlgGAAAAbGF0aW4xcSeGcShScSmFcSpScStYAQAAAHpxLGglWAMA',
    'AAB4eXpxLWgnhnEuUnEvaBwoSwFLAksDSwR0cTBYAQAAAG5xMUr7////WAEAAAB3cTJHP/gAAAAAAABYAwAAAGJpZ3EzigYAAAAAAAFY',
    'BQAAAGFnYWlucTRdcTUoaAVoDmVYBAAAAG1hbnlxNmgRXXE3hXE4UnE5WAEAAABscTpdcTsoSwFLAmVYBgAAAGVtcHR5ZHE8fXE9WAQA',
    'AABsb25ncT5oCHUu',
  ],
  4: [
    'gASVMgEAAAAAAAB9lCiMAWSUjAtjb2xsZWN0aW9uc5SMC2RlZmF1bHRkaWN0lJOUjAhidWlsdGluc5SMBGRpY3SUk5SFlFKUKIwBYZR9',
    'lIwBeJRLAXOMAWKUXZQoSwFLAksDhZRldYwBb5RoAowLT3JkZXJlZERpY3SUk5QpUpSMAWuUaAlzjAFzlI+UKEsHkIwBZZSPlIwBZpQo',
    'jAF0lJGUjAFnlCiRlIwBeZRoBYwJYnl0ZWFycmF5lJOUQwNhYmOUhZRSlIwBepRDA3h5epRoGihLAUsCSwNLBHSUjAFulEr7////jAF3',
    'lEc/+AAAAAAAAIwDYmlnlIoGAAAAAAABjAVhZ2FpbpRdlChoCWgTZYwEbWFueZSPlIwBbJRdlChLAUsCZYwGZW1wdHlklH2UjARsb25n',
    'lGgMdS4=',
  ],
  5: [
    'gAWVJQEAAAAAAAB9lCiMAWSUjAtjb2xsZWN0aW9uc5SMC2RlZmF1bHRkaWN0lJOUjAhidWlsdGluc5SMBGRpY3SUk5SFlFKUKIwBYZR9',
    'lIwBeJRLAXOMAWKUXZQoSwFLAksDhZRldYwBb5RoAowLT3JkZXJlZERpY3SUk5QpUpSMAWuUaAlzjAFzlI+UKEsHkIwBZZSPlIwBZpQo',
    'jAF0lJGUjAFnlCiRlIwBeZSWAwAAAAAAAABhYmOUjAF6lEMDeHl6lGgaKEsBSwJLA0sEdJSMAW6USvv///+MAXeURz/4AAAAAAAAjANi',
    'aWeUigYAAAAAAAGMBWFnYWlulF2UKGgJaBNljARtYW55lI+UjAFslF2UKEsBSwJljAZlbXB0eWSUfZSMBGxvbmeUaAx1Lg==',
  ],
};

const hooks = { persistent: (id: PickleNode) => id };

it.each([2, 4, 5])('a pickle of protocol %i is written again byte for byte, but for its frames', (protocol) => {
  const bytes = Buffer.from(OF_PYTHON[protocol]!.join(''), 'base64');
  const written = writePickleTree(parsePickleTree(bytes), hooks);
  // One frame, right behind the protocol.
  const framed = bytes[2] === 0x95;
  expect(framed).toBe(protocol >= 4);
  expect(written.equals(framed ? Buffer.concat([bytes.subarray(0, 2), bytes.subarray(11)]) : bytes)).toBe(true);
});

const defaultdict = (entries: Uint8Array): Buffer =>
  Buffer.concat([op.global('collections', 'defaultdict'), op.emptyTuple, op.reduce, entries]);

it('tensors in a defaultdict have the names that they are read by, and can be left out', () => {
  const state = pickle(
    dictOf({
      model: defaultdict(Buffer.concat([op.text('w'), tensor({ key: op.text('0') }), op.setItem])),
      optimizer: dictOf({ m: tensor({ key: op.text('1') }) }),
    }),
  );
  expect([...tensorNodes(parsePickleTree(state))].map(({ name }) => name)).toEqual(['model.w', 'optimizer.m']);
  const edited = editState({ path: 'x', pickle: state }, { kept: new Set(['model.w']), whole: false, dtypes: new Map() });
  expect(edited).toMatchObject({ keys: ['0'] });
});

/** Lists in lists, each twice in the one around it: two to the power of their number in all. */
function doubled(levels: number, inner: Uint8Array): Buffer {
  let value = Buffer.concat([inner, op.put(0)]);
  for (let level = 1; level <= levels; level++) {
    value = Buffer.concat([op.emptyList, value, op.append, op.get(level - 1), op.append, op.put(level)]);
  }
  return value;
}

it('what a pickle comes back to is looked at once', () => {
  const tree = parsePickleTree(pickle(dictOf({ w: tensor({}), notes: doubled(60, op.int(1)) })));
  expect([...tensorNodes(tree)].map(({ name }) => name)).toEqual(['w']);
  const call = parsePickleTree(pickle(op.global('a', 'b'), tupleOf(doubled(60, op.int(1))), op.reduce)).root;
  expect(isDict(call)).toBe(false);
  expect(standsFor(call)).toMatchObject({ args: [expect.any(List)] });
});

it('what is nested deeper than any pickler goes is refused by the name of its file', () => {
  const deep = Buffer.concat([
    ...Array.from({ length: 100_000 }, () => op.emptyList),
    op.none,
    ...Array.from({ length: 100_000 }, () => op.append),
  ]);
  const state = pickle(dictOf({ w: tensor({}), optimizer: op.none, args: deep }));
  const changes = { kept: new Set(['w']), whole: false, dtypes: new Map() };
  expect(() => editState({ path: 'x.pt', pickle: state }, changes)).toThrow(/^x\.pt: its pickle has a form that torch.save does not write/);
});
