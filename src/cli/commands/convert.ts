import { MergeError } from '../../base/errors.ts';
import { type ConvertOptions, convert, planConversion } from '../../index.ts';
import type { Context } from '../terminal/context.ts';
import { freeName, type ReportFlags, reportMerge, showPlan } from './average.ts';

/** Options of `convert` as commander leaves them. */
interface ConvertFlags extends ReportFlags, Omit<ConvertOptions, 'input' | 'output'> {
  readonly output?: string;
  readonly debug?: boolean;
}

/** `merge convert`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: ConvertFlags): Promise<number> {
  const { output, dryRun, json, quiet, progress, keep, debug, ...given } = flags;
  const [input, ...others] = args[0] as readonly string[];
  if (others.length > 0) {
    throw new MergeError('E_USAGE', `one checkpoint is converted at a time, and ${others.length + 1} are named`, {
      help: `Convert them one by one, or merge them: ${context.terminal.invocation} average A B -o OUT`,
    });
  }
  const options = { ...given, input: input!, ...(keep === false ? { keep } : {}) };
  if (dryRun) {
    const path = output ?? freeName('converted');
    const made = await planConversion({ ...options, output: path });
    if (output === undefined) context.terminal.err.write(`no output is named: planned as -o ${path}\n`);
    return showPlan(context, made, flags);
  }
  if (output === undefined) throw new MergeError('E_USAGE', 'no output is given', { help: 'Name what to make with -o OUT.' });
  return reportMerge(context, flags, (reporting) => convert({ ...options, output }, reporting));
}
