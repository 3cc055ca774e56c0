import { MergeError } from '../../base/errors.ts';
import { type ConvertOptions, convert, planConversion } from '../../index.ts';
import type { Context } from '../terminal/context.ts';
import { freeName, type ReportFlags, reportMerge, showPlan } from './average.ts';

/** Options of `convert` as commander leaves them. */
export interface ConvertFlags extends ReportFlags, Omit<ConvertOptions, 'input' | 'output'> {
  readonly output?: string;
  readonly debug?: boolean;
}

/** `merge convert`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: ConvertFlags): Promise<number> {
  const { invocation, err } = context.terminal;
  const inputs = args[0] as readonly string[];
  if (flags.dryRun) {
    const output = flags.output ?? freeName('converted');
    const made = await planConversion(convertOptions(inputs, { ...flags, output }, invocation));
    if (flags.output === undefined) err.write(`no output is named: planned as -o ${output}\n`);
    return showPlan(context, made, flags);
  }
  const options = convertOptions(inputs, flags, invocation);
  return reportMerge(context, flags, (reporting) => convert(options, reporting));
}

/** The command line as the library's options. */
export function convertOptions([input, ...others]: readonly string[], flags: ConvertFlags, invocation: string): ConvertOptions {
  const { output, dryRun, json, quiet, progress, keep, debug, ...given } = flags;
  if (others.length > 0) {
    throw new MergeError('E_USAGE', `one checkpoint is converted at a time, and ${others.length + 1} are named`, {
      help: `Convert them one by one, or merge them: ${invocation} average A B -o OUT`,
    });
  }
  if (output === undefined) throw new MergeError('E_USAGE', 'no output is given', { help: 'Name what to make with -o OUT.' });
  return { ...given, input: input!, output, ...(keep === false ? { keep } : {}) };
}
