import { dirname, join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { isJsonObject, parseJson } from '../../base/json/parse.ts';
import { readIfThere } from '../../base/store/store.ts';
import { version } from '../../base/version.ts';
import { isPublished } from '../../merge/plan/outputs/finished.ts';
import type { ValidationScores } from '../conclusion/validate.ts';
import type { TakingPart } from '../study/merges.ts';
import { plainCommand, type Records } from '../study/records.ts';
import { REPORT_PAGE, RESULT_FILE, replaceFile } from '../study/report-files.ts';
import type { Session } from '../study/session.ts';
import type { Ending } from '../study/types.ts';
import { type DocumentInput, referenceTrial, searchDocument } from './document.ts';
import { BEST_RECIPE, REFERENCE_RECIPE, recipeOfTrialText } from './files.ts';
import type { SearchOptions } from './options.ts';
import type { SearchDocument } from './types.ts';

/** Of which trials the search made its output, so that a longer search may replace it. */
const MADE_FILE = 'made.json';
const MAX_MADE_BYTES = 2 ** 24;

/** What the rounds left to be said. */
export interface SearchEnd {
  readonly ended: Ending;
  readonly validation: ValidationScores | undefined;
}

/** Writes document, recipe of the best and page into the folder of a search. */
export async function finishSearch(options: SearchOptions, session: Session, end: SearchEnd): Promise<SearchDocument> {
  const { study, folder, identity, records, members, live } = session;
  await live.end();
  await writeReference(session);
  const input: DocumentInput = {
    identity,
    goal: session.goal(),
    trials: study.trials,
    folder: folder.path,
    output: options.output ?? null,
    merges: { merges: study.merger.merges, reads: study.merger.reads },
    report: members.report,
    warnings: study.warnings,
    ...end,
  };
  const document = searchDocument(input);
  const written = searchDocument({ ...input, ...recordedInput(input, records, study.merger.hidden) });
  const { searchPage } = await import('./page.ts');
  await replaceFile(join(folder.path, RESULT_FILE), `${JSON.stringify(written, null, 2)}\n`);
  await replaceFile(join(folder.path, REPORT_PAGE), searchPage(written));
  if (document.best !== null) {
    const remarks = written.conclusion.text.split('\n').filter((line) => line !== '');
    await writeRecipe(session, BEST_RECIPE, {
      trial: document.best.trial,
      output: options.output ?? join(folder.path, 'best'),
      head: [`The best recipe of the search beside it, by ckpt-merge ${version}. To make it: merge run ${BEST_RECIPE}`, ...remarks],
    });
  }
  return document;
}

/** What there is only to be compared with may be wanted, too, made as the search made it. */
async function writeReference(session: Session): Promise<void> {
  const { study, folder, identity } = session;
  const trial = referenceTrial(study.trials);
  if (trial === undefined) return;
  const name = `last-${identity.last.length}`;
  await writeRecipe(session, REFERENCE_RECIPE, {
    trial,
    output: join(dirname(folder.path), name),
    head: [
      `The mean of the last ${identity.last.length} of the run, which the search beside it was compared with, by ckpt-merge ${version}.`,
      `To make it: merge run ${REFERENCE_RECIPE}`,
    ],
  });
}

async function writeRecipe(
  session: Session,
  file: string,
  { trial, output, head }: { readonly trial: number; readonly output: string; readonly head: readonly string[] },
): Promise<void> {
  const { folder, members, merging } = session;
  const taking = takenBy(session, trial);
  const text = recipeOfTrialText({ folder: folder.path, output, members: members.all, taking, merging, head });
  await replaceFile(join(folder.path, file), text);
}

/** What a document is made of, as it is written into the folder. */
function recordedInput(input: DocumentInput, records: Records, hidden: ReadonlySet<string>): Partial<DocumentInput> {
  const { identity, trials, validation, output, warnings } = input;
  return {
    identity: records.identity(identity),
    trials: trials.map((trial) => records.trial(trial)),
    validation: validation === undefined ? undefined : { ...validation, command: plainCommand(validation.command) },
    folder: '.',
    output: output === null ? null : records.path(output),
    warnings: records.warnings(warnings, hidden),
  };
}

/** What the merge of a trial was made of. */
export function takenBy({ study, members }: Session, trial: number): TakingPart {
  const { weights, parts } = study.trials.find(({ id }) => id === trial)!;
  const place = new Map(members.all.map(({ path }, m) => [path, m]));
  return { members: weights.map(({ path }) => place.get(path)!), weights: weights.map(({ weight }) => weight), parts };
}

/**
 * Looks at the place of the output before anything is paid for: what an earlier run of the search made there
 * may be replaced.
 * @throws MergeError E_OUTPUT_EXISTS for anything else
 */
export async function checkOutput({ output: path, force }: SearchOptions, session: Session, signal: AbortSignal): Promise<void> {
  if (path === undefined || force || !(await isThere(path)) || (await isOurs(path, session, signal))) return;
  throw new MergeError('E_OUTPUT_EXISTS', `the output ${path} exists, and this search did not make it`, {
    details: { file: path },
    help: 'Move it away, or add --force: with --resume it replaces the output and keeps the trials.',
  });
}

/**
 * Merges the best recipe into the output; one that an earlier run of the search made is left as it is, or
 * replaced. @throws MergeError as {@link checkOutput}
 */
export async function makeOutput(options: SearchOptions, session: Session, document: SearchDocument, signal: AbortSignal): Promise<void> {
  const { study, folder, emit } = session;
  const path = options.output!;
  const { trial } = document.best!;
  if (await isMergeOf(trial, path, session, signal)) return;
  await checkOutput(options, session, signal);
  const force = options.force === true || (await isOurs(path, session, signal));
  // Before the output is there: a kill in between must not make a stranger of it.
  const trials = [...new Set([...(await madeOf(folder.path)), trial])];
  await replaceFile(join(folder.path, MADE_FILE), `${JSON.stringify({ trials })}\n`);
  emit({ type: 'note', text: `making ${path} of trial ${trial}` });
  const { warnings } = await study.merger.make([{ path, taking: takenBy(session, trial), report: session.members.report }], {
    force,
    signal,
  });
  study.warn(warnings);
}

async function isThere(path: string): Promise<boolean> {
  return (await SYSTEM.fs.readdir(path).catch(() => [path])).length > 0 && (await SYSTEM.fs.lstat(path).catch(() => null)) !== null;
}

/** Whether what lies at a path is what the search made there. */
async function isOurs(path: string, session: Session, signal: AbortSignal): Promise<boolean> {
  const known = new Set(session.study.trials.map(({ id }) => id));
  const made = (await madeOf(session.folder.path)).filter((trial) => known.has(trial));
  for (const trial of made) if (await isMergeOf(trial, path, session, signal)) return true;
  return false;
}

async function isMergeOf(trial: number, path: string, session: Session, signal: AbortSignal): Promise<boolean> {
  const { outputs } = await session.study.merger.plan([{ path, taking: takenBy(session, trial) }], { force: true, signal });
  return isPublished(outputs[0]!);
}

/**
 * Trials whose merges were made as the output, or were about to be; none where nothing that can be read says
 * so.
 */
export async function madeOf(folder: string): Promise<readonly number[]> {
  try {
    const made = parseJson((await readIfThere(join(folder, MADE_FILE), MAX_MADE_BYTES))?.toString() ?? '{}');
    const trials = isJsonObject(made) && Array.isArray(made.trials) ? made.trials : [];
    return trials.filter((trial) => Number.isSafeInteger(trial));
  } catch (error) {
    if (error instanceof MergeError || error instanceof SyntaxError) return [];
    throw error;
  }
}
