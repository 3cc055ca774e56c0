import { join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { type SearchDocument, type SearchOptions, type StudyEvent, search } from '../../index.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { printable } from '../../render/format.ts';
import { searchText } from '../../search/optimise/text.ts';
import { REPORT_PAGE } from '../../search/study/report-files.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { whileServing } from '../terminal/serving.ts';
import { studyProgress } from '../terminal/study-progress.ts';
import { requireEvaluator, requireNoEvaluation } from './evaluator.ts';
import { type StudyFlags, studyOptions } from './study.ts';

/** Options of `search` as commander leaves them. */
interface SearchFlags
  extends StudyFlags,
    Omit<SearchOptions, 'inputs' | 'eval' | 'metrics' | 'select' | 'policies' | 'output' | 'dir'>,
    Selection {
  readonly eval?: string;
  readonly askTell?: boolean;
}

/** `merge search`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: SearchFlags): Promise<number> {
  const { askTell, ...given } = flags;
  requireOutput(given);
  if (askTell) requireNoEvaluation({ ...given });
  if (askTell) return (await import('./ask-tell.ts')).run(context, args[0] as readonly string[], given);
  const options = studyOptions<SearchOptions>(args[0] as readonly string[], given);
  requireEvaluator(options);
  return reportStudy(
    context,
    flags,
    options.dir ?? `${options.output}.search`,
    (run) => search(options, run),
    (document, folder) => searchSummary(context, document, folder),
  );
}

/** @throws MergeError E_USAGE where neither an output nor a folder is given */
export function requireOutput({ output, dir }: StudyFlags): void {
  if (output !== undefined || dir !== undefined) return;
  throw new MergeError('E_USAGE', 'no output is given', {
    help: 'Name the merge to make with -o OUT, or only a folder for the trials with --dir.',
  });
}

/** Carries out a study with a line on stderr for what it does, and prints what was found. */
export async function reportStudy<D extends object>(
  context: Context,
  { json, quiet, output, resume, serve, serveTokenFile }: StudyFlags,
  folder: string,
  work: (options: { signal: AbortSignal; onEvent: (event: StudyEvent) => void }) => Promise<D>,
  text: (document: D, folder: string) => string,
): Promise<number> {
  const { terminal } = context;
  const kept: string[] = resume ? [folder] : [];
  const progress = studyProgress(terminal, quiet);
  const onEvent = (event: StudyEvent): void => {
    if (event.type === 'trial' && kept.length === 0) kept.push(folder);
    progress.event(event);
  };
  const document = await whileServing(terminal, folder, { serve, serveTokenFile, quiet }, () =>
    interruptible(terminal, (signal) => work({ signal, onEvent }), kept).finally(progress.end),
  );
  if (json) writeJson(context, document);
  else if (quiet) terminal.out.write(`${output ?? folder}\n`);
  else terminal.out.write(text(document, folder));
  return 0;
}

/** The result, and where everything is. */
export function searchSummary({ terminal }: Context, document: SearchDocument, folder: string): string {
  const { output } = document;
  const places = [
    ...(output === null ? [] : [`merge    ${printable(output)}`]),
    `recipe   ${printable(join(folder, 'best.yaml'))}`,
    `report   ${printable(join(folder, REPORT_PAGE))}`,
    `trials   ${printable(join(folder, 'trials.jsonl'))}`,
  ];
  return `${searchText(document, terminal.out.colors)}\n${places.join('\n')}\n`;
}
