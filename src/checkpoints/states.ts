import { join } from 'node:path';
import { MergeError, type Warning } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parsePythonJson } from '../base/json/parse.ts';
import { readExactly, storeOf } from '../base/store/store.ts';
import type { OpenFile } from '../base/store/types.ts';
import type { FolderEntries } from './containers/types.ts';
import type { LogEntry } from './types.ts';

/** What the state files of a checkpoint say. */
export interface State {
  readonly stage: number | null;
  /** Optimizer step. */
  readonly step: number | null;
  /** Tokens seen; null where the trainer did not count them. */
  readonly tokens: number | null;
  /** The file that says so, or null where there is none. */
  readonly file: string | null;
  /** The trainer will remove this checkpoint: the file that says it. */
  readonly ephemeral: string | null;
  readonly warnings: readonly Warning[];
}

const NOTHING: State = { stage: null, step: null, tokens: null, file: null, ephemeral: null, warnings: [] };

/** The one that the Trainer writes, with the log of the run so far. */
/** Lines with a loss from which on a log is one that has it in every line. */
const EVERY_LINE = 10;

const TRAINER_STATE = 'trainer_state.json';

/** Largest state file that is read whole; a log line for each of a million steps is about 200 MB. */
const MAX_STATE_BYTES = 500_000_000;

/**
 * Bytes at either end of a long trainer_state.json that are read for what stands before and after its log.
 */
const END_BYTES = 16 * 1024;

/** State files in the order in which they are believed, and how each is read. */
const FILES: readonly (readonly [name: string, read: (file: OpenFile) => Promise<Partial<State>>])[] = [
  [TRAINER_STATE, trainerState],
  ['checkpoint_metadata.json', nanotronState],
  ['metadata.json', levanterState],
  ['.metadata.json', olmoState],
];

/**
 * Step, tokens and stage from the state files of a checkpoint: `trainer_state.json` (`global_step`,
 * `num_input_tokens_seen`, of which 0 means that nobody counted), nanotron's `checkpoint_metadata.json`
 * (`last_train_step`, `consumed_tokens_total`, `last_stage_idx`), levanter's `metadata.json` (`step`), and
 * OLMo-core's `.metadata.json` (`ephemeral`). Of a long trainer_state.json only both ends are read. Never
 * throws: what cannot be read is unknown, with a warning.
 * @param entries what lies in the folder, where that is known already
 */
export async function readTrainingState(folder: string, entries?: FolderEntries): Promise<State> {
  let state: State = NOTHING;
  for (const [name, read] of FILES) {
    if (entries?.has(name) === false) continue;
    const file = join(folder, name);
    try {
      const found = await withFile(file, read, entries?.get(name));
      if (found === null) continue;
      const tells = state.file === null && (found.step != null || found.tokens != null);
      state = { ...state, ...(tells && { ...found, file }), ephemeral: state.ephemeral ?? found.ephemeral ?? null };
    } catch (error) {
      const message = `${file}: cannot be read (${(error as Error).message.replace(`${file}: `, '')})`;
      state = { ...state, warnings: [...state.warnings, { code: 'W_TRAINER_STATE', message }] };
    }
  }
  return state;
}

