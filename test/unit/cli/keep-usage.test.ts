import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { fakeTerminal } from '../../support/fake-terminal.ts';
import { writeRun } from '../../support/run-trees.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = join(temporary.path, 'run');
mkdirSync(run);

it.each([
  [['--windows', '5B'], '--budget is missing'],
  [['--budget', '9'], '--windows is missing'],
  [['--budget', '9', '--windows', '5B', '--shell', '-q'], '--shell and --quiet'],
  [['--budget', '9', '--windows', '5B', '--json', '-q'], '--json and --quiet'],
  [[], '2 things are wrong with the options'],
  [['--budget', '9', '--windows', '5B', '--keep-steps', 'soon'], "'soon'"],
])('merge keep RUN with %j is refused in the words of the command line', async (words, message) => {
  const terminal = fakeTerminal();
  expect(await main(['keep', run, ...words], terminal)).toBe(2);
  expect(terminal.written.err).toContain(message);
  expect(terminal.written.err).not.toContain('keep()');
});

it('merge keep RUN -q prints paths alone, of what is kept and of copies', async () => {
  const saves = writeRun(
    join(temporary.path, 'saves'),
    [100, 200, 300, 400].map((step) => ({ name: `checkpoint-${step}`, step, files: { 'optimizer.pt': 'x'.repeat(100_000) } })),
  );
  const printed = async (...words: string[]) => {
    const terminal = fakeTerminal();
    expect(await main(['keep', saves, '--budget', '3', '--windows', '200steps', '--at-least', '2', '-q', ...words], terminal)).toBe(0);
    expect(terminal.written.err).toBe('');
    return terminal.written.out;
  };
  expect(await printed()).toBe([200, 300, 400].map((step) => `${saves}/checkpoint-${step}\n`).join(''));
  const copies = join(temporary.path, 'copies');
  expect(await printed('--strip', '-o', copies, '-n')).toBe([200, 300].map((step) => `${copies}/checkpoint-${step}\n`).join(''));
});
