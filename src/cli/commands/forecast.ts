import { join } from 'node:path';
import { resolveForecast } from '../../forecast/options.ts';
import { type ForecastOptions, forecast } from '../../index.ts';
import { REPORT_PAGE } from '../../search/files.ts';
import type { Selection } from '../../trajectory/types.ts';
import type { Context } from '../context.ts';
import { printable } from '../format.ts';
import { forecastText } from '../text/forecast-text.ts';
import { reportStudy, requireEvaluator, type StudyFlags, studyOptions } from './search.ts';

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
