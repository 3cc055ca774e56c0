import { launchedRank, type Rank } from '../../base/process/rank.ts';
import type { Channel, Terminal } from './terminal.ts';

/** Commands that several ranks carry out together. */
const SHARED: ReadonlySet<string> = new Set(['average', 'run', 'grid', 'convert', 'watch']);

/**
 * Which of several ranks carries out a command; null where it is one process's.
 * @param argv the words after the program's name, not parsed yet: what this says is needed before errors of
 *   parsing are
 * @throws MergeError E_OPTION
 */
export function rankOfCommand(argv: readonly string[], env: NodeJS.ProcessEnv): Rank | null {
  if (!isShared(argv) || argv.includes('--help') || argv.includes('-h')) return null;
  const given = argv.findLast((word, i) => word.startsWith('--ranks=') || argv[i - 1] === '--ranks');
  return launchedRank(env, given?.replace(/^--ranks=/, '') ?? 'auto');
}

/** Whether a command line is one that several ranks carry out together. @param argv as above */
export function isShared(argv: readonly string[]): boolean {
  return SHARED.has(argv[0] ?? '') || (argv[0] === 'verify' && argv.includes('--full'));
}

/** A terminal on which nothing appears. */
export function silent(terminal: Terminal): Terminal {
  const mute = (channel: Channel): Channel => ({ ...channel, tty: false, write: () => {} });
  return { ...terminal, out: mute(terminal.out), err: mute(terminal.err) };
}

/** A text of which each line says whose it is. */
export function asRank(text: string, { rank }: Rank): string {
  return text.replace(/^(?=.)/gm, `[rank ${rank}] `);
}
