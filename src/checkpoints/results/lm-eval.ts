import { basename, dirname, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { isJsonObject, type JsonObject, pythonJsonOrNone } from '../../base/json/parse.ts';
import { fileLines } from '../../base/store/file-lines.ts';
import { storeOf } from '../../base/store/store.ts';
import type { OpenFile } from '../../base/store/types.ts';
import { addUpTo, type ItemList, namedItems } from './items.ts';
import { harnessStderr, type Metric, type Report } from './report.ts';

/** `results_2026-01-31T12-00-00.123456.json`, or another stem where the output path named a file. */
const STAMP = /_(\d{4}-\d{2}-\d{2}T[\d.-]+)\.json$/;

/** Bytes of a row: a document with all that was asked of it. */
const LONGEST_SAMPLE = 2 ** 26;

/**
 * Whether it is a result file of lm-evaluation-harness (0.4.x), by keys that its EvaluationTracker always
 * writes.
 */
export function isLmEval(json: unknown): json is JsonObject {
  return isJsonObject(json) && ['results', 'higher_is_better', 'configs'].every((key) => isJsonObject(json[key]));
}

/**
 * The metrics of a results file. The entry of a task holds `metric,filter` and `metric_stderr,filter` (a
 * number or "N/A") among `alias`, `name` and `sample_len`: what has no comma is no metric. Groups stand in
 * `results` as in `groups`, with the same numbers; `higher_is_better` goes by the bare metric, and lists for
 * groups metrics that have no value. [lm-eval 0.4.13: lm_eval/loggers/evaluation_tracker.py,
 * evaluator_utils.py, api/group.py]
 *
 * @param file where it was read: `samples_TASK_STAMP.jsonl` lie beside it
 */
export function lmEvalReport(json: JsonObject, file: string): Report {
  const results = json.results as JsonObject;
  const source = `lm-eval ${basename(file)}`;
  const metrics = Object.entries(results).flatMap(([task, entry]) => {
    const direction = (json.higher_is_better as JsonObject)[task];
    return isJsonObject(entry) ? metricsOf(task, entry, isJsonObject(direction) ? direction : {}, source) : [];
  });
  const stamp = STAMP.exec(basename(file))?.[1];
  const subtasks = isJsonObject(json.group_subtasks) ? json.group_subtasks : {};
  const withItems = ({ task, key, ...metric }: (typeof metrics)[number]): Metric => ({
    ...metric,
    items: async () => {
      if (stamp === undefined) return null;
      const tasks = leaves(task, subtasks).filter((leaf) => Object.hasOwn(Object(results[leaf]), key));
      const lists: ItemList[] = [];
      for (const leaf of tasks) {
        const list = await sampleScores(dirname(file), `samples_${leaf}_${stamp}.jsonl`, `${leaf}/${key}`, ...split(key));
        if (list === null) return null;
        lists.push(list);
      }
      return shared(metric.value, lists);
    },
  });
  return { source, score: null, metrics: metrics.map(withItems), cost: null };
}

function metricsOf(task: string, entry: JsonObject, direction: JsonObject, source: string) {
  return Object.entries(entry).flatMap(([key, value]) => {
    const [metric, filter] = split(key);
    if (!key.includes(',') || metric.endsWith('_stderr') || typeof value !== 'number') return [];
    const better = direction[metric];
    const higherIsBetter = typeof better === 'boolean' ? better : null;
    return [
      {
        task,
        key,
        name: `${task}/${key}`,
        value,
        stderr: harnessStderr(entry[`${metric}_stderr,${filter}`], `${task}/${metric}_stderr,${filter}`, source),
        higherIsBetter,
      },
    ];
  });
}

function split(key: string): [metric: string, filter: string] {
  const comma = key.lastIndexOf(',');
  return [key.slice(0, comma), key.slice(comma + 1)];
}

/** The tasks of a group, of its groups, and so on; a task itself where it is no group. */
function leaves(group: string, subtasks: JsonObject): string[] {
  const seen = new Set<string>();
  const found: string[] = [];
  // Groups may hold groups to any depth: those still to be looked at, the next one last.
  const open = [group];
  for (let task = open.pop(); task !== undefined; task = open.pop()) {
    if (seen.has(task)) continue;
    seen.add(task);
    const children = Object.hasOwn(subtasks, task) ? subtasks[task] : null;
    if (!Array.isArray(children) || children.length === 0) found.push(task);
    else for (const child of children.toReversed()) if (typeof child === 'string') open.push(child);
  }
  return found;
}

/**
 * A group is the mean over all items of its tasks, or the mean of its tasks (`weight_by_size`), which the
 * file does not say: its value does.
 */
function shared(value: number, lists: readonly ItemList[]): readonly ItemList[] {
  const items = lists.reduce((count, { scores }) => count + scores.length, 0);
  const bySize = lists.map((list) => ({ ...list, share: list.scores.length / items }));
  return addUpTo(value, bySize) ? bySize : lists.map((list) => ({ ...list, share: 1 / lists.length }));
}

/**
 * Scores of single documents in `samples_TASK_STAMP.jsonl` (`--log_samples`): a row for each document and
 * filter, with the value of each metric by its bare name. Documents go by `doc_id` and `doc_hash`, since
 * ranks write them in any order and a limit may pick others.
 *
 * @returns null where the file is not there, cannot be read or is torn, or rows hold the metric as something
 *   else than a number (the pair of a word perplexity)
 */
async function sampleScores(folder: string, file: string, name: string, metric: string, filter: string): Promise<ItemList | null> {
  // Samples are a bonus beside the score: without them it stands alone. A task's name is no path.
  if (file.includes('/')) return null;
  const path = join(folder, file);
  let open: OpenFile;
  try {
    open = await storeOf(path).open(path);
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return null;
  }
  const entries: [string, number][] = [];
  try {
    for await (const line of fileLines(open, LONGEST_SAMPLE)) {
      if (line.trim() === '') continue;
      const row = pythonJsonOrNone(line);
      if (!isJsonObject(row)) return null;
      // A document may give no value of a metric; the mean then goes without it.
      if (row.filter !== filter || !Object.hasOwn(row, metric)) continue;
      const value = row[metric];
      const score = typeof value === 'number' || typeof value === 'boolean' ? Number(value) : Number.NaN;
      if (!Number.isFinite(score)) return null;
      const names = [row.doc_id, row.doc_hash];
      if (names.some((part) => typeof part === 'object' && part !== null)) return null;
      entries.push([names.map(String).join(' '), score]);
    }
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return null;
  } finally {
    await open.close();
  }
  return entries.length === 0 ? null : namedItems(name, entries);
}
