import { MergeError } from '../../base/errors.ts';
import { exportScores } from '../../index.ts';
import { plural, printable } from '../../render/format.ts';
import { type Context, writeJson } from '../terminal/context.ts';

interface ExportFlags {
  readonly to?: readonly string[];
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `merge export`. */
export async function run(
  context: Context,
  args: readonly (string | readonly string[])[],
  { to, json, quiet }: ExportFlags,
): Promise<number> {
  if (to === undefined) {
    throw new MergeError('E_USAGE', 'nothing says what to export to', {
      help: 'Name a kind, as --to csv or --to tensorboard=runs/scores.',
    });
  }
  const report = await exportScores({ trials: args[0] as string, to });
  const { out } = context.terminal;
  if (json) writeJson(context, report);
  else
    for (const { kind, path, run: id } of report.logs) {
      if (quiet) out.write(path === null ? '' : `${path}\n`);
      else out.write(`${plural(report.trials, 'trial')} in ${path === null ? `the run ${printable(id!)} of ${kind}` : printable(path)}\n`);
    }
  return 0;
}
