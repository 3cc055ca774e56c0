import { basename, join, parse } from 'node:path';
import { type Conflict, MergeError } from '../../base/errors.ts';
import { isJsonObject, type JsonObject, pythonJsonOrNone } from '../../base/json/parse.ts';
import { refuse } from '../../base/problems.ts';
import { readWhole, storeOf } from '../../base/store/store.ts';
import { lineAndNumber } from '../../base/store/text-lines.ts';
import { positionFromName } from '../names.ts';
import { readResult } from './files.ts';
import { harnessReport, reportOf } from './harness.ts';
import { type MetricTerm, scoreOf } from './metric.ts';
import { MalformedResult, type Metric, type Report, twiceText } from './report.ts';
import { bareNumber, isScoreJson, numberOf, scoreReport } from './score-json.ts';
import type { Score } from './types.ts';

/** Scores of the checkpoints of a run. */
export interface StepScores {
  /** The last part of the path that they were read from, for people. */
  readonly source: string;
  /** Finite, by step. */
  readonly scores: ReadonlyMap<number, number>;
  /** Steps that are named and have none, with the reason. */
  readonly without: ReadonlyMap<number, string>;
  /** Whether larger scores are better, where every source says so. */
  readonly higherIsBetter: boolean | null;
}

/** What is said of one step, and where. */
interface StepReport {
  readonly step: number;
  readonly where: string;
  /** Null where a place for a score is empty. */
  readonly report: Report | null;
}

/** Columns and keys that hold a step. */
const STEP = /^(?:global_?step|steps?|iterations?|iter)$/i;
/** The column that is the score where there are several, as of the JSON of our own convention. */
const SCORE = 'score';
/** Far beyond any table of scores: somebody named a checkpoint. */
const MOST_BYTES = 2 ** 26;
/** Problems of a file after which no more are looked for. */
const MOST_PROBLEMS = 100;

/**
 * Scores by step: from a CSV (`step,score`, or a column a metric), from JSON (an object by step, or objects with
 * a step as a list or a line each; values are numbers, metrics by name, or what evaluators print), or from a
 * folder with a folder or file for each step, named as a checkpoint is, which holds results of lm-eval or
 * lighteval or JSON with a score.
 *
 * @param terms which metric, or which weighted sum; none where there is one only
 * @throws MergeError E_SCORES with every problem and its line: no step, no number, a step twice, nothing at all;
 *   E_METRIC where the metrics asked for, or their absence, do not fit; E_EVALUATOR for a file of results that is
 *   torn; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readStepScores(path: string, terms: readonly MetricTerm[]): Promise<StepScores> {
  const store = storeOf(path);
  const entries = await store.list(path);
  const source = basename(path);
  const reports = entries === null ? fileReports(path, await readText(path)) : await folderReports(path, entries);
  if (reports.length === 0) throw scoresError(path, entries === null ? 'there is no line with a step and a score' : NO_ENTRY);
  const scores = new Map<number, number>();
  const without = new Map<number, string>();
  const directions = new Set<boolean | null>();
  for (const { step, where, report } of reports) {
    const score = report === null ? 'it is empty' : await soundScore(report, terms);
    if (typeof score === 'string') without.set(step, `${where}: ${score}`);
    else {
      scores.set(step, score.score);
      directions.add(score.higherIsBetter);
    }
  }
  return { source, scores, without, higherIsBetter: directions.size === 1 ? [...directions][0]! : null };
}

const NO_ENTRY = 'no folder or file in it is named by a step, as checkpoint-1000 or step1000.json, and holds results';

/** The score of a report, or why there is none that can be compared. */
async function soundScore(report: Report, terms: readonly MetricTerm[]): Promise<Score | string> {
  try {
    // Items of single evaluations are nobody's business here, and may be many files.
    return await scoreOf({ ...report, metrics: report.metrics.map(({ items, ...metric }) => metric) }, terms);
  } catch (error) {
    if (!(error instanceof MergeError) || error.code !== 'E_EVALUATOR') throw error;
    return error.message.replace(/^the evaluation gave no score: /, '');
  }
}

