import type { VerifyProgress } from '../../analysis/verify/verify.ts';
import { isThere } from '../../base/disk/own-file.ts';
import { MergeError } from '../../base/errors.ts';
import {
  type AverageOptions,
  average,
  expectedTime,
  type MergeResult,
  type Plan,
  plan,
  planDocument,
  type RunOptions,
  resumptions,
} from '../../index.ts';
import type { MergeEvent } from '../../merge/engine/events.ts';
import { mergeSummary } from '../../merge/engine/text.ts';
import { containerNote } from '../../merge/plan/container-note.ts';
import { planText } from '../../merge/plan/text.ts';
import type { Policy } from '../../recipe/policy/types.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { parseInputs } from '../options/inputs.ts';
import { splitSelection } from '../options/merge-options.ts';
import { type Context, resumeCommand, writeJson } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { createProgress, type ProgressMode } from '../terminal/progress.ts';

/** How a command that merges reports. */
export interface ReportFlags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly progress?: ProgressMode;
  readonly force?: boolean | undefined;
  readonly resume?: boolean | undefined;
}

/** Options of `average` and `plan` as commander leaves them. */
export interface AverageFlags extends ReportFlags, Omit<AverageOptions, 'inputs' | 'output' | 'select' | 'policies'>, Selection {
  readonly output?: string;
  readonly policy?: readonly Policy[];
  /** Which of the scores that members are chosen by, which the library calls `metrics`. */
  readonly metric?: readonly string[];
}

/** `merge average`: also the implementation of `--dry-run` and of `merge plan`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: AverageFlags): Promise<number> {
  if (flags.dryRun) return planOnly(context, args[0] as readonly string[], flags);

  const options = averageOptions(args[0] as readonly string[], flags);
  return reportMerge(context, flags, (reporting) => average(options, reporting));
}

/** What `average` would do; without -o nothing is said of the place where the merge would be. */
export async function planOnly(context: Context, inputs: readonly string[], flags: AverageFlags): Promise<number> {
  const { output, ...options } = averageOptions(inputs, { ...flags, output: flags.output ?? 'merged' });
  return showPlan(context, await plan(flags.output === undefined ? options : { ...options, output }), flags);
}

/** A name in the current folder that nothing has. */
export function freeName(name: string): string {
  let free = name;
  for (let n = 2; isThere(free); n++) free = `${name}-${n}`;
  return free;
}

/** Carries out a merge with progress on stderr, ends it on a signal, and prints what was made. */
export async function reportMerge(
  context: Context,
  flags: ReportFlags,
  merge: (options: Required<RunOptions>) => Promise<MergeResult>,
): Promise<number> {
  const { terminal } = context;
  const progress = createProgress(flags.progress ?? (flags.quiet ? 'none' : 'auto'), terminal, eventDocument);
  const kept: string[] = [];
  try {
    const onProgress = (event: MergeEvent) => {
      if (event.type === 'kept') kept.push(event.output);
      progress.event(event);
    };
    const result = await interruptible(terminal, (signal) => merge({ signal, onProgress }), kept);
    progress.end();
    for (const warning of result.warnings) progress.warn(warning);
    if (flags.json) writeJson(context, result);
    else if (flags.quiet) for (const path of [...result.finished, ...result.outputs.map((o) => o.path)]) terminal.out.write(`${path}\n`);
    else terminal.out.write(mergeSummary(result, terminal.out.colors, terminal.invocation, flags.force === true && flags.resume === true));
    return 0;
  } catch (error) {
    throw error instanceof MergeError && kept.length > 0 ? withResume(error, kept, context) : error;
  } finally {
    progress.end();
  }
}

/** A failure that left finished parts, with how to go on and how to give their space back. */
function withResume({ code, message, details, help, cause }: MergeError, kept: readonly string[], context: Context): MergeError {
  const resume = resumeCommand(context);
  const more = `What was finished is kept. When that is mended, go on with: ${resume}\nOr run it without --resume and it is made afresh.`;
  return new MergeError(code, message, { details: { ...details, kept, resume }, help: `${help}\n${more}`, cause });
}

/** Prints what would be done. Nothing is written. */
export async function showPlan(
  context: Context,
  made: Plan,
  flags: {
    readonly json?: boolean;
    readonly quiet?: boolean;
    readonly resume?: boolean | undefined;
    readonly maxRead?: number | undefined;
  },
): Promise<number> {
  const { terminal } = context;
  const document = planDocument(made, await expectedTime(made, flags.maxRead), flags.resume ? await resumptions(made) : null);
  const progress = createProgress('none', terminal);
  const note = containerNote(made);
  if (note !== null && !flags.quiet) terminal.err.write(`${note}\n`);
  for (const warning of document.warnings) progress.warn(warning);
  if (flags.json) writeJson(context, document);
  else if (flags.quiet) for (const path of [...document.finished, ...document.outputs.map((o) => o.path)]) terminal.out.write(`${path}\n`);
  else
    terminal.out.write(
      planText(document, terminal.out.colors, {
        columns: terminal.out.columns(),
        logs: made.outputs.map((output) => output.selection?.log ?? []),
      }),
    );
  return 0;
}

/**
 * The command line as the library's options: only what was given, so that the library's defaults stay its
 * own.
 */
export function averageOptions(inputs: readonly string[], flags: AverageFlags): AverageOptions {
  const { output, dryRun, json, quiet, progress, keep, ...given } = flags as AverageFlags & { readonly debug?: boolean };
  if (output === undefined) throw new MergeError('E_USAGE', 'no output is given', { help: 'Name what to make with -o OUT.' });
  const { debug, policy, members, scores, metric, goal, ...flat } = given;
  const { select, rest } = splitSelection(flat);
  const scored = Object.entries({ members, scores, metrics: metric, goal }).filter(([, value]) => value !== undefined);
  return {
    ...rest,
    ...(select === undefined && scored.length === 0 ? {} : { select: { ...select, ...Object.fromEntries(scored) } }),
    ...(policy === undefined ? {} : { policies: policy }),
    inputs: parseInputs(inputs, flags.weights !== undefined),
    output,
    ...(keep === false ? { keep } : {}),
  };
}

/**
 * A line of `--progress json`: the plan as its document, because its segments alone can be a hundred
 * megabytes.
 */
function eventDocument(event: MergeEvent | VerifyProgress): object {
  return event.type === 'plan' ? { type: 'plan', plan: planDocument(event.plan) } : event;
}
