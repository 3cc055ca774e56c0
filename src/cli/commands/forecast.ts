import { join } from 'node:path';
import { type ForecastOptions, forecast } from '../../index.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { printable } from '../../render/format.ts';
import { resolveForecast } from '../../search/forecast/options.ts';
import { forecastText } from '../../search/forecast/text.ts';
import { REPORT_PAGE } from '../../search/study/report-files.ts';
import type { Context } from '../terminal/context.ts';
import { requireEvaluator } from './evaluator.ts';
import { reportStudy } from './search.ts';
import { type StudyFlags, studyOptions } from './study.ts';

/** `merge forecast`. */
export async function run(
  context: Context,
  args: readonly (string | readonly string[])[],
  flags: StudyFlags & Selection & Omit<ForecastOptions, 'inputs' | 'select' | 'policies' | 'metrics'>,
): Promise<number> {
  const options = studyOptions<ForecastOptions>(args[0] as readonly string[], flags);
  requireEvaluator(options);
  const { dir } = resolveForecast(options);
  return reportStudy(
    context,
    flags,
    dir,
    (run) => forecast(options, run),
    (document, folder) => {
      const places = [`report   ${printable(join(folder, REPORT_PAGE))}`, `trials   ${printable(join(folder, 'trials.jsonl'))}`];
      return `${forecastText(document, context.terminal.out.colors)}\n${places.join('\n')}\n`;
    },
  );
}
