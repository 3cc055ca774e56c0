import { type DiffOptions, diff } from '../../analysis/diff/diff.ts';
import { diffText } from '../../analysis/diff/text.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { warningText } from '../../render/error-text.ts';
import { formatBytes } from '../../render/format.ts';
import { splitSelection } from '../options/merge-options.ts';
import type { Context } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { type ReportOutputFlags, reportOutput } from '../terminal/report.ts';

interface DiffFlags extends Omit<DiffOptions, 'inputs' | 'select' | 'roles'>, Selection, ReportOutputFlags {
  readonly role?: DiffOptions['roles'];
  readonly experts?: boolean;
}

/** `merge diff`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: DiffFlags): Promise<number> {
  const { out, err } = context.terminal;
  const { json, out: page, force, quiet, experts, role, ...given } = flags;
  const { select, rest } = splitSelection(given);
  const options = { ...rest, inputs: args[0] as readonly string[], roles: role, select };
  const print = await reportOutput(context, flags);
  let drawn = false;
  const onProgress = (read: number, total: number): void => {
    if (!err.tty || quiet) return;
    err.write(`\r${formatBytes(read)} of ${formatBytes(total)}\u001b[K`);
    drawn = true;
  };
  const document = await interruptible(context.terminal, (signal) => diff(options, { signal, onProgress })).finally(() => {
    if (drawn) err.write('\r\u001b[K');
  });
  for (const warning of document.warnings) err.write(warningText(warning, err.colors));
  await print({
    document,
    paths: document.checkpoints.map(({ path }) => path),
    text: () => diffText(document, out.colors, { columns: out.columns(), experts: experts === true }),
    page: async (written) => (await import('../../analysis/diff/page.ts')).diffPage(written),
  });
  return 0;
}
