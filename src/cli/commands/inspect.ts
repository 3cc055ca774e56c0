import { inspect } from '../../analysis/inspect/inspect.ts';
import { inspectionText, namedTensors } from '../../analysis/inspect/text.ts';
import { warningText } from '../../render/error-text.ts';
import { type Context, writeJson } from '../terminal/context.ts';

interface InspectFlags {
  readonly tensors?: boolean;
  readonly chunks?: boolean;
  readonly tensor?: readonly string[];
  readonly summary?: boolean;
  readonly json?: boolean;
}

/** `merge inspect`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: InspectFlags): Promise<number> {
  const { out, err } = context.terminal;
  const inspection = await inspect(args[0] as string);
  const named = flags.tensor === undefined ? null : namedTensors(inspection, flags.tensor);
  for (const warning of inspection.warnings) err.write(warningText(warning, err.colors));
  if (flags.json) {
    const { tensors, ...summary } = inspection;
    writeJson(context, flags.summary ? summary : { ...summary, tensors: named ?? tensors });
  } else out.write(inspectionText(inspection, out.colors, { tensors: flags.tensors, chunks: flags.chunks, names: flags.tensor }));
  return 0;
}