async function readText(path: string): Promise<string> {
  return (await readWhole(path, MOST_BYTES)).toString().replace(/^\uFEFF/, '');
}

function scoresError(path: string, message: string): MergeError {
  return new MergeError('E_SCORES', `${path}: ${message}`, { details: { file: path } });
}

function fileReports(path: string, text: string): StepReport[] {
  const trimmed = text.trim();
  const lines = /\.(?:jsonl|ndjson)$/.test(path);
  if (!lines && !/^[{[]/.test(trimmed)) return csvReports(path, text);
  const problems: string[] = [];
  const json = lines ? jsonLines(text, problems) : pythonJsonOrNone(trimmed);
  if (json === undefined) throw scoresError(path, 'is no JSON');
  const twice = lines ? null : twiceText(trimmed);
  if (twice !== null) throw scoresError(path, twice);
  const reports: StepReport[] = [];
  const add = (step: number | null, value: unknown, where: string) => {
    if (step === null) problems.push(`${where} is no step, or has none (a key "step")`);
    else if (reports.some((other) => other.step === step)) problems.push(`step ${step} is there twice`);
    else {
      try {
        reports.push({ step, where, report: reportOfJson(value, where, path) });
      } catch (error) {
        if (!(error instanceof MalformedResult)) throw error;
        problems.push(error.message.replace(/^the evaluation gave no score: /, ''));
      }
    }
  };
  if (Array.isArray(json)) {
    for (const [i, item] of json.entries()) add(stepWithin(item), withoutStep(item), `entry ${i + 1}`);
  } else if (isJsonObject(json)) {
    for (const [i, [key, value]] of Object.entries(json).entries()) add(stepOfName(key), value, `entry ${i + 1}`);
  } else problems.push('is neither an object by step nor a list');
  refuseScores(path, problems);
  return reports;
}

function jsonLines(text: string, problems: string[]): unknown[] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === '') return [];
    const json = pythonJsonOrNone(line);
    const twice = twiceText(line);
    if (json === undefined) problems.push(`line ${i + 1} is no JSON`);
    else if (twice !== null) problems.push(`line ${i + 1}: ${twice}`);
    return json === undefined ? [] : [json];
  });
}

