import { deletionLines, keepText } from '../../analysis/keep/text.ts';
import { type KeepOptions, keep } from '../../index.ts';
import { type Context, writeJson } from '../terminal/context.ts';

interface KeepFlags extends Omit<KeepOptions, 'run'> {
  readonly shell?: boolean;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** `merge keep`: says which saves to keep, and deletes nothing. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: KeepFlags): Promise<number> {
  const { shell, json, debug, ...options } = flags;
  const report = await keep({ ...options, run: args[0] as string });
  const { out } = context.terminal;
  if (json) writeJson(context, report);
  else if (shell)
    out.write(
      deletionLines(report)
        .map((line) => `${line}\n`)
        .join(''),
    );
  else out.write(keepText(report, out.colors));
  return 0;
}
