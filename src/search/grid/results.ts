import { join } from 'node:path';
import { type Conflict, MergeError } from '../../base/errors.ts';
import { pythonJsonOrNone } from '../../base/json/parse.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { worded } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { storeOf } from '../../base/store/store.ts';
import { readResult } from '../../checkpoints/results/files.ts';
import { goalOf } from '../../checkpoints/results/goal.ts';
import { harnessReport, reportOf } from '../../checkpoints/results/harness.ts';
import { type ReadOptions, scoreOf } from '../../checkpoints/results/metric.ts';
import { MalformedResult, type Report, twiceText } from '../../checkpoints/results/report.ts';
import type { Goal, Score } from '../../checkpoints/results/types.ts';

/** Results that are read at a time. */
const READ_AT_ONCE = 8;

export const RESULT_HELP =
  'Put there NAME.json ({"score": 0.61, "items": [1, 0, …]}, or a file of lm-eval) or a folder NAME with its results; or leave out what was not scored of the axes.';

/** What lies in a folder of scores under the name of a model. */
export interface Result {
  readonly name: string;
  readonly path: string;
  readonly kind: 'file' | 'folder';
  /** For people: with the ending. */
  readonly shown: string;
}

/** What a result says: a score, or why there is none. */
export interface Said {
  readonly shown: string;
  readonly score: Score | null;
  readonly reason: string | null;
}

/** What lies in a folder of scores, by name, links followed. @throws MergeError E_NOT_FOUND, E_SCORES where it is no folder */
export async function resultsIn(folder: string): Promise<ReadonlyMap<string, readonly Result[]>> {
  const store = storeOf(folder);
  const entries = await store.list(folder).catch((error: unknown) => {
    if (!(error instanceof MergeError) || error.code !== 'E_NOT_FOUND') throw error;
    return null;
  });
  if (entries === null) {
    throw new MergeError('E_NOT_FOUND', `${folder}: there is no such folder`, {
      details: { file: folder },
      help: worded`It is the folder with the results of outputs by their names: --submit prints the job array that fills it. ${RESULT_HELP}`,
    });
  }
  const found = new Map<string, Result[]>();
  for (const { name, kind } of entries) {
    if (name.startsWith('.')) continue;
    const path = join(folder, name);
    const led = kind === 'link' ? await store.stat(path).catch(() => null) : null;
    const isFolder = (led?.kind ?? kind) === 'folder';
    if (!isFolder && !name.endsWith('.json')) continue;
    const own = isFolder ? name : name.slice(0, -'.json'.length);
    const result = { name: own, path, kind: isFolder ? 'folder' : 'file', shown: isFolder ? `${name}/` : name } as const;
    found.set(own, [...(found.get(own) ?? []), result]);
  }
  return found;
}

/**
 * What the results of merges say. One that cannot be a score (NaN, beyond all bounds, a constraint that does not hold)
 * is what a failed evaluation is.
 * @param merges results of one merge each, under whatever names @returns one for each; null where it has no result
 * @throws MergeError E_SCORES naming every result that cannot be read, and those that say different things of one
 *   merge; E_METRIC; `signal.reason` on an abort
 */
export async function readResults(
  merges: readonly (readonly Result[])[],
  reading: ReadOptions,
  signal: AbortSignal,
): Promise<readonly (Said | null)[]> {
  const each = [...new Set(merges.flat())];
  const read = await mapBounded(each, READ_AT_ONCE, (result) => {
    signal.throwIfAborted();
    return readOne(result, reading);
  });
  refuse(
    read.flatMap((one) => ('code' in one ? [one] : [])),
    { several: (count) => `${count} results cannot be read` },
  );
  const said = new Map(each.map((result, i) => [result, read[i] as Said]));
  const all = merges.map((results) => results.map((result) => said.get(result)!));
  refuse(all.flatMap(disagreement), { several: (count) => `${count} outputs have results that say different things` });
  return all.map((one) => one[0] ?? null);
}

/** Whether something can be read there: a score, or that there is none. */
export async function isResult(result: Result): Promise<boolean> {
  return !('code' in (await reportIn(result)));
}

async function readOne(result: Result, { metrics = [] }: ReadOptions): Promise<Said | Conflict> {
  const found = await reportIn(result);
  if (!('report' in found)) return found;
  const { shown } = result;
  try {
    return { shown, score: await scoreOf(found.report, metrics), reason: null };
  } catch (error) {
    return { shown, score: null, reason: reasonOf(error) };
  }
}

/** What lies there: a report; that there is no score; or why it cannot be read. */
async function reportIn({ path, kind, shown }: Result): Promise<{ readonly report: Report } | Said | Conflict> {
  const conflict = (message: string): Conflict => ({ code: 'E_SCORES', message, file: path, help: RESULT_HELP });
  let report: Report | null;
  try {
    const text = kind === 'folder' ? null : await readResult(path);
    const twice = text === null || pythonJsonOrNone(text) === undefined ? null : twiceText(text);
    if (twice !== null) return conflict(`${path}: ${twice}`);
    try {
      report = text === null ? await harnessReport(path, 0) : reportOf(text, shown, path);
    } catch (error) {
      // A file says of a score that it is none; of a folder something is torn.
      if (text === null || error instanceof MalformedResult) throw error;
      return { shown, score: null, reason: reasonOf(error) };
    }
  } catch (error) {
    return conflict(`${path}: ${reasonOf(error).replace(`${path} `, '')}`);
  }
  return report === null ? conflict(`${path}: there is neither a score nor a result of lm-eval or lighteval`) : { report };
}

/** @throws what is no fault of a result */
function reasonOf(error: unknown): string {
  if (!(error instanceof MergeError) || error.code !== 'E_EVALUATOR') throw error;
  return error.message.replace(/^the evaluation gave no score: /, '');
}

/** Of one merge there is one score, whatever names it has. */
function disagreement(said: readonly Said[]): Conflict[] {
  const other = said.find(({ score }) => score?.score !== said[0]!.score?.score);
  if (other === undefined) return [];
  const text = ({ shown, score }: Said) => `${shown} says ${score?.score ?? 'that there is no score'}`;
  const message = `${text(said[0]!)}, and ${text(other)}: both are of one merge`;
  return [{ code: 'E_SCORES', message, help: 'Leave the one there that counts: equal merges have one result, under one of their names.' }];
}

/** Which scores are better, as is given or as results say. @throws MergeError E_GOAL where none says it, or they disagree */
export function goalOfResults(given: Goal | undefined, said: readonly Said[], reading: ReadOptions): Goal {
  const scored = said.flatMap(({ shown, score }) => (score === null ? [] : [{ shown, score }]));
  const telling = scored.filter(({ score }) => score.higherIsBetter !== null);
  const [up, down] = [true, false].map((is) => telling.find(({ score }) => score.higherIsBetter === is));
  if (given === undefined && up !== undefined && down !== undefined) {
    throw new MergeError('E_GOAL', `${up.shown} says that larger scores are better, and ${down.shown} that smaller ones are`);
  }
  return goalOf(given, (telling[0] ?? scored[0])!.score, reading);
}
