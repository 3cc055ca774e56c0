import { doctor } from '../../analysis/doctor/doctor.ts';
import { doctorText } from '../../analysis/doctor/text.ts';
import { type Context, writeJson } from '../terminal/context.ts';

/** `merge doctor`: exit code 1 when something would make a merge fail here. */
export async function run(
  context: Context,
  args: readonly (string | readonly string[])[],
  flags: { readonly json?: boolean },
): Promise<number> {
  const report = await doctor({ folder: (args[0] as string | undefined) ?? '.', version: context.version });
  const { out } = context.terminal;
  if (flags.json) writeJson(context, report);
  else out.write(doctorText(report, out.colors));
  return report.ok ? 0 : 1;
}
