import { realpath } from 'node:fs/promises';
import { basename, dirname, join, parse, resolve } from 'node:path';
import type { Warning } from '../errors.ts';
import { openRegular, readExactly } from '../safetensors/read-file.ts';

/** How far training was when a checkpoint was saved. */
export interface Progress {
  /** Optimizer step. */
  readonly step: number | null;
  /** Tokens seen. */
  readonly tokens: number | null;
}

const UNKNOWN: Progress = { step: null, tokens: null };

/** Largest trainer_state.json that is read; a log line for each of a million steps is about 200 MB. */
const MAX_STATE_BYTES = 500_000_000;

/**
 * Names that trainers give to the checkpoints of a run, first match wins. All are anchored at both ends, so that `step1000-merged` or `best-100` are
 * nobody's step 1000. Groups: step, tokens, unit of tokens.
 */
const NAME_PATTERNS: readonly RegExp[] = [
  /^checkpoint[-_](?<step>\d+)(?:step)?$/, // HF Trainer, accelerate, axolotl, TRL
  /^(?:stage\d+-)?(?:ingredient\d+-)?step(?<step>\d+)-tokens(?<tokens>\d+)(?<unit>[KMBT])$/, // OLMo revisions
  /^step-(?<step>\d+)-(?<tokens>\d+)(?<unit>[KMBT])T$/, // step-001000-2BT
  /^(?:global_?)?step[-_]?(?<step>\d+)$/, // torchtitan, levanter, OLMo-core, Pythia, DeepSpeed, verl
  /^(?:pretrain_|anneal_)?iter(?:ation)?[-_](?<step>\d+)$/, // Megatron-LM
  /^epoch=\d+-step=(?<step>\d+)$/, // Lightning
  /^(?<step>\d+)$/, // nanotron, MaxText
];

const TOKEN_UNITS: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 };

/** What the name of a folder, or of a file without its extension, says. */
export function progressFromName(name: string): Progress {
  for (const pattern of NAME_PATTERNS) {
    const groups = pattern.exec(name)?.groups;
    if (groups === undefined) continue;
    const step = Number(groups.step);
    if (!Number.isSafeInteger(step)) return UNKNOWN;
    const tokens = groups.tokens === undefined ? null : Number(groups.tokens) * TOKEN_UNITS[groups.unit!]!;
    return { step, tokens };
  }
  return UNKNOWN;
}

/**
 * Step and tokens of a checkpoint, from trainer_state.json (`global_step`, `num_input_tokens_seen`) and, for what that does not say, from the name of
 * the folder or file. A `model.safetensors` is taken for its folder. Never throws: what cannot be read is unknown, with a warning.
 */
export async function readStep(path: string, isFolder: boolean): Promise<Progress & { readonly warnings: readonly Warning[] }> {
  const named = isFolder ? null : progressFromName(parse(path).name);
  const folder = isFolder ? path : dirname(path);
  if (named !== null && (named.step !== null || basename(path) !== 'model.safetensors')) return { ...named, warnings: [] };
  const fromName = await progressOfFolder(folder);
  const file = join(folder, 'trainer_state.json');
  const warn = (problem: string): Warning[] => [{ code: 'W_TRAINER_STATE', message: `${file}: ${problem}` }];
  let state: Progress | null;
  try {
    state = await readTrainerState(file);
  } catch (error) {
    return { ...fromName, warnings: warn(`cannot be read (${(error as Error).message.replace(`${file}: `, '')})`) };
  }
  if (state === null) return { ...fromName, warnings: [] };
  const differs = state.step !== null && fromName.step !== null && state.step !== fromName.step;
  return {
    step: state.step ?? fromName.step,
    tokens: state.tokens ?? fromName.tokens,
    warnings: differs ? warn(`says step ${state.step}, the folder's name says ${fromName.step}; the file is believed`) : [],
  };
}

/** By its own name, else by the name of what it links to (`latest` often links to `checkpoint-1000`). */
async function progressOfFolder(folder: string): Promise<Progress> {
  const named = progressFromName(basename(resolve(folder)));
  return named.step === null ? progressFromName(basename(await realpath(folder).catch(() => folder))) : named;
}

/** Null where there is no such file. */
async function readTrainerState(file: string): Promise<Progress | null> {
  let opened: Awaited<ReturnType<typeof openRegular>>;
  try {
    opened = await openRegular(file);
  } catch (error) {
    if ((error as { code?: string }).code === 'E_NOT_FOUND') return null;
    throw error;
  }
  try {
    if (opened.stat.size > MAX_STATE_BYTES) throw new Error(`it has ${opened.stat.size} bytes`);
    const bytes = Buffer.allocUnsafe(opened.stat.size);
    await readExactly(opened.handle, file, bytes, 0);
    const state = JSON.parse(bytes.toString()) as { global_step?: unknown; num_input_tokens_seen?: unknown } | null;
    const tokens = wholeNumber(state?.num_input_tokens_seen);
    // Trainers that do not count tokens write 0.
    return { step: wholeNumber(state?.global_step), tokens: tokens === 0 ? null : tokens };
  } finally {
    await opened.handle.close();
  }
}

function wholeNumber(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
