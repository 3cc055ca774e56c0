import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { shellQuote } from '../../../src/base/process/shell-quote.ts';

const WORDS = [
  "a\u001b' ; echo PWNED ; #",
  'c\u200ed',
  '\u202ertl\u2069',
  "it's \u001b[31mred\\",
  '\u001b',
  "\u001b'\u001b",
  'ends in a newline\n',
  'ends in both\u001b\n\n',
  'ends in a return\r',
  'new\nline',
  'tab\there',
  "quote'q",
  'dq"x$(echo PWNED)`echo PWNED`',
  '-rf',
  '--help',
  '~',
  'star*?[a]',
  'bs\\n\\',
  '%s%d\u0007%n',
  '\\033\u001b033',
  '!history',
  '#no comment',
  '=ls',
  '{a,b}',
  '模型 ünï 🙂\u0085',
  '',
  ' ',
];
/** Those of these that are here; dash and busybox know the least. */
const SHELLS = ['sh', 'dash', 'bash', 'zsh', 'ksh'].filter((shell) => spawnSync(shell, ['-c', ':']).status === 0);

describe.each(SHELLS)('words for %s', (shell) => {
  it.each(WORDS.map((word) => [word]))('%j is read as it is', (word) => {
    const script = `set -e\nshow() { printf '<%s>' "$@"; }\nshow ${shellQuote(word)} ${shellQuote(word)}\n`;
    expect(execFileSync(shell, ['-s'], { input: script }).toString()).toBe(`<${word}><${word}>`);
  });
});

it.each(WORDS.map((word) => [word]))('%j reaches no terminal that would obey it', (word) => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly what must not reach a terminal
  expect(shellQuote(word)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/);
});

it.each([
  ['run/checkpoint-1000', 'run/checkpoint-1000'],
  ['a:-0.5', 'a:-0.5'],
  ['my run', "'my run'"],
  ["it's", "'it'\\''s'"],
  ['$HOME', "'$HOME'"],
  ['two\nlines', "'two\nlines'"],
  ['a\u001bb', `'a'"$(printf '\\033')"'b'`],
])('%j is written %s', (word, quoted) => expect(shellQuote(word)).toBe(quoted));
