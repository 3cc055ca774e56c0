import { type SoupOptions, soup } from '../../index.ts';
import type { Selection } from '../../recipe/select/types.ts';
import type { Context } from '../terminal/context.ts';
import { requireEvaluator } from './evaluator.ts';
import { reportStudy, requireOutput, searchSummary } from './search.ts';
import { type StudyFlags, studyOptions } from './study.ts';

/** `merge soup`. */
export async function run(
  context: Context,
  args: readonly (string | readonly string[])[],
  flags: StudyFlags & Selection & Pick<SoupOptions, 'eval'>,
): Promise<number> {
  requireOutput(flags);
  const options = studyOptions<SoupOptions>(args[0] as readonly string[], flags);
  requireEvaluator(options);
  return reportStudy(
    context,
    flags,
    options.dir ?? `${options.output}.search`,
    (run) => soup(options, run),
    (document, folder) => searchSummary(context, document, folder),
  );
}
