import type { Random } from '../../src/base/numbers/random.ts';

/** Makes another document each time that it is called. */
export type Mutator = (random: Random) => string;

/** What stands in the place of a value: every kind, and what programs trip over. */
const VALUES: readonly string[] = [
  ...['null', 'true', 'false', '0', '-0', '-1', '1', '2', '3', '0.5', '1e308', '1e999', '-1e999', '9007199254740993', '1e21', '4294967296'],
  ...[
    'NaN',
    'Infinity',
    '-Infinity',
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00x"',
    '"../.."',
    '"/"',
    '"."',
    '"__proto__"',
    '"constructor"',
  ],
  ...[
    '"toString"',
    '"😀"',
    '"a\\nb"',
    '" "',
    '"NaN"',
    '"1"',
    '{}',
    '[]',
    '[[]]',
    '[null]',
    '[1,2,3]',
    '["a"]',
    '{"toString":1}',
    '{"valueOf":1}',
  ],
  ...['{"toJSON":1}', '{"length":-1}', '{"then":1}', '{"__proto__":{"a":1}}', '{"constructor":{"prototype":{"a":1}}}', '[{"toString":1}]'],
  ...['1e-400', '00', '.5', "'a'", '"unterminated', '}', ']', ',', ':', '/* a */1', 'tru', '1n', `"${'x'.repeat(2000)}"`, '"/etc/passwd"'],
];
const KEYS: readonly string[] = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'length',
  '',
  '0',
  '\\u0000',
  '\\ud800',
  'then',
  'toJSON',
];
/** Large ones come seldom, since each takes as long as a hundred small ones. */
const LARGE: readonly (() => string)[] = [
  () => '['.repeat(1e5),
  () => `${'['.repeat(1e5)}1${']'.repeat(1e5)}`,
  () => `${'{"a":'.repeat(5e4)}1${'}'.repeat(5e4)}`,
  () => `"${'x'.repeat(1e5)}"`,
  () => `"${'\\"'.repeat(5e4)}"`,
  () => ' '.repeat(1e5),
  () => `[${'1,'.repeat(2e4)}1]`,
  () => `[${'{"a":1},'.repeat(5e3)}1]`,
  () => '9'.repeat(1e5),
  () => `{${Array.from({ length: 3000 }, (_, i) => `"k${i}":${i}`).join()}}`,
  () => `[${' '.repeat(5e4)}NaN${' '.repeat(5e4)}x]`,
];
const LARGE_EVERY = 2000;

/** Texts of a megabyte and less, each of which takes a quadratic reader minutes. */
export const LONG_TEXTS: readonly (() => string)[] = [
  ...LARGE,
  ...[
    ' ',
    '\n',
    '\t',
    '[',
    '{',
    '"',
    "'",
    '\\',
    ',',
    ':',
    '-',
    '#',
    '0',
    '1',
    '9',
    'a',
    'N',
    'I',
    '*',
    '&',
    '!',
    '|',
    '>',
    '%',
    '.',
    '_',
    '/',
  ].map((character) => () => character.repeat(1e6)),
  ...[
    '{"a":',
    '- ',
    '? ',
    '1,',
    'a: b\n',
    'a,',
    '1 ',
    '"\\"',
    'NaN',
    '1.',
    '*a',
    '[]',
    '{},',
    '\r\n',
    '1 , ',
    '# ',
    '---\n',
    '&a ',
    '1:',
    '\\"',
  ].map((part) => () => part.repeat(2e5)),
  () => `{"a": ${' '.repeat(1e6)}NaN ${' '.repeat(1e6)}}`,
  () => `{"a": "${'\\"'.repeat(5e5)}", "b": NaN}`,
  () => `1${' '.repeat(1e6)}2`,
  () => `100,${' '.repeat(1e6)}x`,
  () => `0:${' '.repeat(1e6)}x`,
  () => `1${'0'.repeat(1e6)}x`,
  () => `1.${'0'.repeat(1e6)}ex`,
  () => `---\n${'tags: [a]\n'.repeat(1e5)}`,
  () => `---\ntags: [${'a, '.repeat(2e5)}\n---`,
  () => `---\n${' '.repeat(1e6)}x\n---`,
  () => `[${'{"step":1,"loss":1},'.repeat(5e4)}{}]`,
  () => `{${Array.from({ length: 5e4 }, (_, i) => `"k${i}":1`).join()}}`,
  () =>
    `{"results":{${Array.from({ length: 2e4 }, (_, i) => `"t${i}:_average|5":{"acc":1}`).join()}},"config_general":{},"config_tasks":{}}`,
  () => `{"weight_map":{${Array.from({ length: 5e4 }, (_, i) => `"k${i}":"f${i}"`).join()}}}`,
];

type Tree =
  | { readonly kind: 'object'; readonly entries: readonly (readonly [key: string, value: Tree])[] }
  | { readonly kind: 'list'; readonly items: readonly Tree[] }
  | { readonly kind: 'scalar'; readonly text: string };

