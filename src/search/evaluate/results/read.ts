import { isAbsolute } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { runInNewContext } from 'node:vm';
import { MergeError } from '../../../base/errors.ts';
import { isJsonObject, pythonJsonOrNone } from '../../../base/json/parse.ts';
import { worded } from '../../../base/option-words.ts';
import { nameRule, newestFiles, readResult, shownPath } from '../../../checkpoints/results/files.ts';
import { harnessReport, reportOf } from '../../../checkpoints/results/harness.ts';
import { type MetricTerm, type ReadOptions, scoreOf } from '../../../checkpoints/results/metric.ts';
import { type Metric, noScore, type Report, refuseTwice, stderrOf } from '../../../checkpoints/results/report.ts';
import { bareNumber, isScoreJson, numberOf, scoreReport } from '../../../checkpoints/results/score-json.ts';
import type { Score } from '../../../checkpoints/results/types.ts';
import { meantForScore } from './nearly.ts';

export { type MetricTerm, parseMetric } from '../../../checkpoints/results/metric.ts';

/** Characters of stdout and of stderr, from their ends, in which `--metric-regex` is looked for. */
const MATCHED = 2 ** 20;
/** Milliseconds after which looking for it is given up. */
const MATCH_MS = 5000;

/** What an evaluation left behind. */
export interface Evaluated {
  /** Absolute path of the folder that it could write results into. */
  readonly out: string;
  /** Absolute path of the file that it could write its result into, which was not there before. */
  readonly resultFile: string;
  readonly stdout: string;
  readonly stderr: string;
  /**
   * Its start in ms since 1970, by the clock of the file system that holds `out`: the mtime of `out` when it
   * was made. Older files are not of this evaluation.
   */
  readonly since: number;
}

/**
 * The score of an evaluation that ended well, from the first that exists of: the file of `--metric-file`;
 * `$MERGE_RESULT`; result files of lm-eval and lighteval under `out` (newer than its start; of a metric that
 * stands in several, the newest value); the last line of stdout that is a number, or JSON with a score (on
 * one line or several); the last match of `--metric-regex` in stdout and stderr. What says less than the
 * options ask for is passed over: a bare number where metrics are named, and on stdout a bare number where a
 * regular expression is given too.
 *
 * @returns null where there is none of them
 * @throws MergeError E_EVALUATOR where one is there and holds no score (torn, NaN, a constraint that does not
 *   hold): this evaluation failed, others may not; E_METRIC where the metrics asked for, or their absence, do
 *   not fit what it holds: so it would be with every evaluation
 */
export async function readScore(given: Evaluated, options: ReadOptions): Promise<Score | null> {
  // Colours are no part of what was printed.
  const found = { ...given, stdout: stripVTControlCharacters(given.stdout), stderr: stripVTControlCharacters(given.stderr) };
  const terms = options.metrics ?? [];
  if (options.metricFile !== undefined) return fromMetricFile(found, options.metricFile, terms);
  const nameless: string[] = [];
  for (const source of [resultFileReport, harnessResults, stdoutReport]) {
    const report = await source(found, options);
    if (report === null) continue;
    if (terms.length === 0 || report.metrics.length > 0) return scoreOf(report, terms);
    nameless.push(report.source);
  }
  if (nameless.length > 0) {
    const names = terms.map(({ name }) => name).join(', ');
    const help = worded`Leave out --metric, or have the evaluator write {"metrics": {"NAME": NUMBER}} or a result file of a harness under {out}.`;
    throw new MergeError(
      'E_METRIC',
      worded`--metric asks for ${names}, and the evaluator gave one score without a name: ${nameless.join(', ')}`,
      { help },
    );
  }
  const matched = options.metricRegex === undefined ? null : regexReport(found, options.metricRegex);
  return matched && scoreOf(matched, []);
}

/**
 * Looks at options before the first evaluation is paid for.
 * @throws MergeError E_OPTION for a regular expression or glob that is none, or a metric given twice; E_USAGE
 *   for options that exclude each other
 */
