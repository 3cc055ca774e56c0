import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { type KeepOptions, keep, planDocument, planStrip, type StripOptions, strip } from '../../index.ts';
import type { MACHINE } from '../../recipe/options.ts';
import { plural, printable } from '../../render/format.ts';
import { deletionScript, listedSaves, newestOf } from '../../upkeep/keep/script.ts';
import { keepText } from '../../upkeep/keep/text.ts';
import { replacementScript } from '../../upkeep/strip/script.ts';
import { stripText } from '../../upkeep/strip/text.ts';
import type { StripEvent, StripReport } from '../../upkeep/strip/types.ts';
import { STRIP_NAMES } from '../options/keep-options.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { createProgress, type ProgressMode } from '../terminal/progress.ts';
import { freeName } from './average.ts';

interface KeepFlags extends Omit<KeepOptions, 'run'>, Pick<StripOptions, keyof typeof MACHINE | 'followLinks'> {
  readonly shell?: boolean;
  readonly strip?: boolean;
  readonly output?: string;
  readonly copies?: number;
  readonly dryRun?: boolean;
  readonly progress?: ProgressMode;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

/** `merge keep`: says which saves to keep, and deletes nothing; with `--strip` it makes copies without the trainer's state. */
export async function run(context: Context, args: readonly (string | readonly string[])[], given: KeepFlags): Promise<number> {
  const { shell, strip: strips, dryRun, progress, json, quiet, debug, output, ...options } = given;
  if (shell && quiet) throw new MergeError('E_USAGE', '--shell and --quiet cannot be used together');
  const asked = { ...options, run: args[0] as string };
  if (strips) return stripped(context, { ...asked, output: output ?? unnamed(context, dryRun) }, given);
  const alone = STRIP_NAMES.find((name) => given[name] !== undefined);
  if (alone !== undefined) {
    throw new MergeError('E_USAGE', `${optionName(alone)} is about copies without the trainer's state, and none are asked for`, {
      help: `Ask for them with ${optionName('strip')}, or leave ${optionName(alone)} out.`,
    });
  }
  const report = await keep(asked);
  const { out } = context.terminal;
  if (json) writeJson(context, report);
  else if (quiet) out.write(lined(report.keep.map(({ path }) => path)));
  else if (shell) out.write(lined(deletionScript(await listedSaves(report.run, report.delete), newestOf(report))));
  else out.write(keepText(report, out.colors));
  return 0;
}

function unnamed(context: Context, dryRun: boolean | undefined): string {
  if (!dryRun) {
    throw new MergeError('E_USAGE', 'no folder for the copies is given', {
      help: 'Name one with -o DIR, on the file system of the run: the copies are moved into it from there.',
    });
  }
  const output = freeName('stripped');
  context.terminal.err.write(`no folder is named: planned as -o ${output}\n`);
  return output;
}

async function stripped(
  context: Context,
  options: StripOptions,
  { shell, json, quiet, dryRun, progress: asked }: Pick<KeepFlags, 'shell' | 'json' | 'quiet' | 'dryRun' | 'progress'>,
): Promise<number> {
  const { terminal } = context;
  const mode = asked ?? (quiet ? 'none' : 'auto');
  const paths = ({ copies }: StripReport): string => lined(copies.map(({ copy }) => copy));
  if (dryRun) {
    const report = await planStrip(options);
    if (json) writeJson(context, report);
    else if (quiet) terminal.out.write(paths(report));
    else terminal.out.write(stripText(report, terminal.out.colors));
    return 0;
  }
  const progress = createProgress(mode, terminal, (event) =>
    event.type === 'plan' ? { type: 'plan', plan: planDocument(event.plan) } : event,
  );
  const kept: string[] = [];
  const onEvent = (event: StripEvent): void => {
    if (event.type === 'copy' && mode !== 'json' && mode !== 'none') {
      progress.end();
      terminal.err.write(
        `${event.save.state === 'there' ? 'checking' : 'copying'} ${event.number} of ${plural(event.count, 'save')}: ${printable(event.save.path)}\n`,
      );
    }
    if (event.type !== 'merge' && event.type !== 'verify') return;
    if (event.event.type === 'kept') kept.push(event.event.output);
    progress.event(event.event);
  };
  try {
    const report = await interruptible(terminal, (signal) => strip(options, { signal, onEvent }), kept);
    progress.end();
    if (json) writeJson(context, report);
    else if (quiet) terminal.out.write(paths(report));
    else if (shell) terminal.out.write(lined(replacementScript(report, newestOf(report))));
    else terminal.out.write(stripText(report, terminal.out.colors));
    return 0;
  } finally {
    progress.end();
  }
}

function lined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
