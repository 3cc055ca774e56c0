import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { fakeTerminal } from '../../support/fake-terminal.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = join(temporary.path, 'run');
mkdirSync(run);

it.each([
  [['--windows', '5B'], '--budget is missing'],
  [['--budget', '9'], '--windows is missing'],
  [[], '2 things are wrong with the options'],
  [['--budget', '9', '--windows', '5B', '--keep-steps', 'soon'], "'soon'"],
])('merge keep RUN with %j is refused in the words of the command line', async (words, message) => {
  const terminal = fakeTerminal();
  expect(await main(['keep', run, ...words], terminal)).toBe(2);
  expect(terminal.written.err).toContain(message);
  expect(terminal.written.err).not.toContain('keep()');
});
