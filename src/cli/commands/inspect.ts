import { inspect } from '../../analysis/inspect/inspect.ts';
import { inspectionText } from '../../analysis/inspect/text.ts';
import { warningText } from '../../render/error-text.ts';
import { type Context, writeJson } from '../terminal/context.ts';

interface InspectFlags {
  readonly tensors?: boolean;
  readonly summary?: boolean;
  readonly json?: boolean;
}

/** `merge inspect`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: InspectFlags): Promise<number> {
  const { out, err } = context.terminal;
  const inspection = await inspect(args[0] as string);
  for (const warning of inspection.warnings) err.write(warningText(warning, err.colors));
  if (flags.json) {
    const { tensors, ...summary } = inspection;
    writeJson(context, flags.summary ? summary : { ...summary, tensors });
  } else out.write(inspectionText(inspection, out.colors, flags.tensors === true));
  return 0;
}
