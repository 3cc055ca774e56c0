import { type RoutersOptions, type RoutersProgress, routers } from '../../analysis/routers/routers.ts';
import { routersText } from '../../analysis/routers/text.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { warningText } from '../../render/error-text.ts';
import { studyLine } from '../../search/study/text.ts';
import { parseInputs } from '../options/inputs.ts';
import { splitSelection } from '../options/merge-options.ts';
import type { Context } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { type ReportOutputFlags, reportOutput } from '../terminal/report.ts';
import { requireNoEvaluation } from './evaluator.ts';

interface RoutersFlags extends Omit<RoutersOptions, 'inputs' | 'select' | 'policies' | 'metrics'>, Selection, ReportOutputFlags {
  readonly metric?: RoutersOptions['metrics'];
}

/** `merge routers`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: RoutersFlags): Promise<number> {
  const { out, err } = context.terminal;
  const { json, out: page, force, quiet, metric, ...given } = flags;
  requireNoEvaluation({ ...flags }, { goal: '--goal', work: '--work', keep: '--keep' });
  const { select, rest } = splitSelection(given);
  const inputs = parseInputs(args[0] as readonly string[], flags.weights !== undefined);
  const options = {
    ...rest,
    inputs,
    ...(select === undefined ? {} : { select }),
    ...(metric === undefined ? {} : { metrics: metric }),
  };
  const print = await reportOutput(context, flags);
  let drawn = false;
  const draw = (text: string) => {
    drawn = err.tty && !quiet;
    if (drawn) err.write(`\r${text}\u001b[K`);
  };
  const onProgress = (progress: RoutersProgress) => {
    if (progress.type === 'layer') draw(`layer ${progress.done} of ${progress.total}`);
    // Warnings are in the report.
    else if (!quiet && progress.type !== 'warning') err.write(`${drawn ? '\r\u001b[K' : ''}${studyLine(progress, err.colors)}`);
  };
  const report = await interruptible(context.terminal, (signal) => routers(options, { signal, onProgress })).finally(() => {
    if (drawn) err.write('\r\u001b[K');
  });
  for (const warning of report.warnings) err.write(warningText(warning, err.colors));
  await print({
    document: report,
    paths: [...report.members.map(({ path }) => path), ...(report.inputs?.path ? [report.inputs.path] : [])],
    text: () => routersText(report, out.colors),
    page: async (written) => (await import('../../analysis/routers/page.ts')).routersPage(written),
  });
  return 0;
}
