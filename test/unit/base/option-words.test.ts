import { afterEach, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode, MergeError } from '../../../src/base/errors.ts';
import { optionName, optionWith, speaking, speakTo, worded } from '../../../src/base/option-words.ts';

afterEach(() => speakTo('library'));

it.each([
  ['library', 'Select one with `stage`, or add `allowStages`.', 'allowStages', 'from: 100', '/a/--b: `allowStages` and `force`'],
  ['recipe', 'Select one with stage, or add allow-stages.', 'allow-stages', 'from: 100', '/a/--b: allow-stages and --force'],
  ['command line', 'Select one with --stage, or add --allow-stages.', '--allow-stages', '--from 100', '/a/--b: --allow-stages and --force'],
] as const)('options are spelled as whoever reads writes them: %s', (reader, help, name, value, text) => {
  speakTo(reader, ['force']);
  expect(new MergeError('E_STAGES', 'two stages').help).toBe(help);
  expect(optionName('allowStages')).toBe(name);
  expect(optionWith('from', 100)).toBe(value);
  expect(worded`${'/a/--b'}: --allow-stages and --force`).toBe(text);
});

it('of what is written in a recipe, messages are in its words, whoever has it read', () => {
  speakTo('command line');
  expect(speaking('recipe', () => optionName('minMembers'))).toBe('min-members');
  expect(() => speaking('library', () => JSON.parse('{'))).toThrow();
  expect(optionName('minMembers')).toBe('--min-members');
});

it('an error that is passed on keeps the words of who reads it', () => {
  for (const reader of ['command line', 'library'] as const) {
    speakTo(reader);
    const { code, message, help } = new MergeError('E_OUTPUT_EXISTS', 'x exists');
    expect(new MergeError(code, message, { help }).help).toBe(help);
  }
});

it.each([
  ["Say so with --policy 'name=NAME:use=average'.", "Say so with `policies` 'name=NAME:use=average'."],
  ['Name them with --input; see `merge verify --help`.', 'Name them with `inputs`; see `merge verify --help`.'],
  ['Add --goal maximize (an accuracy).', 'Add `goal` maximize (an accuracy).'],
  ['With --repeats=3 --, or a--b.', 'With `repeats`=3 --, or a--b.'],
])('commands and other programs’ options stay: %s', (written, read) => {
  expect(new MergeError('E_OPTION', 'x', { help: written }).help).toBe(read);
});

it('no code’s advice has an option of the command line for a caller of the library', () => {
  const helps = (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => new MergeError(code, 'x').help.replace(/`[^`]*`/g, ''));
  expect(helps.filter((help) => /(^|\s)--[a-z]/.test(help))).toEqual([]);
});
