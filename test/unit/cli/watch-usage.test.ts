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
  [[], 'no folder for the merges is given'],
  [['-o', 'DIR', '--json'], '--json is one document at the end, and a watch has no end'],
  [['-o', 'DIR', '--every', '8X'], '--every'],
  [['-o', 'DIR', '--method', 'extrapolate'], '--method takes one of'],
  [['-o', 'DIR', '--gamma', '1'], "unknown option '--gamma'"],
  [['-o', 'DIR', '--poll', 'soon'], '--poll takes a duration'],
  [['-o', 'DIR', '--poll', '0'], 'poll must be a number of seconds'],
  [['-o', 'DIR', '--keep', '0'], '--keep takes a whole number'],
  [['-o', 'DIR', '--accumulate', 'ema', '--window', '3'], 'an accumulator has none'],
  [['-o', 'DIR', '--router', 'middle'], 'router cannot be "middle"'],
  [['-o', 'DIR', '--router', '1200'], 'router 1200: windows move on'],
  [['-o', 'DIR', '--policy', 'role=experts'], 'there is no treatment behind a colon'],
  [['-o', 'DIR', '--policy', 'role=experts:weights=0.5,0.5'], 'policy role=experts:weights=0.5,0.5: a list of weights'],
  [['-o', 'DIR', '--policy', 'role=norms:use=newest', '--policy', 'role=norms:use=oldest'], 'two policies select role=norms'],
  [['-o', 'DIR', '--accumulate', 'ema', '--policy', 'role=experts:dtype=F32'], 'an accumulator is float32'],
  [['-o', 'DIR', '--accumulate', 'ema', '--policy', 'role=experts:method=wma'], 'wma needs the checkpoints themselves'],
  [['-o', 'DIR', '--dtype', 'FP8'], '--dtype takes one of BF16, F16, F32, F64, same'],
  [['-o', 'DIR', '--keep-saves', '9'], '--keep-saves is a number of saves, and nothing says for which windows'],
  [['-o', 'DIR', '--keep-windows', '5B'], '--keep-windows has a meaning only with --keep-saves'],
  [['-o', 'DIR', '--keep-saves', '9', '--keep-windows', '5B,5%'], '--keep-windows are all tokens'],
  [['-o', 'DIR', '--keep-saves', '9', '--keep-windows', '5B', '--keep-at-least', '0'], '--keep-at-least takes a whole number'],
  [['-o', run], 'is the run itself'],
  [['-o', 'DIR', '--pin', run], 'pin must be a folder of its own'],
])('merge watch RUN with %j is refused', async (words, message) => {
  const terminal = fakeTerminal();
  const args = words.map((word) => (word === 'DIR' ? join(temporary.path, 'merges') : word));
  expect(await main(['watch', run, ...args], terminal)).toBe(2);
  expect(terminal.written.err).toContain(message);
  expect(terminal.written.out === '' || args.includes('--json')).toBe(true);
});
