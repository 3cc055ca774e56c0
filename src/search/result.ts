import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ValidationScores } from '../conclusion/validate.ts';
import { isPublished } from '../plan/finished.ts';
import type { Candidate } from '../space/types.ts';
import type { Session } from '../study/session.ts';
import type { StudyEvent } from '../study/types.ts';
import { searchDocument } from './document.ts';
import { BEST_RECIPE, bestRecipeText, REPORT_PAGE, RESULT_FILE, replaceFile } from './files.ts';
import type { SearchOptions } from './options.ts';
import type { Ending, SearchDocument } from './types.ts';

/** Which output a search made, so that a longer search may replace it. */
const MADE_FILE = 'made.json';

/** What the rounds left to be said. */
export interface SearchEnd {
  readonly ended: Ending;
  readonly validation: ValidationScores | undefined;
}

/** Writes document, recipe of the best and page into the folder of a search. */
export async function finishSearch(options: SearchOptions, session: Session, end: SearchEnd): Promise<SearchDocument> {
  const { study, folder, identity, members, merging } = session;
  const document = searchDocument({
    identity,
    goal: session.goal(),
    trials: study.trials,
    folder: folder.path,
    output: options.output ?? null,
    merges: { merges: study.merger.merges, reads: study.merger.reads },
    warnings: study.warnings,
    ...end,
  });
  const { searchPage } = await import('../html/search-page.ts');
  await replaceFile(join(folder.path, RESULT_FILE), `${JSON.stringify(document, null, 2)}\n`);
  await replaceFile(join(folder.path, REPORT_PAGE), searchPage(document));
  if (document.best !== null) {
    const remarks = document.conclusion.text.split('\n').filter((line) => line !== '');
    const candidate = candidateOf(session, document.best.trial);
    const text = bestRecipeText({ folder: folder.path, output: options.output, members: members.all, candidate, merging, remarks });
    await replaceFile(join(folder.path, BEST_RECIPE), text);
  }
  return document;
}

/** The recipe of a trial over all members of the study. */
export function candidateOf({ study, members }: Session, trial: number): Candidate {
  const { weights, parts } = study.trials.find(({ id }) => id === trial)!;
  const place = new Map(members.all.map(({ path }, m) => [path, m]));
  const spread = (list: readonly number[]) => {
    const all = Array.from({ length: members.all.length }, () => 0);
    for (const [i, { path }] of weights.entries()) all[place.get(path)!] = list[i]!;
    return all;
  };
  return {
    weights: spread(weights.map(({ weight }) => weight)),
    parts: parts.map(({ role, weights: own }) => ({ role, weights: spread(own) })),
  };
}

/** Merges the best recipe into the output; one that an earlier run of the search made is left as it is, or replaced. */
export async function makeOutput(
  options: SearchOptions,
  { study, folder, ...session }: Session,
  document: SearchDocument,
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const path = options.output!;
  const request = { path, candidate: candidateOf({ study, folder, ...session }, document.best!.trial) };
  const [planned] = (await study.merger.plan([request], { force: true, signal })).outputs;
  if (await isPublished(planned!)) return;
  const made = await readFile(join(folder.path, MADE_FILE), 'utf8').then(
    (text) => JSON.parse(text) as { digest?: unknown },
    () => null,
  );
  const ours = made !== null && (await isPublished({ ...planned!, digest: String(made.digest) }));
  emit({ type: 'note', text: `making ${path} of trial ${document.best!.trial}` });
  const { warnings } = await study.merger.make([request], { force: options.force === true || ours, signal });
  study.warn(warnings);
  await replaceFile(join(folder.path, MADE_FILE), `${JSON.stringify({ path, digest: planned!.digest })}\n`);
}
