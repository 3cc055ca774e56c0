import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { parseNames } from '../../../src/recipe/names/parse.ts';
import { BUILT_IN, builtInTables } from '../../../src/recipe/names/read.ts';

const ROOT = join(import.meta.dirname, '../../..');

function problemsOf(text: string): string[] {
  try {
    parseNames('own.yaml', text, 'own.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    expect(error.code).toBe('E_NAMES');
    const conflicts = error.details.conflicts ?? [{ message: error.message }];
    return conflicts.map(({ message }) => message.split('\n')[0]!);
  }
}

const rule = (lines: string): string => `rules:\n  - ${lines.trim().split('\n').join('\n    ')}\n`;

// biome-ignore format: a table, a file a line.
const BAD: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ['nothing', '', /^own\.yaml:1:1: the names file is empty$/],
  ['a comment', '# nothing\n', /the names file is empty/],
  ['no YAML', 'rules: [', /not valid YAML/],
  ['holes in a map of one line', 'rules:\n  - { from: a.{layer}, to: b.{layer} }\n', /not valid YAML/],
  ['a list', '- a\n', /a names file must be a map with `rules`/],
  ['no rules', 'models: [llama]\n', /`rules` is missing/],
  ['an empty list', 'rules: []\n', /`rules` is an empty list/],
  ['an unknown key', 'rule: []\n', /unknown key `rule`; did you mean `rules`\?/],
  ['an unknown key of a rule', rule('from: a\ntoo: b'), /^own\.yaml:3:5: unknown key `too`; did you mean `to`\?/],
  ['no name', rule('to: b'), /a rule needs `from`, or `drop`/],
  ['no target', rule('from: a'), /`to` is missing: what the tensor is called there/],
  ['two ways', rule('from: a\ndrop: b\nto: c'), /`from` and `drop` are two ways of one rule/],
  ['a rule that drops and makes', rule('drop: a\nto: c'), /`drop` makes nothing/],
  ['a brace alone', rule('from: a.{layer\nto: b'), /`a\.\{layer` has a brace that belongs to no hole/],
  ['a hole twice', rule('from: a.{n}.{n}\nto: b.{n}'), /has the hole \{n\} twice/],
  ['a hole of nothing', rule('from: a\nto: b.{layer}'), /nothing says what \{layer\} is/],
  ['several tensors that would be one', rule('from: a.{layer}\nto: b'), /\{layer\} is in `from` alone: several tensors would be one/],
  ['an open bracket', rule('from: a\naxes: (x y in\nto: b'), /it has a bracket that is not closed/],
  ['an axis twice', rule('from: a\naxes: x x in\nto: b'), /it names the axis x twice/],
  ['no axis', rule('from: a\naxes: X in\nto: b'), /it has 'X', which is no axis/],
  ['a size of nothing', rule('from: a\naxes: x=0 in\nto: b'), /whose size is neither a number from 1 on nor a word/],
  ['axes that are not all there', rule('from: a\naxes: (x y) in\nto:\n  name: b\n  axes: x in'), /the axes here are x, in, and of the tensor there are in, x, y/],
  ['an axis that is not there', rule('from: a\naxes: x in\nto:\n  name: b\n  take: { z: 0 }'), /the tensor has no axis z; `axes` names x, in/],
  ['a range of nothing', rule('from: a\naxes: x in\nto:\n  name: b\n  take: { x: "1:2:3" }'), /it takes '1:2:3', which is no index and no range/],
  ['a transposed matrix', rule('from: a\naxes: out in\nto:\n  name: b\n  axes: in out'), /in is the innermost axis of the tensor and must stay that: a matrix that is transposed/],
  ['one column', rule('from: a\naxes: out in\nto:\n  name: b\n  take: { in: 0 }'), /in is the innermost axis/],
  ['a name that is another thing', rule('from: a\nto: __metadata__'), /is the name of something else in a safetensors file/],
  ['a name of control characters', rule('from: a\nto: "b\\tc"'), /is no name of a tensor: it has a control character/],
  ['a name for two rules', 'rules:\n  - from: a\n    to: b\n  - from: a\n    to: c\n', /rule 1 is about `a`, too, and the first that fits decides/],
  ['a size that is no number', 'sizes: { heads: many }\nrules:\n  - from: a\n    to: b\n', /`sizes\.heads` must be a whole number of at least 1/],
];

it.each(BAD)('%s is told', (_, text, message) => {
  expect(problemsOf(text)).toContainEqual(expect.stringMatching(message));
});

it('every problem is told, each in its line', () => {
  const found = problemsOf('rules:\n  - from: a\n  - to: b\n  - from: c.{x\n    to: c\n');
  expect(found.map((line) => line.split(':')[1])).toEqual(['2', '3', '4']);
});

it('the tables that come with the program are sound, and docs/names.md names each', async () => {
  const files = readdirSync(join(ROOT, 'names')).map((file) => file.replace(/\.yaml$/, ''));
  expect(files.toSorted()).toEqual([...BUILT_IN].toSorted());
  expect((await builtInTables()).map(({ name }) => name)).toEqual([...BUILT_IN]);
  const page = readFileSync(join(ROOT, 'docs/names.md'), 'utf8');
  for (const name of BUILT_IN) expect(page).toContain(`\`${name}\``);
});

it('what provenance holds of a table are the same rules', async () => {
  for (const table of await builtInTables()) {
    const again = parseNames('p', JSON.stringify(table.content), table.name);
    expect(again.rules).toEqual(table.rules);
  }
});