export function pick<T>(random: Random, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

/** Mutations of a JSON document: of its structure most often, now and then of its characters. */
export function jsonMutator(sample: unknown): Mutator {
  const tree = treeOf(sample);
  const nodes = count(tree);
  return (random) => {
    const times = 1 + Math.floor(random() * random() * 4);
    const targets = new Set(Array.from({ length: times }, () => Math.floor(random() * nodes)));
    let at = 0;
    const write = (node: Tree): string => {
      const hit = targets.has(at++);
      if (node.kind === 'scalar') return hit ? value(random) : node.text;
      const parts =
        node.kind === 'list' ? node.items.map(write) : node.entries.map(([key, inner]) => `${JSON.stringify(key)}:${write(inner)}`);
      const [open, close] = node.kind === 'list' ? '[]' : '{}';
      return hit ? changed(random, parts, open!, close!) : `${open}${parts.join()}${close}`;
    };
    const text = write(tree);
    return random() < 0.2 ? scrambled(random, text) : text;
  };
}

/** Mutations of text by its characters and lines. */
export function textMutator(sample: string, words: readonly string[] = VALUES): Mutator {
  return (random) => {
    const times = 1 + Math.floor(random() * 3);
    let text = sample;
    for (let i = 0; i < times; i++) {
      const lines = text.split('\n');
      const line = Math.floor(random() * lines.length);
      const word = random() < 1 / LARGE_EVERY ? pick(random, LARGE)() : pick(random, words);
      const how = random();
      if (how < 0.15) lines.splice(line, 1);
      else if (how < 0.25) lines.splice(line, 0, pick(random, lines));
      else if (how < 0.35) lines.splice(line, 0, word);
      else if (how < 0.8) lines[line] = replacedWord(random, lines[line]!, word);
      else {
        text = scrambled(random, text);
        continue;
      }
      text = lines.join('\n');
    }
    return text;
  };
}

/** What YAML has beside JSON: anchors, aliases, tags, merge keys, other spellings of scalars. */
const YAML_WORDS: readonly string[] = [
  ...VALUES,
  ...[
    '~',
    '.inf',
    '-.inf',
    '.nan',
    '0x1F',
    '0o17',
    '2026-01-01',
    'yes',
    '*a',
    '&a',
    '&a [*a]',
    '&a {a: *a}',
    '<<: *a',
    '!!binary x',
    '!!set {a}',
  ],
  ...[
    '!!js/function x',
    '!!map []',
    '!!str',
    '!<x> y',
    '? [a, b]',
    '? {a: b}\n: c',
    '- - - -',
    '{a, b, c}',
    '|',
    '>-',
    '%YAML 1.1',
    '---',
    '...',
  ],
  ...[
    '{[a]: b}',
    '{? : b}',
    'a: b: c',
    '\t',
    '@',
    '`',
    '&a *a',
    '[*a, *a]',
    '{a: {b: {c: [1, {d: e}]}}}',
    '"\\x00"',
    "'it''s'",
    '# x',
    '!!int x',
  ],
  ...[
    '&a &b c',
    '{a: 1, a: 2}',
    '{1: 2, "1": 3}',
    '{null: 1}',
    '{{a: b}: c}',
    '[[[[[[[[[[[[1]]]]]]]]]]]]',
    '!!omap [a: 1]',
    '!!null x',
    '&a',
  ],
];

export function yamlMutator(sample: string): Mutator {
  return textMutator(sample, YAML_WORDS);
}

function value(random: Random): string {
  return random() < 1 / LARGE_EVERY ? pick(random, LARGE)() : pick(random, VALUES);
}

/** A list or object with something done to it. */
function changed(random: Random, parts: string[], open: string, close: string): string {
  const key = open === '{' ? `"${pick(random, KEYS)}":` : '';
  const at = Math.floor(random() * parts.length);
  switch (Math.floor(random() * 7)) {
    case 0:
      return value(random);
    case 1:
      return `${open}${parts.toSpliced(at, 1).join()}${close}`;
    case 2:
      return `${open}${[...parts, ...parts.slice(at, at + 1)].join()}${close}`;
    case 3:
      return `${open}${parts.toSpliced(at, 0, `${key}${value(random)}`).join()}${close}`;
    case 4:
      return `${open}${parts.map((part, i) => (i === at && key !== '' ? `${key}${part.slice(part.indexOf(':') + 1)}` : part)).join()}${close}`;
    case 5:
      return `${open}${close}`;
    default:
      return `${open}${parts.toReversed().join()}${random() < 0.1 ? ',' : ''}${close}`;
  }
}

/** Text with characters turned, lost, repeated or cut off. */
export function scrambled(random: Random, text: string): string {
  const at = Math.floor(random() * (text.length + 1));
  const length = 1 + Math.floor(random() ** 3 * 40);
  switch (Math.floor(random() * 6)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(at + length);
    case 2:
      return text.slice(0, at) + text.slice(at, at + length).repeat(3) + text.slice(at + length);
    case 3:
      return `${text.slice(0, at)}${String.fromCharCode(Math.floor(random() * 128))}${text.slice(at + 1)}`;
    case 4:
      return `${text.slice(0, at)}${pick(random, ['\0', '\uFEFF', '\u2028', '"', '{', ']', '\n', '\\', ':', ',', ' ', '\ud800', '&a ', '*a', '#'])}${text.slice(at)}`;
    default:
      return text.slice(at) + text.slice(0, at);
  }
}

function replacedWord(random: Random, line: string, word: string): string {
  const places = [...line.matchAll(/[^\s:,[\]{}]+/g)];
  if (places.length === 0) return word;
  const place = pick(random, places);
  return line.slice(0, place.index) + word + line.slice(place.index + place[0].length);
}

function treeOf(sample: unknown): Tree {
  if (Array.isArray(sample)) return { kind: 'list', items: sample.map(treeOf) };
  if (typeof sample === 'object' && sample !== null)
    return {
      kind: 'object',
      entries: Object.entries(sample).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, treeOf(inner)]])),
    };
  return { kind: 'scalar', text: JSON.stringify(sample) };
}

function count(tree: Tree): number {
  if (tree.kind === 'scalar') return 1;
  const inner = tree.kind === 'list' ? tree.items : tree.entries.map(([, value]) => value);
  return inner.reduce((sum, node) => sum + count(node), 1);
}
