import pc from 'picocolors';
import { main } from '../../src/cli/main.ts';
import type { Channel, Terminal } from '../../src/cli/terminal/terminal.ts';
import type { CliResult } from './run-cli.ts';

export interface FakeTerminal extends Terminal {
  readonly written: { out: string; err: string };
}

/** A terminal that keeps what is written. Colours are off, so that golden texts can be read. */
export function fakeTerminal({ tty = false, columns = 80, env = {} as NodeJS.ProcessEnv } = {}): FakeTerminal {
  const written = { out: '', err: '' };
  const channel = (name: 'out' | 'err'): Channel => ({
    tty,
    colors: pc.createColors(false),
    columns: () => columns,
    write: (text) => {
      written[name] += text;
    },
    failure: () => null,
  });
  return { out: channel('out'), err: channel('err'), env, invocation: 'merge', written };
}

/** The last command line of {@link runHere}: the working folder is that of the process, so they take turns. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Runs a command line in a folder in this process, for a tenth of what another process takes for a small
 * merge.
 */
export function runHere(words: readonly string[], cwd: string): Promise<CliResult> {
  const mine = turn.then(async () => {
    const terminal = fakeTerminal();
    const before = process.cwd();
    process.chdir(cwd);
    try {
      const code = await main(words, terminal);
      return { code, signal: null, stdout: terminal.written.out, stderr: terminal.written.err };
    } finally {
      process.chdir(before);
    }
  });
  turn = mine.catch(() => {});
  return mine;
}
