import { expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { fakeTerminal } from '../../support/fake-terminal.ts';

it.each([
  [['routers', 'run', '--goal', 'minimize'], '--goal is about an evaluator, and none is given'],
  [['routers', 'run', '--timeout', '30m', '--keep'], '--timeout, --keep are about an evaluator'],
  [['search', 'run', '--ask-tell', '-o', 'out', '--goal', 'minimize', '--gpus', '0'], '--gpus is about an evaluator'],
])('options of an evaluator where there is none are refused: %j', async (words, message) => {
  const terminal = fakeTerminal();
  expect(await main(words, terminal)).toBe(2);
  expect(terminal.written.err).toContain(`error[E_USAGE]: ${message}`);
});