export function checkReadOptions({ metrics = [], metricFile, metricRegex }: ReadOptions): void {
  const names = metrics.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new MergeError('E_OPTION', worded`--metric '${twice}' is given twice`, { help: 'Give it once, with the sum of both weights.' });
  const pointer = names.find((name) => name.startsWith('/'));
  if (pointer !== undefined && metricFile === undefined) {
    const help = worded`Say in which file with --metric-file GLOB; metrics of lm-eval and lighteval are named task/metric.`;
    throw new MergeError('E_USAGE', worded`--metric '${pointer}' is a JSON pointer, and there is no --metric-file`, { help });
  }
  if (metricRegex !== undefined && (names.length > 0 || metricFile !== undefined)) {
    const help = worded`Use --metric-regex alone, or --metric with --metric-file.`;
    throw new MergeError(
      'E_USAGE',
      worded`--metric-regex finds the score in what is printed, and ${names.length > 0 ? worded`--metric` : worded`--metric-file`} elsewhere`,
      { help },
    );
  }
  compiled(worded`--metric-regex`, metricRegex ?? '', () => new RegExp(metricRegex ?? ''));
  compiled(worded`--metric-file`, metricFile ?? '', () => (metricFile ?? '').split('/').forEach(nameRule));
}

function compiled(option: string, text: string, compile: () => void): void {
  try {
    compile();
  } catch (cause) {
    const help =
      option === worded`--metric-regex`
        ? "Syntax of JavaScript: 'loss = ([0-9.]+)'."
        : 'In a name: *, ? and [a-z]; ** for any number of folders.';
    throw new MergeError('E_OPTION', `${option} '${text}': ${(cause as Error).message}`, { help, cause });
  }
}

async function fromMetricFile({ out, since }: Evaluated, glob: string, terms: readonly MetricTerm[]): Promise<Score> {
  const pattern = glob.replace(/^\{out\}\/?/, '');
  const [file] = await newestFiles(out, pattern, since);
  if (file === undefined)
    throw noScore(worded`no file newer than its start matches --metric-file '${glob}'${isAbsolute(pattern) ? '' : ` in ${out}`}`);
  const text = await readResult(file.path);
  const name = shownPath(out, file.path);
  // Logs grow by a line: the last one is of the end.
  const last = /\.(jsonl|ndjson)$/.test(file.path) ? (text.trimEnd().split('\n').at(-1) ?? '') : text;
  const pointers = terms.some((term) => term.name.startsWith('/'));
  const report = (pointers ? null : reportOf(last, name, file.path)) ?? pointerReport(last, name);
  if (report === null) throw noScore(`${name} holds neither JSON nor a number`, file.path);
  const score = await scoreOf(report, terms);
  // All numbers of a foreign file were offered; those that are no part of the score are not what it calls
  // metrics.
  return pointers
    ? { ...score, metrics: Object.fromEntries(Object.entries(score.metrics).filter(([key]) => terms.some((term) => term.name === key))) }
    : score;
}

const harnessResults = ({ out, since }: Evaluated): Promise<Report | null> => harnessReport(out, since);

async function resultFileReport({ resultFile }: Evaluated): Promise<Report | null> {
  const [file] = await newestFiles(resultFile, '', 0);
  if (file === undefined) return null;
  const text = await readResult(resultFile);
  const report = reportOf(text, '$MERGE_RESULT', resultFile);
  if (report === null) {
    const meant = meantForScore(text.trim());
    const why = meant === null ? '' : ` (${meant})`;
    throw noScore(`$MERGE_RESULT holds neither a number nor JSON with "score", "scores" or "metrics"${why}`, resultFile);
  }
  return report;
}

function stdoutReport({ stdout }: Evaluated, { metrics = [], metricRegex }: ReadOptions): Report | null {
  const lines = stdout.split(/[\r\n]+/);
  let nameless: Report | null = null;
  let blocks = 0;
  for (let i = lines.length - 1; i >= 0; i--) {
    const line = lines[i]!.trim();
    const end = i;
    const number = metricRegex === undefined ? numberOf(line) : null;
    let text = line;
    let json = line.startsWith('{') ? pythonJsonOrNone(line) : undefined;
    if (json === undefined && /[}\]],?$/.test(line) && blocks < MOST_BLOCKS) {
      blocks++;
      const block = jsonBlock(lines, i);
      // Its lines, be they numbers, are parts of it.
      if (block !== null) ({ json, text, begin: i } = block);
    }
    let report: Report | null = null;
    if (number !== null) report = bareNumber(number, 'the last line of stdout that is a number');
    else if (isScoreJson(json)) {
      const source = `the last ${i < end ? 'lines' : 'line'} of stdout that ${i < end ? 'are' : 'is'} JSON with a score`;
      refuseTwice(text, source);
      report = scoreReport(json, source);
    }
    if (report !== null && (metrics.length === 0 || report.metrics.length > 0)) return report;
    const meant = metricRegex === undefined && metrics.length === 0 ? meantForScore(line) : null;
    // As with nan: what was printed before it is no score.
    if (meant !== null && nameless === null) throw noScore(meant);
    nameless ??= report;
  }
  return nameless;
}

