import { setImmediate } from 'node:timers/promises';
import { CommanderError } from 'commander';
import { isThere } from '../base/disk/own-file.ts';
import { ERROR_CODES, MergeError } from '../base/errors.ts';
import { speakTo } from '../base/option-words.ts';
import type { Rank } from '../base/process/rank.ts';
import { shellQuote } from '../base/process/shell-quote.ts';
import { version } from '../base/version.ts';
import { RANK_COMMAND } from '../merge/launch/rank-command.ts';
import { asFailure, errorDocument, errorText, type Failure } from '../render/error-text.ts';
import { elsewhereHelp } from './options/elsewhere.ts';
import { buildProgram, styleHelp } from './options/program.ts';
import { withoutDashes } from './options/submit-options.ts';
import { type CommandModule, type Context, resumeCommand } from './terminal/context.ts';
import { Interrupted } from './terminal/interrupt.ts';
import { endWithParent } from './terminal/parent.ts';
import { asRank, rankOfCommand, silent } from './terminal/rank-terminal.ts';
import { createTerminal, type Terminal } from './terminal/terminal.ts';

/** Implementations are loaded when their command runs, so that help costs nothing but the parser. */
export const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  average: () => import('./commands/average.ts'),
  plan: () => import('./commands/plan.ts'),
  run: () => import('./commands/run.ts'),
  grid: () => import('./commands/grid.ts'),
  convert: () => import('./commands/convert.ts'),
  schema: () => import('./commands/schema.ts'),
  names: () => import('./commands/names.ts'),
  watch: () => import('./commands/watch.ts'),
  submit: () => import('./commands/submit.ts'),
  ls: () => import('./commands/ls.ts'),
  keep: () => import('./commands/keep.ts'),
  inspect: () => import('./commands/inspect.ts'),
  diff: () => import('./commands/diff.ts'),
  routers: () => import('./commands/routers.ts'),
  search: () => import('./commands/search.ts'),
  soup: () => import('./commands/soup.ts'),
  forecast: () => import('./commands/forecast.ts'),
  report: () => import('./commands/report.ts'),
  serve: () => import('./commands/serve.ts'),
  export: () => import('./commands/export.ts'),
  verify: () => import('./commands/verify.ts'),
  bench: () => import('./commands/bench.ts'),
  doctor: () => import('./commands/doctor.ts'),
  demo: () => import('./commands/demo.ts'),
  completion: () => import('./commands/completion.ts'),
};

const OUTPUT_LOST = 'A file that the command was to make is there all the same; only what it prints is lost.';

/**
 * Runs a command line and resolves to its exit code. Never throws: whatever went wrong is reported on stderr,
 * and under `--json` as a document on stdout.
 * @param argv the words after the program's name
 */
export async function main(argv: readonly string[], terminal: Terminal = createTerminal(process)): Promise<number> {
  endWithParent(terminal.env);
  // Processes that --launcher starts: nobody types that.
  if (argv[0] === RANK_COMMAND) return (await import('./launched.ts')).runLaunched(argv.slice(1), terminal);
  speakTo('command line');
  const asked = new Set(argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length));
  let rank: Rank | null = null;
  let context: Context = { terminal, argv, version };
  const report = (error: unknown): number => {
    const failure = error instanceof Interrupted ? interruption(error, context) : withUsage(asFailure(error), context);
    const text = errorText(failure, terminal.err.colors, asked.has('--debug'));
    if (rank !== null && rank.rank > 0) {
      // What another rank failed with is said once, by the first.
      const own = failure.code === 'E_INTERRUPTED' ? errorText({ ...failure, help: '' }, terminal.err.colors, false) : text;
      if (failure.details.rank === undefined) terminal.err.write(asRank(own, rank));
      return failure.exitCode;
    }
    terminal.err.write(text);
    if (asked.has('--json')) terminal.out.write(`${JSON.stringify(errorDocument(failure), null, 2)}\n`);
    return failure.exitCode;
  };
  // What escapes every await is a defect of this program, and still no reason to show people a stack.
  const onDefect = (error: unknown) => process.exit(report(error));
  process.on('uncaughtException', onDefect);
  try {
    rank = rankOfCommand(argv, terminal.env);
    if (rank !== null && rank.rank > 0) context = { ...context, terminal: silent(terminal) };
    else if (rank !== null) terminal.err.write(rankLine(rank, asked));
    const code = await runCommand(context);
    // Streams report a failed write in a later turn.
    await setImmediate();
    const failure = terminal.out.failure();
    if (failure !== null)
      throw new MergeError('E_IO', `the result could not be written to stdout: ${failure.message}`, { help: OUTPUT_LOST });
    return code;
  } catch (error) {
    return report(error);
  } finally {
    process.removeListener('uncaughtException', onDefect);
    speakTo('library');
  }
}

