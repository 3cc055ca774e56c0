import { basename } from 'node:path';
import { groupBy } from '../../base/group-by.ts';
import { isJsonObject, type JsonObject } from '../../base/json/parse.ts';
import { harnessStderr, type Metric, type Report } from './report.ts';

/**
 * Whether it is a result file of lighteval (0.8 to 0.13), by keys that its EvaluationTracker always writes.
 */
export function isLighteval(json: unknown): json is JsonObject {
  return isJsonObject(json) && ['results', 'config_general', 'config_tasks'].every((key) => isJsonObject(json[key]));
}

/**
 * The metrics of a results file: `results[task]` holds each metric and its `_stderr`. `all` is a pseudo-task,
 * the mean over all tasks that have a metric of the name; `mmlu:_average|5` is that of the subtasks of one.
 * Neither has a configuration, and both average the standard errors of tasks, which is no standard error.
 * `config_tasks[task].metrics` is a list with the direction of each metric. Scores of items are in parquet
 * files only, which are not read. [lighteval 0.13.0: logging/evaluation_tracker.py, logging/info_loggers.py]
 */
export function lightevalReport(json: JsonObject, file: string): Report {
  const results = json.results as JsonObject;
  const configs = json.config_tasks as JsonObject;
  const partsOf = partsIn(Object.keys(results));
  const source = `lighteval ${basename(file)}`;
  const metrics = Object.entries(results).flatMap(([task, entry]): Metric[] => {
    if (!isJsonObject(entry)) return [];
    const parts = partsOf(task);
    return Object.entries(entry).flatMap(([name, value]) => {
      if (typeof value !== 'number' || (name.endsWith('_stderr') && Object.hasOwn(entry, name.slice(0, -'_stderr'.length)))) return [];
      const directions = new Set(parts.map((part) => directionOf(configs[part], name)));
      const stderrs = parts.map((part) => harnessStderr(Object(results[part])[`${name}_stderr`], `${part}/${name}_stderr`, source));
      return [
        {
          name: `${task}/${name}`,
          value,
          stderr: stderrs.length === 0 || stderrs.includes(null) ? null : Math.hypot(...(stderrs as number[])) / stderrs.length,
          higherIsBetter: directions.size === 1 ? [...directions][0]! : null,
          aside: task === 'all',
        },
      ];
    });
  });
  return { source, score: null, metrics, cost: null };
}

/**
 * The tasks that an entry is the mean of: itself, the subtasks of an average, and none that could be told for
 * `all`.
 */
function partsIn(tasks: readonly string[]): (task: string) => readonly string[] {
  const sorted = [...tasks].sort();
  /** Of each group, its tasks by what stands behind their last `|`: a file may have thousands of averages. */
  const groups = new Map<string, ReadonlyMap<string, readonly string[]>>();
  const group = (prefix: string) => {
    const found = groups.get(prefix) ?? groupBy(withPrefix(sorted, prefix), (name) => name.slice(name.lastIndexOf('|') + 1));
    groups.set(prefix, found);
    return found;
  };
  return (task) => {
    if (task === 'all') return [];
    const average = /^(.*):_average\|([^|]*)$/.exec(task);
    if (average === null) return [task];
    return (group(`${average[1]}:`).get(average[2]!) ?? []).filter((name) => name !== task && name.includes('|'));
  };
}

/** The names that begin like this, of names in order. */
function withPrefix(sorted: readonly string[], prefix: string): readonly string[] {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < prefix) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (sorted[end]?.startsWith(prefix)) end++;
  return sorted.slice(low, end);
}

/** A metric of a group of metrics has its direction in an object, by its name. */
function directionOf(config: unknown, metric: string): boolean | null {
  const metrics = isJsonObject(config) && Array.isArray(config.metrics) ? config.metrics.filter(isJsonObject) : [];
  for (const { metric_name: name, higher_is_better: better } of metrics) {
    const names = Array.isArray(name) ? name : [name];
    const direction = isJsonObject(better) ? better[metric] : better;
    if (names.includes(metric) && typeof direction === 'boolean') return direction;
  }
  return null;
}
