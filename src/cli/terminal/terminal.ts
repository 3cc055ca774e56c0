import pc from 'picocolors';
import type { Colors } from '../../render/colors.ts';

/** One output stream as the CLI uses it. */
export interface Channel {
  readonly tty: boolean;
  readonly colors: Colors;
  /** Width in columns now; 80 where there is no terminal. */
  columns(): number;
  /** Writes text as it is. Silently drops it once the stream has ended. */
  write(text: string): void;
  /** Why the stream takes no more, unless that is only that nobody reads it any longer. */
  failure(): Error | null;
}

/** Results go to `out`, everything else to `err`. */
export interface Terminal {
  readonly out: Channel;
  readonly err: Channel;
  readonly env: NodeJS.ProcessEnv;
  /**
   * How the user called this program, for commands that a message suggests: `merge`, `ckpt-merge`,
   * `npx merge`.
   */
  readonly invocation: string;
}

interface Streams {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: NodeJS.ProcessEnv;
  readonly argv: readonly string[];
}

export function createTerminal({ stdout, stderr, env, argv }: Streams): Terminal {
  return { out: channel(stdout, env), err: channel(stderr, env), env, invocation: invocation(argv[1] ?? '', env) };
}

/** Columns of a wide table: those of the terminal, from 80 to 110, and of a file always as many. */
export function tableWidth({ tty, columns }: Channel): number {
  return tty ? Math.min(110, Math.max(80, columns())) : 100;
}

/** NO_COLOR wins, then FORCE_COLOR, then whether the stream is a terminal that knows colours. */
export function wantsColor(tty: boolean, env: NodeJS.ProcessEnv): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return tty && env.TERM !== 'dumb';
}

function channel(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Channel {
  let gone = false;
  let failure: Error | null = null;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    gone = true;
    // `| head` closes the pipe early, and a closed terminal answers EIO: a merge must neither die of that nor
    // complain about it.
    if (error.code !== 'EPIPE' && error.code !== 'EIO') failure = error;
  });
  const tty = stream.isTTY === true;
  return {
    tty,
    colors: pc.createColors(wantsColor(tty, env)),
    columns: () => stream.columns || 80,
    write: (text) => {
      if (!gone) stream.write(text);
    },
    failure: () => failure,
  };
}

/**
 * Outside a project npx is how this program is found, and the RCS package owns another `merge`: suggest what
 * the user really typed.
 */
function invocation(script: string, env: NodeJS.ProcessEnv): string {
  const name = /(^|[\\/])ckpt-merge$/.test(script) ? 'ckpt-merge' : 'merge';
  return env.npm_command === 'exec' ? `npx ${name}` : name;
}
