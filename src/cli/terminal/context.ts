import { shellQuote } from '../../base/process/shell-quote.ts';
import type { Terminal } from './terminal.ts';

/** What every command gets. */
export interface Context {
  readonly terminal: Terminal;
  /** The words after the program's name, as typed. */
  readonly argv: readonly string[];
  readonly version: string;
}

/** A command: prints its result on stdout and resolves to the exit code. Failures are thrown. */
export type CommandModule = {
  readonly run: (context: Context, args: readonly (string | readonly string[])[], options: object) => Promise<number>;
};

/** The command as typed, to go on with what it left. A watch finds that by itself. */
export function resumeCommand({ argv, terminal }: Context): string {
  const words = argv.includes('--resume') || argv[0] === 'watch' ? argv : [...argv, '--resume'];
  return [terminal.invocation, ...words.map(shellQuote)].join(' ');
}

/** Prints one JSON document. */
export function writeJson(context: Context, document: object): void {
  context.terminal.out.write(`${JSON.stringify(document, null, 2)}\n`);
}