function stepWithin(item: unknown): number | null {
  const [, value] = isJsonObject(item) ? (Object.entries(item).find(([key]) => STEP.test(key)) ?? []) : [];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function withoutStep(item: unknown): unknown {
  return isJsonObject(item) ? Object.fromEntries(Object.entries(item).filter(([key]) => !STEP.test(key))) : item;
}

/** A step as a number, or as the name of a checkpoint, also behind the path that lm-eval makes a name of. */
function stepOfName(name: string): number | null {
  if (/^\d+$/.test(name) && Number.isSafeInteger(Number(name))) return Number(name);
  return positionFromName(name.split('__').at(-1)!)?.step ?? null;
}

function reportOfJson(value: unknown, source: string, path: string): Report | null {
  if (value === null) return null;
  if (typeof value === 'number') return bareNumber(value, source);
  if (isScoreJson(value)) return scoreReport(value, source);
  return reportOf(JSON.stringify(value), source, path) ?? numbersReport(isJsonObject(value) ? value : {}, source);
}

/** Every number of an object is a metric by its name. */
function numbersReport(values: JsonObject, source: string): Report {
  const metrics = Object.entries(values).flatMap(([name, value]) => (typeof value === 'number' ? [metric(name, value)] : []));
  return { source, score: null, metrics, cost: null };
}

function metric(name: string, value: number): Metric {
  return { name, value, stderr: null, higherIsBetter: null };
}

function csvReports(path: string, text: string): StepReport[] {
  const problems: string[] = [];
  const reports: StepReport[] = [];
  const lineOf = new Map<number, number>();
  let columns = ['step', SCORE];
  let header = true;
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || problems.length >= MOST_PROBLEMS) continue;
    const cells = csvCells(line);
    const named = header && !/^\d+$/.test(cells[0]!);
    header = false;
    if (named) {
      columns = cells;
      if (!cells.some((cell) => STEP.test(cell)) || cells.length < 2) {
        problems.push(`line ${i + 1} names no column step beside one of scores`);
        break;
      }
      continue;
    }
    const at = columns.findIndex((column) => STEP.test(column));
    const step = /^\d+$/.test(cells[at] ?? '') ? Number(cells[at]) : Number.NaN;
    if (cells.length !== columns.length)
      problems.push(`${lineAndNumber(i + 1, line)} has ${cells.length} columns and not ${columns.length}`);
    else if (!Number.isSafeInteger(step)) problems.push(`${lineAndNumber(i + 1, cells[at]!)} is no step`);
    else if (lineOf.has(step)) problems.push(`line ${i + 1}: step ${step} is in line ${lineOf.get(step)} already`);
    else {
      lineOf.set(step, i + 1);
      const values = columns.flatMap((name, c) =>
        c === at || cells[c] === '' ? [] : [{ name, text: cells[c]!, value: numberOf(cells[c]!) }],
      );
      const none = values.find(({ value }) => value === null);
      // What stands beside the numbers may be a remark, unless there is nothing else.
      if (none !== undefined && columns.length === 2) problems.push(`${lineAndNumber(i + 1, none.text)} is no score`);
      else reports.push({ step, where: `line ${i + 1}`, report: rowReport(path, values) });
    }
  }
  refuseScores(path, problems);
  return reports;
}

function rowReport(path: string, values: readonly { readonly name: string; readonly value: number | null }[]): Report | null {
  const metrics = values.flatMap(({ name, value }) => (value === null ? [] : [metric(name, value)]));
  const score = metrics.find(({ name }) => name.toLowerCase() === SCORE) ?? null;
  return metrics.length === 0 ? null : { source: basename(path), score, metrics, cost: null };
}

/** The cells of a line; quotes hold commas, as in names of lm-eval's metrics. */
function csvCells(line: string): string[] {
  return [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*/g)].map(([, quoted, plain]) =>
    (quoted?.replaceAll('""', '"') ?? plain!).trim(),
  );
}

async function folderReports(path: string, entries: readonly { readonly name: string; readonly kind: string }[]): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  const twice: string[] = [];
  for (const { name, kind } of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const step = stepOfName(kind === 'folder' ? name : parse(name).name);
    if (name.startsWith('.') || step === null || (kind !== 'folder' && parse(name).ext !== '.json')) continue;
    const report = kind === 'folder' ? await harnessReport(join(path, name), 0) : await jsonFile(join(path, name), name);
    if (report === null) continue;
    const before = reports.find((other) => other.step === step);
    if (before !== undefined) twice.push(`${before.where} and ${name} are both of step ${step}`);
    reports.push({ step, where: name, report });
  }
  refuseScores(path, twice);
  return reports;
}

async function jsonFile(path: string, name: string): Promise<Report | null> {
  const text = await readResult(path);
  const report = reportOf(text, name, path);
  const json = report === null ? pythonJsonOrNone(text) : undefined;
  if (report === null && json === undefined) throw scoresError(path, 'is torn, or no JSON');
  const twice = report === null ? twiceText(text) : null;
  if (twice !== null) throw scoresError(path, twice);
  return report ?? (isJsonObject(json) ? numbersReport(json, name) : null);
}

function refuseScores(path: string, problems: readonly string[]): void {
  const conflicts = problems.map((message): Conflict => ({ code: 'E_SCORES', message: `${path}: ${message}`, file: path }));
  refuse(conflicts, { several: (count) => `${path} has ${count} problems` });
}
