import { mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
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

const make = (...members: readonly Sides[]) => {
  rmSync(join(folder.path, 'run'), { recursive: true, force: true });
  return members.map((sides, i) =>
    writeCheckpoint(join(folder.path, `run/checkpoint-${i + 1}`), [[{ name: 'model.norm.weight', dtype: 'F32', shape: [8] }]], i, sides),
  );
};
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
const LONG = Array.from({ length: 60_000 }, (_, i) => `token-${i}`);
const LONG_TEXT = fast(LONG);
const HOLE = `${LONG_TEXT.slice(0, 400_000)}${'\0'.repeat(400_000)}${LONG_TEXT.slice(800_000)}`;

describe('a damaged tokenizer of the newest member is refused', () => {
  it.each([
    ['tokenizer.json', '', 'is empty'],
    ['tokenizer.model', '\0'.repeat(5000), 'holds zeros'],
    ['tokenizer.model', `\n\x0e${'x'.repeat(9000)}${'\0'.repeat(5000)}`, 'ends in zeros'],
    ['tokenizer.json', '{"version":"1.0","added_tokens":[{"id":0', 'only the beginning'],
    ['tokenizer.json', LONG_TEXT.slice(0, -20), 'only the beginning'],
    ['tokenizer.json', fast(LONG, { more: [1] }).replace(/\}$/, ''), 'only the beginning'],
    ['tokenizer.json', `${LONG_TEXT.slice(0, 1_100_000)}]`, 'only the beginning'],
    ['tokenizer.json', HOLE, 'only the beginning'],
    ['tokenizer_config.json', '{"model_max_length": 2048', 'only the beginning'],
    ['special_tokens_map.json', '', 'is empty'],
    ['vocab.json', '{"a": 0, "b"', 'only the beginning'],
    ['merges.txt', '', 'is empty'],
  ])('%s: %#', async (name, content, what) => {
    expect(await refused({ [name]: content })).toEqual(['E_OTHER_CONTENT', name, expect.stringContaining(what)]);
  });

  it('of which an older member has a sound one, too', async () => {
    const inputs = make({ 'tokenizer.json': LONG_TEXT }, { 'tokenizer.json': HOLE });
    await expect(planOf(inputs)).rejects.toMatchObject({ code: 'E_OTHER_CONTENT' });
  });

  it.each([
    ['tokenizer.json', `${LONG_TEXT}\n`],
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
  ['no vocabulary', '{"v":1}', '{"v":2}', 'their content is another'],
  ['Unigram', '{"model":{"vocab":[["a",-1],["b",-2]]}}', '{"model":{"vocab":[["b",-1],["a",-2]]}}', 'token 0 is "b"'],
])('says what differs: %s', async (_, older, newer, what) => {
  expect(await told({ 'tokenizer.json': older }, { 'tokenizer.json': newer })).toEqual([expect.stringContaining(what)]);
});

it('finds differences in all that hold tokens, and behind many that differ in other things', async () => {
  const model = '\n\x05hello';
  const swapped = { a: '{"<a>": 2, "<b>": 3}', b: '{"<b>": 2, "<a>": 3}' };
  const merges = (...pairs: string[]) => fast(['a', 'b'], { model: { vocab: { a: 0, b: 1 }, merges: pairs } });
  const tekken = (first: number) =>
    JSON.stringify({ config: { default_num_special_tokens: first }, vocab: [0, 1].map((rank) => ({ rank, token_bytes: `YQ${rank}=` })) });
  const cases: [Sides, Sides, string][] = [
    [
      { 'tokenizer.model': model, 'added_tokens.json': swapped.a },
      { 'tokenizer.model': model, 'added_tokens.json': swapped.b },
      'token 2 is "<b>"',
    ],
    [{ 'vocab.json': '{"b": 0, "a": 1}' }, { 'tokenizer.json': fast(['a', 'b']) }, 'token 0 is "a"'],
    [{ 'tokenizer.json': merges('a b', 'b a') }, { 'tokenizer.json': merges('b a', 'a b') }, 'their merges are others'],
    [{ 'vocab.json': '{"a": 0}', 'merges.txt': 'a b\nb a' }, { 'vocab.json': '{"a": 0}', 'merges.txt': 'b a\na b' }, 'their merges'],
    [{ 'vocab.txt': 'a\nb\n' }, { 'vocab.txt': 'b\na\n' }, 'token 0 is "b"'],
    [{ 'a.tiktoken': 'YQ== 0\nYg== 1\n' }, { 'a.tiktoken': 'Yg== 0\nYQ== 1\n' }, 'token 0 is "Yg=="'],
    [{ 'tekken.json': tekken(0) }, { 'tekken.json': tekken(1) }, 'token 1 is "YQ0="'],
  ];
  for (const [older, newer, what] of cases) expect(await told(older, newer)).toEqual([expect.stringContaining(what)]);
  const cut = (length: number, tokens = ['a', 'b']) => ({ 'tokenizer.json': fast(tokens, { truncation: length }) });
  expect(await told(cut(1, ['b', 'a']), cut(2), cut(3), cut(4), cut(5), cut(6))).toHaveLength(1);
});

it('says nothing where no row stands for two tokens', async () => {
  const longer = fast(['a', 'b'], { added_tokens: [{ id: 2, content: '<pad>' }] });
  const tekken = (version: string) => JSON.stringify({ config: { version }, vocab: [{ rank: 0, token_bytes: 'YQ==' }] });
  const pairs: [Sides, Sides][] = [
    [{ 'tokenizer.json': fast(['a', 'b']) }, { 'tokenizer.json': longer }],
    [{ 'tokenizer.json': longer }, { 'tokenizer.json': fast(['a', 'b']) }],
    [{ 'tekken.json': tekken('v3') }, { 'tekken.json': tekken('v7') }],
    [{ 'vocab.json': '{"a": 0, "b": 1}' }, { 'tokenizer.json': longer }],
    [
      { 'vocab.json': '{"a": 0}', 'merges.txt': '#version: 0.2\na b\n' },
      { 'vocab.json': '{"a": 0}', 'merges.txt': 'a b' },
    ],
  ];
  for (const [older, newer] of pairs) expect(await told(older, newer)).toEqual([]);
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
  writeFileSync(join(folder.path, 'run/shared/tokenizer.json'), LONG_TEXT);
  for (const [i, path] of inputs.entries()) {
    if (i < 2) writeFileSync(join(path, 'tokenizer.json'), LONG_TEXT);
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
