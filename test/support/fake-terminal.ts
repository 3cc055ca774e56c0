import pc from 'picocolors';
import type { Channel, Terminal } from '../../src/cli/terminal/terminal.ts';

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