/** Lines that end like JSON over several lines, of which it is looked where it begins. */
const MOST_BLOCKS = 16;

/** The JSON over several lines that ends in a line; null where there is none. */
function jsonBlock(
  lines: readonly string[],
  end: number,
): { readonly json: unknown; readonly text: string; readonly begin: number } | null {
  let depth = 0;
  for (let i = end; i >= 0; i--) {
    // No string of JSON runs over a line.
    const marks = lines[i]!.replace(/"(?:[^"\\]|\\.)*"/g, '');
    for (const mark of marks) depth += '}]'.includes(mark) ? 1 : '{['.includes(mark) ? -1 : 0;
    if (depth > 0) continue;
    // One line was tried; and what stands in something larger, which is torn, is a part of that.
    if (depth < 0 || i === end || /[[,{]$|^"[^"]*"\s*:$/.test(lines[i - 1]?.trim() ?? '')) return null;
    const text = lines.slice(i, end + 1).join('\n');
    const json = pythonJsonOrNone(text);
    return json === undefined ? null : { json, text, begin: i };
  }
  return null;
}

function regexReport({ stdout, stderr }: Evaluated, regex: string): Report | null {
  const match = lastMatch(regex, `${end(stdout)}\n${end(stderr)}`);
  if (match === null) return null;
  const text = match.groups?.score ?? match[1] ?? match[0];
  const value = numberOf(text.trim());
  if (value === null) throw noScore(worded`--metric-regex matched '${text}', which is no number`);
  const source = worded`the last match of --metric-regex`;
  // Programs print `+/- nan` where they do not know it.
  const error = numberOf(match.groups?.stderr?.trim() ?? '');
  return bareNumber(value, source, Number.isNaN(error) ? null : stderrOf(error, 'stderr', source));
}

/** From the first whole line on, where the beginning is left out. */
function end(output: string): string {
  if (output.length <= MATCHED) return output;
  const tail = output.slice(-MATCHED);
  return tail.slice(tail.indexOf('\n') + 1);
}

/**
 * The last match of a user's regular expression in what an evaluator printed. Between the two, a match may
 * take longer than anybody waits: it is stopped.
 * @throws MergeError E_EVALUATOR
 */
function lastMatch(regex: string, text: string): Found | null {
  const run = { regex, text };
  try {
    return runInNewContext(LAST_MATCH, run, { timeout: MATCH_MS }) as Found | null;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause;
    throw noScore(worded`--metric-regex '${regex}' finds no end in what was printed: it was stopped after ${MATCH_MS / 1000} s`);
  }
}

type Found = Pick<RegExpExecArray, 0 | 1 | 'groups'>;

/** In a context of its own: a script in this one cannot be stopped. Keeps one match, not all of them. */
const LAST_MATCH = `
  let last = null;
  for (const match of text.matchAll(new RegExp(regex, 'gm'))) last = match;
  last && { 0: last[0], 1: last[1], groups: last.groups };
`;

/** Every number of a JSON text, by its pointer (RFC 6901). */
function pointerReport(text: string, source: string): Report | null {
  const json = pythonJsonOrNone(text);
  if (json === undefined) return null;
  refuseTwice(text, source);
  const metrics: Metric[] = [];
  // The list grows while it is walked: nesting may be deeper than a stack.
  const values: [pointer: string, value: unknown][] = [['', json]];
  for (const [pointer, value] of values) {
    if (typeof value === 'number') metrics.push({ name: pointer, value, stderr: null, higherIsBetter: null });
    else if (isJsonObject(value) || Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value))
        values.push([`${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, inner]);
    }
  }
  return { source, score: null, metrics, cost: null };
}
