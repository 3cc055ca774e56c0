import { open } from 'node:fs/promises';
import { type ItemList, namedItems } from './items.ts';
import { parsePythonJson } from './python-json.ts';
import { isObject } from './report.ts';

/**
 * Scores of single documents in `samples_TASK_STAMP.jsonl` (`--log_samples`): a row for each document and
 * filter, with the value of each metric by its bare name. Documents go by `doc_id` and `doc_hash`, since
 * ranks write them in any order and a limit may pick others.
 *
 * @returns null where the file is not there, cannot be read or is torn, or rows hold the metric as something
 *   else than a number (the pair of a word perplexity)
 */
export async function sampleScores(file: string, name: string, metric: string, filter: string): Promise<ItemList | null> {
  // Samples are a bonus beside the score: without them it stands alone.
  const handle = await open(file).catch(() => null);
  if (handle === null) return null;
  const entries: [string, number][] = [];
  try {
    for await (const line of handle.readLines()) {
      if (line.trim() === '') continue;
      const row = parsePythonJson(line);
      if (!isObject(row)) return null;
      // A document may give no value of a metric; the mean then goes without it.
      if (row.filter !== filter || !Object.hasOwn(row, metric)) continue;
      const score = Number(row[metric]);
      if (!['number', 'boolean'].includes(typeof row[metric]) || !Number.isFinite(score)) return null;
      entries.push([`${row.doc_id} ${row.doc_hash}`, score]);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return null;
  } finally {
    await handle.close();
  }
  return entries.length === 0 ? null : namedItems(name, entries);
}
