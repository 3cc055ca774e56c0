import { type Conflict, MergeError } from '../../base/errors.ts';
import { refuse } from '../../base/problems.ts';
import { fileLines } from '../../base/store/file-lines.ts';
import { storeOf } from '../../base/store/store.ts';
import type { Run, RunCheckpoint } from './types.ts';

/** Metrics by step: what somebody logged beside the checkpoints. */
export type LoggedMetrics = ReadonlyMap<number, Readonly<Record<string, number>>>;

/** Bytes of a line; of a longer one nothing is a log. */
const LONGEST_LINE = 2 ** 20;
/** Lines before which a training log has said something. */
const PATIENCE = 100_000;
const MOST_COLUMNS = 200;
const MOST_PROBLEMS = 20;

/** `iteration     1000/   20000 | consumed samples: … | lm loss: 2.103E+00 | …` of Megatron-LM. */
const MEGATRON = /\biteration\s+(\d+)\/\s*\d+ \|/;
/** `validation loss at iteration 1000 on validation set | lm loss value: 2.1E+00 | lm loss PPL: 8.2E+00 |`. */
const MEGATRON_EVALUATION = /\b(validation|test) loss at iteration (\d+)[^|]*\|/;
/** `step: 10  loss:  3.2113  grad_norm: 1.2  memory: …` of torchtitan, with colours left out. */
const TORCHTITAN = /\b(validate )?step:\s*(\d+)\s+(?=\w+:)/;
/** Of what a trainer logs at each step that is worth a column beside a checkpoint. */
const SHOWN = /loss|ppl|perplexity|grad|norm|accuracy|acc\b/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours of a terminal are in what was caught from one
const COLOURS = /\u001b\[[0-9;]*m/g;

/**
 * Reads metrics by step from a CSV with a column `step` (or `iteration`) and any columns of numbers, or from what
 * Megatron-LM or torchtitan printed. Of a step that a log has twice, as after a restart, the last counts.
 * @throws MergeError E_METRICS_FILE for what is neither, and with every cell of a CSV that is no number; E_NOT_FOUND,
 *   E_NOT_READABLE
 */
export async function readMetricsFile(path: string): Promise<LoggedMetrics> {
  const file = await storeOf(path).open(path);
  const unusable = (message: string, help?: string) =>
    new MergeError('E_METRICS_FILE', `${path}: ${message}`, { details: { file: path }, ...(help !== undefined && { help }) });
  try {
    let table: CsvTable | null = null;
    const log = new Map<number, Record<string, number>>();
    let number = 0;
    for await (const line of fileLines(file, LONGEST_LINE)) {
      number++;
      if (number === 1 && isHead(line)) table = new CsvTable(path, line);
      else if (table !== null) table.add(line, number);
      else {
        const logged = fromLog(line.replace(COLOURS, ''));
        if (logged !== null) log.set(logged.step, { ...log.get(logged.step), ...logged.metrics });
        if (log.size === 0 && number > PATIENCE) break;
      }
    }
    if (table !== null) return table.end();
    if (log.size > 0) return log;
    throw unusable(
      number === 0 ? 'it is empty' : 'it is neither a CSV with a column of steps nor a log of Megatron-LM or torchtitan',
      'A CSV has a first line such as step,eval_loss,mmlu.',
    );
  } finally {
    await file.close();
  }
}

/** Each checkpoint with what was logged since the one before it, the newest of each metric. */
export function withMetrics(run: Run, metrics: LoggedMetrics): Run {
  const steps = [...metrics.keys()].sort((a, b) => a - b);
  let at = 0;
  let known: Record<string, number> = {};
  const checkpoints = run.checkpoints.map((checkpoint, i): RunCheckpoint => {
    const { step } = checkpoint;
    if (step === null) return checkpoint;
    const before = run.checkpoints[i - 1]?.step ?? -1;
    // A stage counts its steps anew.
    if (before >= step) [at, known] = [0, {}];
    known = {};
    for (; at < steps.length && steps[at]! <= step; at++) if (steps[at]! > before) Object.assign(known, metrics.get(steps[at]!));
    return { ...checkpoint, metrics: { ...checkpoint.metrics, ...known } };
  });
  return { ...run, checkpoints };
}

function isHead(line: string): boolean {
  const names = fields(line).map((name) => name.toLowerCase());
  return names.length > 1 && names.some((name) => name === 'step' || name === 'iteration');
}

/** Of a line of RFC 4180 without line ends in its fields. */
function fields(line: string): string[] {
  const found: string[] = [];
  for (const [, quoted, plain] of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    found.push((quoted?.replaceAll('""', '"') ?? plain ?? '').trim());
  return found;
}

class CsvTable {
  readonly #path: string;
  readonly #names: readonly string[];
  readonly #step: number;
  readonly #rows = new Map<number, Record<string, number>>();
  readonly #problems: Conflict[] = [];

  /** @throws MergeError E_METRICS_FILE where two columns have one name, or there are very many */
  constructor(path: string, head: string) {
    this.#path = path;
    this.#names = fields(head.replace(/^\ufeff/, ''));
    const lower = this.#names.map((name) => name.toLowerCase());
    this.#step = lower.includes('step') ? lower.indexOf('step') : lower.indexOf('iteration');
    const twice = this.#names.find((name, i) => this.#names.indexOf(name) < i);
    const wrong =
      twice !== undefined
        ? `names the column ${twice} twice`
        : this.#names.length > MOST_COLUMNS
          ? `has ${this.#names.length} columns`
          : null;
    if (wrong !== null) throw new MergeError('E_METRICS_FILE', `${path}: line 1 ${wrong}`, { details: { file: path } });
  }

  add(line: string, number: number): void {
    if (line.trim() === '' || this.#problems.length >= MOST_PROBLEMS) return;
    const cells = fields(line);
    const problem = (message: string): void => {
      this.#problems.push({ code: 'E_METRICS_FILE', message: `${this.#path}: line ${number}: ${message}`, file: this.#path });
    };
    const step = Number(cells[this.#step] || Number.NaN);
    if (cells.length !== this.#names.length) {
      problem(`it has ${cells.length} fields, and the first line ${this.#names.length}`);
      return;
    }
    if (!Number.isSafeInteger(step) || step < 0) {
      problem(`'${cells[this.#step]}' is no step`);
      return;
    }
    const row: Record<string, number> = {};
    for (const [i, name] of this.#names.entries()) {
      const text = cells[i]!;
      // A metric that was not measured at this step.
      if (i === this.#step || name === '' || text === '') continue;
      const value = /^[+-]?(nan|inf(inity)?)$/i.test(text) ? Number.NaN : Number(text);
      if (Number.isNaN(value) && !/^[+-]?(nan|inf)/i.test(text)) problem(`${name}: '${text}' is no number`);
      else row[name] = value;
    }
    const before = this.#rows.get(step);
    for (const [name, value] of Object.entries(row)) {
      if (before?.[name] !== undefined && !Object.is(before[name], value))
        problem(`step ${step} is there twice, with ${name} ${before[name]} and ${value}`);
    }
    this.#rows.set(step, { ...before, ...row });
  }

  /** @throws MergeError E_METRICS_FILE with all that is wrong */
  end(): LoggedMetrics {
    refuse(this.#problems, { several: (count) => `${this.#path}: ${count} lines cannot be used` });
    if (this.#rows.size === 0)
      throw new MergeError('E_METRICS_FILE', `${this.#path}: it has a first line and no other`, { details: { file: this.#path } });
    return this.#rows;
  }
}

/** What a line of a training log says; null where it is none of these. */
function fromLog(line: string): { readonly step: number; readonly metrics: Record<string, number> } | null {
  const evaluation = MEGATRON_EVALUATION.exec(line);
  if (evaluation !== null)
    return {
      step: Number(evaluation[2]),
      metrics: pairs(line.slice(evaluation[0].length - 1), /\|\s*([^|:]+?)(?: value)?:\s*([^|\s]+)\s*(?=\|)/g, `${evaluation[1]} `),
    };
  const training = MEGATRON.exec(line);
  if (training !== null)
    return { step: Number(training[1]), metrics: pairs(line.slice(training.index), /\|\s*([^|:]+?):\s*([^|\s]+)\s*(?=\|)/g) };
  const titan = TORCHTITAN.exec(line);
  if (titan === null) return null;
  return {
    step: Number(titan[2]),
    metrics: pairs(line.slice(titan.index + titan[0].length), /(\w+):\s*([^\s]+)/g, titan[1] === undefined ? '' : 'validation '),
  };
}

function pairs(text: string, pattern: RegExp, prefix = ''): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [, name, value] of text.matchAll(pattern)) {
    const number = Number(value!.replaceAll(',', ''));
    if (SHOWN.test(name!) && !Number.isNaN(number)) found[`${prefix}${name}`] = number;
  }
  return found;
}
