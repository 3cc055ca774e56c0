import { describe, expect, it } from 'vitest';
import { keysTwice } from '../../../src/base/json/keys-twice.ts';
import { MOST_NESTED, parseJson, parsePythonJson, pythonJsonOrNone } from '../../../src/base/json/parse.ts';
import { jsonTokens } from '../../../src/base/json/tokens.ts';

describe('keys that are there twice', () => {
  it.each([
    ['{"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}', []],
    ['{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}', ['c', 'a']],
    ['[{"a": "a", "b": "a:", "\\u0061": NaN}]', ['a']],
    ['{"__proto__": 1, "__proto__": 2, "x\\"": 1}', ['__proto__']],
    ['0.5', []],
  ])('%s', (text, keys) => {
    expect(keysTwice(text)).toEqual(keys);
  });
});

describe('JSON as Python writes it', () => {
  it.each([
    ['{"a": 1.5}', { a: 1.5 }],
    ['{"a": NaN, "b": 2}', { a: Number.NaN, b: 2 }],
    ['[Infinity, -Infinity, -0, 1e999, true, null, false]', [Infinity, -Infinity, -0, Infinity, true, null, false]],
    ['{"a": NaN, "say \\"NaN\\" or Infinity": "NaN, \\\\"}', { a: Number.NaN, 'say "NaN" or Infinity': 'NaN, \\' }],
    ['{"a": "-Infinity"}', { a: '-Infinity' }],
    ['[NaN, "line\\nNaN", {}, [], {"b":[ 1 ]} ]', [Number.NaN, 'line\nNaN', {}, [], { b: [1] }]],
    ['{"a": 1, "a": NaN, "a": 2}', { a: 2 }],
    [' NaN ', Number.NaN],
  ])('%s', (text, value) => {
    expect(parsePythonJson(text)).toEqual(value);
  });

  it.each([
    ...['', '{"a": 1', 'NaNs', '{"a": nan}', '[1,]', '{"a": "NaN}', '[NaN,]', '{"a": NaN,}', '[-NaN]', '[1NaN]', '[Infinity1]', '[NaN] 1'],
    ...[
      '[+Infinity]',
      '[0x10, NaN]',
      '[01, NaN]',
      '[.5, NaN]',
      '[1., NaN]',
      "['a', NaN]",
      '[NaN, "\n"]',
      '{NaN: 1}',
      '[NaN, "\\x"]',
      '[NaN, tru]',
    ],
  ])('is none of %j', (text) => {
    expect(pythonJsonOrNone(text)).toBeUndefined();
    expect(() => parsePythonJson(text)).toThrow(SyntaxError);
  });

  it.each(['SECRETSECRET', '{"a": SECRET}', '{"a": 1} SECRET', '{"a": "SECRET', '{"a": NaN, SECRET', '{"SECRET": 1 "b"}'])(
    'says of %j that it is none, and quotes nothing of it',
    (text) => {
      for (const parse of [parseJson, parsePythonJson]) expect(() => parse(text)).toThrow(/^(?!.*(SEC|RET)).*JSON/s);
    },
  );

  it('is what JSON.parse reads, wherever that reads it', () => {
    // The second text takes the other way through the reader.
    for (const text of ['{"__proto__": {"a": 1}, "b": [1e3, -2.5E-2, "\\ud800 \\u00e9"]}', '"N"', '12', '[[[]], {"": {}}]'])
      expect([parsePythonJson(text), parsePythonJson(`[NaN, ${text}]`)]).toEqual([JSON.parse(text), [Number.NaN, JSON.parse(text)]]);
  });

  it('never sets a prototype', () => {
    const read = parsePythonJson('{"__proto__": {"polluted": true}, "a": NaN}') as Record<string, unknown>;
    expect([Object.keys(read), read.polluted, Object.getPrototypeOf(read)]).toEqual([['__proto__', 'a'], undefined, Object.prototype]);
  });
});

describe('limits', () => {
  it('is nested to a depth, and no deeper', () => {
    const nested = (depth: number, inner: string) => `${'['.repeat(depth)}${inner}${']'.repeat(depth)}`;
    for (const inner of ['1', 'NaN']) {
      expect(JSON.stringify(parsePythonJson(nested(MOST_NESTED, inner)))).toContain('[[');
      expect(() => parsePythonJson(nested(MOST_NESTED + 1, inner))).toThrow(/nested more than 256 deep/);
    }
    expect(() => parseJson(nested(1e6, '1'))).toThrow(SyntaxError);
    expect(() => parseJson('{"a":'.repeat(1e5))).toThrow(SyntaxError);
    expect(parseJson(`"${'['.repeat(1e5)}"`)).toBe('['.repeat(1e5));
  });

  it.each([
    ['white space', `{"loss":${' '.repeat(1e6)}x NaN}`],
    ['white space around words', `[${`${' '.repeat(1000)}NaN,`.repeat(1000)}1]`],
    ['escaped quotes', `{"a": NaN, "b": "${'\\"'.repeat(5e5)}`],
    ['escaped quotes that close', `{"a": NaN, "b": "${'\\"'.repeat(5e5)}"}`],
    ['backslashes', `["${'\\\\'.repeat(5e5)}`],
    ['quotes', '"'.repeat(1e6)],
    ['words', 'NaN'.repeat(3e5)],
    ['words in a list', `[${'NaN,'.repeat(2e5)}NaN]`],
    ['digits', `[NaN, ${'1'.repeat(1e6)}x]`],
    ['commas', `[NaN${','.repeat(1e6)}]`],
  ])('a megabyte of %s takes no second', (_, text) => {
    const began = performance.now();
    pythonJsonOrNone(text);
    let last = 0;
    for (const { end } of jsonTokens(text)) last = end;
    expect(last).toBeLessThanOrEqual(text.length);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

it('tokens of a text are its strings and punctuation', () => {
  const text = '{"a\\"": [1, NaN, "b"], "c": true} "open\\';
  expect([...jsonTokens(text)].map(({ start, end }) => text.slice(start, end))).toEqual([
    ...['{', '"a\\""', ':', '[', ',', ',', '"b"', ']', ',', '"c"', ':', '}', '"open\\'],
  ]);
});
