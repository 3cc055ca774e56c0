import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeTree } from '../../support/run-trees.ts';
import { mergeError } from '../../support/safetensors.ts';
import { dictOf, number, op, pickle, tensor, torchFiles, tupleOf, zipOf } from '../../support/torch-files.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const STORAGES = { 0: randomBytes(16), 1: randomBytes(16) };
const W = tensor();
/** In a storage of its own. */
const V = tensor({ key: op.text('1') });
const object = (module: string, name: string, state: Uint8Array): Buffer =>
  Buffer.concat([op.global(module, name), op.emptyTuple, op.newObject, state, op.build]);
const pair = (key: Uint8Array, value: Uint8Array): Buffer => Buffer.concat([op.emptyDict, key, value, op.setItem]);
const array = (type: string, ...shape: readonly number[]): Buffer => {
  const dtype = Buffer.concat([op.global('numpy', 'dtype'), tupleOf(op.text(type), op.no, op.no), op.reduce]);
  const made = tupleOf(op.global('numpy', 'ndarray'), tupleOf(number(0)), op.text('b'));
  const state = tupleOf(number(1), tupleOf(...shape.map(number)), dtype, op.no, op.text('0000'));
  return Buffer.concat([op.global('numpy._core.multiarray', '_reconstruct'), made, op.reduce, state, op.build]);
};

/** Names of the tensors of a file with these values, and its warnings. */
async function opened(values: Readonly<Record<string, Uint8Array>>) {
  const path = join(folder.path, 'w.pt');
  writeTree(folder.path, { 'w.pt': zipOf(torchFiles(pickle(dictOf(values)), STORAGES)) });
  const { shards, warnings } = await openCheckpoint(path);
  return {
    names: [...shards[0]!.tensors.names],
    warnings: warnings.map(({ code, message }) => `${code} ${message.replace(`${path}: `, '')}`),
  };
}

describe('tensors that no plain name reaches are told of, once', () => {
  it.each<[string, Readonly<Record<string, Uint8Array>>, string]>([
    ['in an object', { w: W, m: object('argparse', 'Namespace', dictOf({ v: V })) }, 'm in an object of argparse.Namespace'],
    ['under True', { w: W, m: pair(Buffer.of(0x88), V) }, 'm.True'],
    ['under None', { w: W, m: pair(op.none, dictOf({ v: V })) }, 'm.None'],
    ['under a tuple', { w: W, m: pair(tupleOf(number(1), number(2)), V) }, 'm.(a tuple)'],
    ['under a number beyond 2^53', { w: W, m: pair(op.long(2n ** 60n), V) }, `m.${2 ** 60}`.replace(/\d+$/, '1152921504606846976')],
    ['an array beside tensors', { w: W, v: array('f4', 4) }, 'v is an array of numpy'],
    ['an array of two dimensions', { w: W, model: dictOf({ v: array('f2', 4, 4) }) }, 'model.v is an array of numpy'],
  ])('%s', async (_what, values, where) => {
    const { names, warnings } = await opened(values);
    expect(names).toEqual(['w']);
    expect(warnings).toEqual([expect.stringContaining('W_UNREACHED 1 tensor or array is')]);
    expect(warnings[0]).toContain(`(${where})`);
  });

  it('many as one, with examples', async () => {
    const values = Object.fromEntries([1, 2, 3, 4, 5].map((i) => [`v${i}`, array('f4', 2, 2)]));
    const { warnings } = await opened({ w: W, ...values });
    expect(warnings).toEqual([expect.stringMatching(/^W_UNREACHED 5 tensors or arrays are .*v1 is .*v3 is an array of numpy; …/)]);
  });
});

it('a file of nothing else says where they are', async () => {
  const { code, help } = await mergeError(() => opened({ m: object('argparse', 'Namespace', dictOf({ v: V })) }));
  expect([code, help]).toEqual(['E_NO_TENSORS', expect.stringContaining('m in an object of argparse.Namespace')]);
});

it.each<[string, Readonly<Record<string, Uint8Array>>]>([
  ['states of an optimizer under numbers', { w: W, optimizer: dictOf({ state: pair(number(0), dictOf({ exp_avg: V })) }) }],
  ['an optimizer that is an object', { w: W, optimizer: object('argparse', 'Namespace', dictOf({ v: V })) }],
  ['generators', { w: W, rng_state: tupleOf(op.text('MT19937'), array('u4', 624), V) }],
  ["numpy's, wherever it stands", { w: W, seeds: tupleOf(op.text('MT19937'), array('u4', 624)) }],
  ['a history of losses', { model: dictOf({ w: W }), losses: array('f8', 100) }],
  ["Lightning's callbacks", { w: W, callbacks: dictOf({ ema: object('argparse', 'Namespace', dictOf({ v: V })) }) }],
  ["Megatron's arguments", { w: W, args: object('argparse', 'Namespace', dictOf({ seq_length: number(512) })) }],
  ['the same storage by a name', { w: W, m: object('argparse', 'Namespace', dictOf({ w: W })) }],
])('nothing is said of %s', async (_what, values) => {
  expect((await opened(values)).warnings).toEqual([]);
});

it.each<[string, readonly Uint8Array[]]>([
  ['of nothing', []],
  ['of a class', [op.global('__builtin__', 'dict')]],
])('a defaultdict %s is a dict', async (_what, args) => {
  const made = Buffer.concat([op.global('collections', 'defaultdict'), tupleOf(...args), op.reduce, op.text('v'), V, op.setItem]);
  expect(await opened({ state_dict: made, w: W })).toEqual({ names: ['state_dict.v', 'w'], warnings: [] });
});

it.each<[string, Uint8Array]>([
  ['a set', Buffer.concat([Buffer.of(0x8f), op.mark, number(1), number(2), Buffer.of(0x90)])],
  ['a frozenset', Buffer.concat([op.mark, number(1), Buffer.of(0x91)])],
  ['a bytearray', Buffer.concat([Buffer.of(0x96, 3, 0, 0, 0, 0, 0, 0, 0), Buffer.from('abc')])],
  ['an Ellipsis', op.global('__builtin__', 'Ellipsis')],
])('%s beside tensors is data', async (_what, value) => {
  expect(await opened({ w: W, beside: value })).toEqual({ names: ['w'], warnings: [] });
});
