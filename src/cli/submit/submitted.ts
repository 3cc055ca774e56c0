import { CommanderError } from 'commander';
import { MergeError } from '../../base/errors.ts';
import { buildProgram } from '../options/program.ts';
import { isShared } from '../terminal/rank-terminal.ts';

/** Those that make merges of their own one after the other, and start processes for them. */
const SEARCHES: ReadonlySet<string> = new Set(['search', 'soup', 'forecast', 'watch']);

/** A command line that is to run in a job. */
export interface SubmittedCommand {
  readonly command: string;
  readonly args: readonly (string | readonly string[])[];
  /** As commander leaves them. */
  readonly options: object;
  /** Its words after the program's name: a merge goes on with what an earlier job left. */
  readonly words: readonly string[];
}

/**
 * Reads a command line as its own process would, so that what is wrong with it fails here and not in a queue.
 * @param words behind `--` @param name as the user calls the program
 * @throws MergeError E_USAGE, E_OPTION, E_WEIGHTS of its options; E_USAGE for a command that is no job
 */
export async function readSubmitted(words: readonly string[], name: string): Promise<SubmittedCommand> {
  let read: Omit<SubmittedCommand, 'words'> | null = null;
  const program = buildProgram('', name, async (command, args, options) => {
    read = { command, args, options };
  });
  for (const command of [program, ...program.commands]) command.configureOutput({ writeOut: () => {}, writeErr: () => {} });
  const [command = ''] = words;
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw notReadable(error, command, name);
  }
  const { options, args } = read!;
  refuseUnfit(words, options as Readonly<Record<string, unknown>>, name);
  const resumable = command !== 'verify' && !words.includes('--resume');
  return { command, args, options, words: resumable ? [...words, '--resume'] : words };
}

function notReadable(error: CommanderError, command: string, name: string): MergeError {
  const asksForHelp = error.exitCode === 0;
  const message = asksForHelp ? `${command} only prints its help` : error.message.replace(/^error: /, '').split('\n')[0]!;
  return new MergeError('E_USAGE', `the command to submit: ${message}`, { help: `See ${name} ${asksForHelp ? 'submit' : command} --help` });
}

function refuseUnfit(words: readonly string[], options: Readonly<Record<string, unknown>>, name: string): void {
  const [command = ''] = words;
  const refused = (message: string, help: string) => new MergeError('E_USAGE', message, { help });
  if (SEARCHES.has(command)) {
    throw refused(
      `${command} is one process, which makes a merge after the other, and is not shared among machines`,
      `Run it in a job of your own, where it starts the ranks of each merge: ${name} ${command} … --launcher 'srun -N 8'${command === 'watch' ? `; or, in one, srun ${name} watch … --once` : ''}. Or submit the merges: average, run with a recipe of several outputs, convert; or verify --full.`,
    );
  }
  if (command === 'verify' && options.full !== true) throw refused('verify without --full is soon done', 'Add --full, or run it here.');
  if (!isShared(words)) {
    throw refused(
      `${command} needs no scheduler`,
      `Run it here: ${name} ${command}. What can be submitted: average, run, convert, verify --full.`,
    );
  }
  if (options.launcher !== undefined)
    throw refused('--launcher starts the ranks of a merge from here, and the job starts them itself', 'Leave it out.');
  if (options.dryRun === true) throw refused('--dry-run needs no scheduler', `Run it here: ${name} ${command}.`);
  if (options.ranks !== undefined && options.ranks !== 'auto')
    throw refused('--ranks is for the job to say', 'Leave it out: --nodes says how many there are.');
  if (options.json === true && options.quiet === true)
    throw refused('--json and --quiet cannot be used together', `See ${name} ${command} --help`);
}