/** Null where there is no such file. */
async function withFile<T>(path: string, use: (file: OpenFile) => Promise<T>, known?: boolean): Promise<T | null> {
  let file: OpenFile;
  try {
    file = await storeOf(path).open(path, known);
  } catch (error) {
    if (error instanceof MergeError && error.code === 'E_NOT_FOUND') return null;
    throw error;
  }
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

async function readText(file: OpenFile, from: number, to: number): Promise<string> {
  const bytes = Buffer.allocUnsafe(to - from);
  await readExactly(file, bytes, from);
  return bytes.toString();
}

/** Empty for JSON that is no object: it says nothing. */
async function readJson(file: OpenFile): Promise<JsonObject> {
  const { size } = file.stat;
  if (size > MAX_STATE_BYTES) throw new Error(`it has ${size} bytes, and is read up to ${MAX_STATE_BYTES}`);
  const value = parsePythonJson(await readText(file, 0, size));
  return isJsonObject(value) ? value : {};
}

async function trainerState(file: OpenFile): Promise<Partial<State>> {
  const { global_step, num_input_tokens_seen } = (await endsOfTrainerState(file)) ?? (await readJson(file));
  // Trainers that do not count tokens write 0.
  return { step: wholeNumber(global_step), tokens: wholeNumber(num_input_tokens_seen) || null };
}

/**
 * `global_step` from the head and `num_input_tokens_seen` from the tail: the Trainer sorts the keys, so the
 * log, which can have megabytes, lies between them. Lines are told from those of the log by their
 * indentation. Null for a short file, and wherever the text is not laid out like that.
 */
async function endsOfTrainerState(file: OpenFile): Promise<JsonObject | null> {
  const { size } = file.stat;
  if (size <= 2 * END_BYTES) return null;
  const head = await readText(file, 0, END_BYTES);
  const [, indent, step] = /\n([ \t]+)"global_step": (\d+),?\n/.exec(head) ?? [];
  if (indent === undefined || !head.includes(`\n${indent}"log_history": [`)) return null;
  const tail = await readText(file, size - END_BYTES, size);
  const end = tail.indexOf(`\n${indent}],`);
  if (end === -1 || !tail.trimEnd().endsWith('\n}')) return null;
  const tokens = new RegExp(`\n${indent}"num_input_tokens_seen": (\\d+),?\n`).exec(tail.slice(end))?.[1];
  return { global_step: Number(step), num_input_tokens_seen: Number(tokens ?? 0) };
}

async function nanotronState(file: OpenFile): Promise<Partial<State>> {
  const { metas } = await readJson(file);
  if (!isJsonObject(metas)) return {};
  const { data_stages: stages, last_stage_idx: last, last_train_step: step, consumed_tokens_total: tokens } = metas;
  const stage = Array.isArray(stages) && stages.length > 1 ? wholeNumber(last) : null;
  return {
    step: wholeNumber(step),
    tokens: wholeNumber(tokens) || null,
    stage: stage === null ? null : stage + 1,
  };
}

async function levanterState(file: OpenFile): Promise<Partial<State>> {
  const { step, is_temporary } = await readJson(file);
  return { step: wholeNumber(step), ephemeral: is_temporary === true ? file.path : null };
}

async function olmoState(file: OpenFile): Promise<Partial<State>> {
  return { ephemeral: (await readJson(file)).ephemeral === true ? file.path : null };
}

/**
 * The training log in a checkpoint's trainer_state.json, by step; a step that was logged more than once
 * (training, evaluation) is one entry. Empty where there is none or it cannot be read:
 * {@link readTrainingState} warns of that.
 * @param folders where it may lie: the first that has one
 */
export async function readLog(folders: readonly string[]): Promise<LogEntry[]> {
  let state: JsonObject | null = null;
  for (const folder of folders) state ??= await withFile(join(folder, TRAINER_STATE), readJson).catch(() => null);
  const lines = state?.log_history;
  if (!Array.isArray(lines)) return [];
  const entries = new Map<number, LogEntry>();
  const isNaNHere = nullIsNaN();
  for (const line of lines) {
    if (!isJsonObject(line)) continue;
    const step = wholeNumber(line.step);
    const loss = isNaNHere(line) ? Number.POSITIVE_INFINITY : trainingLossOf(line);
    const learningRate = finite(line.learning_rate);
    const evalLoss = evalLossOf(line);
    const metrics = evaluatedOf(line);
    const before = step === null ? undefined : entries.get(step);
    const all = { ...before?.metrics, ...metrics };
    const hasOthers = Object.keys(metrics).length > 0;
    if (step === null || (loss === null && learningRate === null && evalLoss === null && !hasOthers)) continue;
    const evaluated = evalLoss ?? before?.evalLoss;
    entries.set(step, {
      step,
      loss: loss ?? before?.loss ?? null,
      learningRate: learningRate ?? before?.learningRate ?? null,
      ...(evaluated === undefined ? {} : { evalLoss: evaluated }),
      ...(Object.keys(all).length > 0 && { metrics: all }),
    });
  }
  return [...entries.values()].sort((a, b) => a.step - b.step);
}

/** How long an evaluation took is no metric of the model. */
const OF_TIMES = /_(runtime|samples_per_second|steps_per_second|model_preparation_time)$/;

/** What evaluations logged beside the loss: `eval_accuracy`, and losses by name where there are several. */
function evaluatedOf(line: JsonObject): Record<string, number> {
  const own = evalLossKey(line);
  const found: Record<string, number> = {};
  for (const [key, value] of Object.entries(line)) {
    const named = /^eval_/.test(key) && !OF_TIMES.test(key) && key !== own;
    const number = named ? finite(value) : null;
    if (number !== null) found[key] = number;
  }
  return found;
}

/** The Trainer's `eval_loss`; where it has a name (`eval_c4_loss`), the only one. */
function evalLossOf(line: JsonObject): number | null {
  const key = evalLossKey(line);
  return key === null ? null : lossOf(line[key]);
}

function evalLossKey(line: JsonObject): string | null {
  const named = Object.keys(line).filter((key) => /^eval_(.+_)?loss$/.test(key));
  return named.includes('eval_loss') ? 'eval_loss' : named.length === 1 ? named[0]! : null;
}

/**
 * The loss of a line. The Trainer leaves losses that are NaN out of its sum (`logging_nan_inf_filter`), so
 * that one of nothing else is logged as 0; the norm of its gradients says what it was. (That norm alone says
 * little: with FP16 a step whose gradients overflow is passed over.)
 */
function trainingLossOf({ loss, grad_norm }: JsonObject): number | null {
  return loss === 0 && isLost(grad_norm) ? Number.POSITIVE_INFINITY : lossOf(loss);
}

/**
 * Tells of the lines of a log, in their order, whether a null is NaN, as what writes strict JSON has it:
 * where a rate stands beside it and every line with a rate before had a loss. Others leave null where nothing
 * was measured.
 */
function nullIsNaN(): (line: JsonObject) => boolean {
  let measured = 0;
  let sparse = false;
  return ({ loss, learning_rate }) => {
    if (finite(learning_rate) === null) return false;
    if (loss !== null && loss !== undefined) measured++;
    else if (measured < EVERY_LINE) sparse = true;
    return loss === null && !sparse;
  };
}

/** A loss that is NaN is as bad as one that is infinite: that is how a collapse looks. */
function lossOf(value: unknown): number | null {
  return isLost(value) ? Number.POSITIVE_INFINITY : finite(value);
}

/** NaN and infinity, which some loggers write as text; transformers 5 as `{"__float__": "NaN"}`. */
function isLost(value: unknown): boolean {
  if (isJsonObject(value)) return typeof value.__float__ === 'string' && isLost(value.__float__);
  if (typeof value === 'string') return /^\+?(nan|inf|infinity)$/i.test(value);
  return Number.isNaN(value) || value === Number.POSITIVE_INFINITY;
}

function wholeNumber(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function finite(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
