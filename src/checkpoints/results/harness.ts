import { basename } from 'node:path';
import { pythonJsonOrNone } from '../../base/json/parse.ts';
import { newestFiles, readResult, shownPath } from './files.ts';
import { isLighteval, lightevalReport } from './lighteval.ts';
import { isLmEval, lmEvalReport } from './lm-eval.ts';
import { type Metric, noScore, type Report, refuseTwice } from './report.ts';
import { bareNumber, isScoreJson, numberOf, scoreReport } from './score-json.ts';

/**
 * What lm-eval and lighteval wrote into a folder and the folders in it: of a metric that stands in several
 * files, the newest value. Null where nothing is theirs.
 * @param since ms since 1970, by the clock of the file system: older files are left out
 * @throws MergeError E_EVALUATOR for a file of results that is torn, or cannot be read
 */
export async function harnessReport(out: string, since: number): Promise<Report | null> {
  const metrics = new Map<string, Metric>();
  const sources: string[] = [];
  for (const { path } of await newestFiles(out, '**/*.json', since)) {
    const text = await readResult(path);
    const json = pythonJsonOrNone(text);
    if (json === undefined && /^results_.*\.json$/.test(basename(path))) throw noScore(`${shownPath(out, path)} is torn, or no JSON`, path);
    const report = harnessFile(json, path);
    if (report === null) continue;
    refuseTwice(text, shownPath(out, path), path);
    const added = report.metrics.filter(({ name }) => !metrics.has(name));
    for (const metric of added) metrics.set(metric.name, metric);
    if (added.length > 0 || report.metrics.length === 0) sources.push(report.source);
  }
  return sources.length === 0 ? null : { source: sources.join(' and '), score: null, metrics: [...metrics.values()], cost: null };
}

/**
 * What a text says: a number, a file of a harness, or JSON with a score; null where it is none of them.
 * @param source what to call it, for people
 * @param path of the file that it is of: what belongs to it lies beside it
 * @throws MergeError E_EVALUATOR where it has a score that is none
 */
export function reportOf(text: string, source: string, path: string): Report | null {
  const number = numberOf(text.trim());
  if (number !== null) return bareNumber(number, source);
  const json = pythonJsonOrNone(text);
  const report = harnessFile(json, path) ?? (isScoreJson(json) ? scoreReport(json, source) : null);
  if (report !== null) refuseTwice(text, source, path);
  return report;
}

function harnessFile(json: unknown, path: string): Report | null {
  return isLmEval(json) ? lmEvalReport(json, path) : isLighteval(json) ? lightevalReport(json, path) : null;
}
