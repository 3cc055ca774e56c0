import { runWarnings } from '../../checkpoints/run/document.ts';
import { runText } from '../../checkpoints/run/text.ts';
import { discoverRun, type Run, readMetricsFile, runDocument, type TokenSource, withMetrics, withTokens } from '../../index.ts';
import { warningText } from '../../render/error-text.ts';
import { type Context, writeJson } from '../terminal/context.ts';

interface LsFlags extends TokenSource {
  readonly all?: boolean;
  readonly metrics?: string;
  readonly json?: boolean;
}

/** `merge ls`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: LsFlags): Promise<number> {
  const { out, err } = context.terminal;
  const runs: Run[] = [];
  const metrics = flags.metrics === undefined ? null : await readMetricsFile(flags.metrics);
  for (const path of args[0] as readonly string[]) {
    const found = await withTokens(await discoverRun(path), flags);
    runs.push(metrics === null ? found : withMetrics(found, metrics));
  }
  for (const warning of runs.flatMap(runWarnings)) err.write(warningText(warning, err.colors));
  if (flags.json) writeJson(context, runDocument(runs));
  else out.write(runs.map((found) => runText(found, out.colors, { columns: out.columns(), all: flags.all === true })).join('\n'));
  return 0;
}