/** What was found out of the launcher, for people or as an event. */
function rankLine({ rank, size, launcher }: Rank, asked: ReadonlySet<string>): string {
  if (asked.has('json')) return `${JSON.stringify({ type: 'ranks', rank, size, launcher })}\n`;
  return asked.has('-q') || asked.has('--quiet') ? '' : `rank ${rank} of ${size}, by ${launcher}\n`;
}

async function runCommand(context: Context): Promise<number> {
  const { terminal, argv, version } = context;
  let code = 0;
  const program = buildProgram(version, terminal.invocation, async (command, args, options) => {
    refuseTwoModes(options);
    const implementation = (await COMMANDS[command]!()) as CommandModule;
    code = await implementation.run(context, args, options);
  });
  styleHelp(program, terminal.out.colors, terminal.out.columns());
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ writeOut: (text) => terminal.out.write(text), writeErr: () => {}, getOutHasColors: () => true });
  }
  if (argv.length === 0) {
    program.configureOutput({ writeErr: (text) => terminal.err.write(text), getErrHasColors: () => true }).outputHelp({ error: true });
    return 2;
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0; // help or version was asked for, and printed
    if (error.code === 'commander.unknownCommand' && argv.length === 1 && isThere(argv[0]!)) {
      const { firstSteps } = await import('./commands/first-steps.ts');
      return firstSteps(context, argv[0]!);
    }
    throw usageError(error, argv, context);
  }
  return code;
}

function refuseTwoModes(options: { readonly json?: boolean; readonly quiet?: boolean }): void {
  if (options.json && options.quiet) throw new MergeError('E_USAGE', '--json and --quiet cannot be used together');
}

/** Commander's complaint in this program's form: its suggestion, where it has one, becomes the help. */
function usageError(error: CommanderError, argv: readonly string[], context: Context): MergeError {
  // What was taken for an option of `submit` may be one of the command that is submitted.
  if (argv[0] === 'submit' && !argv.includes('--')) return withoutDashes(context.terminal.invocation);
  // `help` for a command that there is none of: commander means to print the general help, as an error.
  const message = error.code === 'commander.help' ? `unknown command '${argv[1]}'` : error.message;
  const [what = '', suggestion] = message.replace(/^error: /, '').split('\n');
  const elsewhere = error.code === 'commander.unknownOption' ? elsewhereHelp(argv[0], what) : null;
  if (elsewhere !== null) return new MergeError('E_USAGE', what, { help: elsewhere });
  if (suggestion !== undefined)
    return new MergeError('E_USAGE', what, { help: `${suggestion.replace(/^\(|\)$/g, '')} ${seeHelp(context)}` });
  if (error.code === 'commander.unknownCommand' && isThere(argv[0]!)) {
    const help = `To merge checkpoints: ${[context.terminal.invocation, 'average', ...argv.map(shellQuote)].join(' ')}`;
    return new MergeError('E_USAGE', `${argv[0]} is a path, not a command`, { help });
  }
  return new MergeError('E_USAGE', what, { help: seeHelp(context) });
}

/** Where an error on the command line has no advice of its own, the command's help is the place to look. */
function withUsage(failure: Failure, context: Context): Failure {
  const { code, help } = failure;
  const general = (code === 'E_USAGE' || code === 'E_OPTION') && help === ERROR_CODES[code].help;
  return general ? { ...failure, help: seeHelp(context) } : failure;
}

function seeHelp({ argv, terminal }: Context): string {
  const command = argv.find((word) => Object.hasOwn(COMMANDS, word));
  return `See ${terminal.invocation} ${command === undefined ? '--help' : `${command} --help`}`;
}

/** An ending by signal as a failure; says how to go on where the library kept something. */
function interruption({ signal, kept, doubt, exitCode }: Interrupted, context: Context): Failure {
  const failure = { code: 'E_INTERRUPTED', exitCode, stack: null } as const;
  if (kept.length === 0)
    return { ...failure, message: `ended by ${signal}; ${doubt ?? 'nothing was left behind'}`, details: { signal }, help: '' };
  const resume = resumeCommand(context);
  return {
    ...failure,
    message: `ended by ${signal}; what was finished is kept`,
    details: { signal, kept, resume },
    help: `Go on with: ${resume}`,
  };
}
