import { describe, expect, it } from 'vitest';
import { commandWords } from '../../../src/base/machine/command-words.ts';

describe('the words of a command', () => {
  it.each([
    ['env -i A=1', ['env', '-i', 'A=1']],
    [`sh -c 'a "b" $c' "d e"\\ f`, ['sh', '-c', 'a "b" $c', 'd e f']],
    ['  env\t--x=  ""  ', ['env', '--x=', '']],
    ['env *.txt ~', ['env', '*.txt', '~']],
    [
      ['env', 'a b', '$c'],
      ['env', 'a b', '$c'],
    ],
  ])('%j', (text, words) => {
    expect(commandWords(text, 'launcher')).toEqual(words);
  });

  it.each([
    ['', /is empty/],
    [[], /is empty/],
    ['   ', /is empty/],
    ['env a; env b', /without a shell/],
    ['env a &', /without a shell/],
    ['env | cat', /without a shell/],
    ['env > log', /without a shell/],
    ['A=1 env', /a variable that is set/],
    ['env $HOME', /to be expanded/],
    ['env "$HOME"', /to be expanded/],
    ['env $(id)', /to be expanded/],
    ['env `id`', /to be expanded/],
    ["env 'a", /a quote that is not closed/],
    ['(env)', /without a shell/],
    ['if true', /there is no program|without a shell/],
    ['no-such-program -N 8', /there is no program no-such-program here/],
    ['/etc/passwd', /there is no program/],
    [['env', 'a\0b'], /NUL/],
  ])('refuses %j', (text, why) => {
    expect(() => commandWords(text, 'launcher')).toThrow(
      expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(why) }),
    );
  });
});
