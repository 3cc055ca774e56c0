import { mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MergeError } from '../../../src/base/errors.ts';
import { localStore } from '../../../src/base/store/local.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

/** The tokenizer that a merge gets is whole, and that of its members. */

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  vi.restoreAllMocks();
  folder.remove();
});

type Sides = Readonly<Record<string, string>>;

const make = (...members: readonly Sides[]) =>
  members.map((sides, i) =>
    writeCheckpoint(join(folder.path, `run/checkpoint-${i + 1}`), [[{ name: 'model.norm.weight', dtype: 'F32', shape: [8] }]], i, sides),
  );
const planOf = (inputs: readonly string[]) => buildPlan({ inputs, outputs: [{ path: join(folder.path, 'out') }] });
const told = async (...members: readonly Sides[]) =>
  (await planOf(make(...members))).warnings.filter(({ code }) => code === 'W_TOKENIZER').map(({ message }) => message);
const refused = async (sides: Sides) => {
  const error = await planOf(make({}, sides)).then(
    () => null,
    (thrown: unknown) => thrown as MergeError,
  );
  return error === null ? null : [error.code, basename(error.details.file ?? ''), error.message];
};

const fast = (tokens: readonly string[], more: object = {}) =>
  JSON.stringify({ model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) }, ...more });
const LONG = Array.from({ length: 120_000 }, (_, i) => `token-${i}`);

describe('a damaged tokenizer of the newest member is refused', () => {
  it.each([
    ['tokenizer.json', '', 'is empty'],
    ['tokenizer.model', '\0'.repeat(5000), 'holds zeros'],
    ['tokenizer.model', `\n\x0e${'x'.repeat(9000)}${'\0'.repeat(5000)}`, 'ends in zeros'],
    ['tokenizer.json', '{"version":"1.0","added_tokens":[{"id":0', 'only the beginning'],
    ['tokenizer.json', fast(LONG).slice(0, -20), 'only the beginning'],
    ['tokenizer_config.json', '{"model_max_length": 2048', 'only the beginning'],
    ['special_tokens_map.json', '', 'is empty'],
    ['vocab.json', '{"a": 0, "b"', 'only the beginning'],
    ['merges.txt', '', 'is empty'],
  ])('%s: %#', async (name, content, what) => {
    expect(await refused({ [name]: content })).toEqual(['E_OTHER_CONTENT', name, expect.stringContaining(what)]);
  });

  it.each([
    ['tokenizer.json', `${fast(LONG)}\n`],
    ['tokenizer_config.json', '{"model_max_length": 1000000000000000019884624838656, "x": Infinity}'],
    ['added_tokens.json', '{}'],
    ['tokenizer.model', '\n\x05hello\0\0'],
  ])('but not a sound one: %s', async (name, content) => {
    expect(await refused({ [name]: content })).toBeNull();
  });

  it('and an older one that is damaged is nobody’s loss', async () => {
    expect(await told({ 'tokenizer.json': '' }, { 'tokenizer.json': fast(['a']) })).toEqual([]);
  });
});

it('says that the newest has none where an older one has', async () => {
  expect(await told({}, {}, {})).toEqual([]);
  const [message, more] = await told({ 'tokenizer.json': fast(['a']) }, { 'vocab.json': '{}' }, { 'tokenizer_config.json': '{}' });
  expect([message, more]).toEqual([
    expect.stringMatching(/checkpoint-3 has no tokenizer, which .*checkpoint-2 has \(vocab.json\)/),
    undefined,
  ]);
});

it('names the first token that differs, once for all members', async () => {
  const [message, more] = await told(
    { 'tokenizer.json': fast(['a', 'b', 'c']) },
    { 'tokenizer.json': fast(['a', 'b', 'c']) },
    { 'tokenizer.json': fast(['a', 'x', 'c']) },
  );
  expect(more).toBeUndefined();
  expect(message).toMatch(
    /^tokenizer\.json of .*checkpoint-3 and of .*checkpoint-2 and of 1 more member differ: token 1 is "x" in the newest and "b"/,
  );
});

it.each([
  ['more tokens', fast(['a', 'b']), fast(['a', 'b'], { added_tokens: [{ id: 2, content: '<pad>' }] }), '3 tokens and 2'],
  ['no vocabulary', '{"v":1}', '{"v":2}', 'their content is another'],
  ['Unigram', '{"model":{"vocab":[["a",-1],["b",-2]]}}', '{"model":{"vocab":[["b",-1],["a",-2]]}}', 'token 0 is "b"'],
])('says what differs: %s', async (_, older, newer, what) => {
  expect(await told({ 'tokenizer.json': older }, { 'tokenizer.json': newer })).toEqual([expect.stringContaining(what)]);
});

it('says nothing of one vocabulary written by another version', async () => {
  const older = fast(['a', 'b'], { merges: ['a b'] });
  const newer = JSON.stringify({ ...(JSON.parse(fast(['a', 'b'])) as object), merges: [['a', 'b']], padding: null }, null, 2);
  expect(await told({ 'tokenizer.json': older }, { 'tokenizer.json': newer })).toEqual([]);
});

it('compares a tokenizer.model by its bytes, and a member that lacks the file by another', async () => {
  const sentencepiece = (last: string) => `\n\x05hello${last}`;
  expect(await told({ 'tokenizer.model': sentencepiece('a') }, { 'tokenizer.model': sentencepiece('b') })).toHaveLength(1);
  expect(
    await told({ 'tokenizer.model': sentencepiece('a') }, { 'tokenizer.model': sentencepiece('a'), 'tokenizer.json': fast(['a']) }),
  ).toEqual([]);
});

it('reads little of long ones that are alike, and one file once that all link to', async () => {
  const inputs = make({}, {}, {}, {});
  mkdirSync(join(folder.path, 'run/shared'));
  writeFileSync(join(folder.path, 'run/shared/tokenizer.json'), fast(LONG));
  for (const [i, path] of inputs.entries()) {
    if (i < 2) writeFileSync(join(path, 'tokenizer.json'), fast(LONG));
    else symlinkSync('../shared/tokenizer.json', join(path, 'tokenizer.json'));
  }
  let read = 0;
  const { openResolved } = localStore;
  vi.spyOn(localStore, 'openResolved').mockImplementation(async (path) => {
    const file = await openResolved.call(localStore, path);
    if (!path.endsWith('tokenizer.json')) return file;
    return Object.assign(Object.create(file) as typeof file, {
      read: async (buffer: Uint8Array, at: number) => {
        const count = await file.read(buffer, at);
        read += count;
        return count;
      },
      close: () => file.close(),
    });
  });
  expect((await planOf(inputs)).warnings.filter(({ code }) => code === 'W_TOKENIZER')).toEqual([]);
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThan(600_000);
  unlinkSync(join(inputs[0]!, 'tokenizer.json'));
});
