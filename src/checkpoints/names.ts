import type { Position } from './types.ts';

/**
 * What a word of a name says of the number after it. `noun`: it names a checkpoint, and stands before its
 * step, before the word for it (`checkpoint-epoch-3-step-100`) or behind it (`iter-1000-ckpt`); `epoch`:
 * counted beside the step.
 */
type Kind = 'step' | 'noun' | 'epoch' | 'stage' | 'ingredient' | 'tokens';

/**
 * The words that trainers put into names: HF Trainer, DeepSpeed, GPT-NeoX, verl, Megatron-LM, LLM360,
 * Lightning, NeMo, torchtitan, levanter, OLMo-core, Pythia, SmolLM, FineWeb, OpenCoder, Composer (`ba`,
 * `ep`).
 */
const WORDS: ReadonlyMap<string, Kind> = new Map([
  ...words('step', 'step steps globalstep iter iters iteration iterations update updates batch ba'),
  ...words('noun', 'checkpoint ckpt global pretrain anneal'),
  ...words('epoch', 'epoch ep'),
  ...words('stage', 'stage'),
  ...words('ingredient', 'ingredient'),
  ...words('tokens', 'tokens token'),
]);

/** Stages that have words for names. */
const STAGES: ReadonlyMap<string, number> = new Map([
  ['pretrain', 1],
  ['anneal', 2],
]);

/**
 * Words for the form of a checkpoint, which say nothing of its place: what converters put before and behind a
 * name (`global_step20_hf`, `hf_converted_checkpoint-20`), and folders inside a checkpoint are called
 * (`model/consolidated`); `rank0` of Composer: the rank that saves what is there once.
 */
const FORM: ReadonlySet<string> = new Set(
  'hf huggingface transformers converted export exported safetensors consolidated unsharded universal model weights actor policy bf16 fp16 fp32 rank0'.split(
    ' ',
  ),
);

/** Whole-number, glued to a word before it, a unit behind it, or both. */
const PART = /^([A-Za-z]*)(\d*)([A-Za-z]*)$/;
const TOKEN_UNITS: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 };
const STEP_UNIT = /^(?:steps?|iters?)?$/;

/** A position whose step is known. */
export type NamedPosition = Position & { readonly step: number };

/** The numbers that a name gives. */
export interface NumbersOfName extends Omit<Position, 'epoch'> {
  readonly epoch: number | null;
}

/**
 * The position that the name of a folder, or of a file without its extension, gives; null where it is the
 * name of no step (see {@link numbersFromName}). What names of one folder say together is in
 * `sibling-names.ts`.
 */
export function positionFromName(name: string): NamedPosition | null {
  const numbers = numbersFromName(name);
  if (numbers === null || numbers.step === null) return null;
  const { stage, ingredient, step, tokens } = numbers;
  return { stage, ingredient, step, tokens };
}

/**
 * What a name is about; null where that is not a checkpoint's place alone. One rule: parts between single
 * `-`, `_` or `=`, each a number with its word or a word for a form, and nothing else; so `step1000-merged`
 * and `best-100` are nobody's step 1000. A number alone is a step where it is the only one and comes first
 * (nanotron, MaxText; `1000_hf`).
 */
export function numbersFromName(name: string): NumbersOfName | null {
  const found = new Map<Kind, number>();
  let stage: number | null = null;
  /** A word whose number may follow. */
  let open: Kind | null = null;
  /** A number that no word has claimed. */
  let bare: number | null = null;
  const take = (kind: Kind, value: number | null): boolean => {
    const key = kind === 'noun' ? 'step' : kind;
    if (value === null || !Number.isSafeInteger(value) || (found.has(key) && found.get(key) !== value)) return false;
    found.set(key, value);
    open = null;
    return true;
  };
  // Lightning calls a folder of its FSDP as it calls a file.
  for (const [at, part] of name
    .replace(/\.ckpt$/, '')
    .split(/[-_=]/)
    .entries()) {
    const lower = part.toLowerCase();
    if (FORM.has(lower)) continue;
    const [, word = '', digits = '', unit = ''] = PART.exec(part) ?? [];
    const kind: Kind | undefined = word === '' ? (open ?? undefined) : WORDS.get(word.toLowerCase());
    stage = STAGES.get(lower) ?? stage;
    if (digits === '') {
      // Of two words in a row the first may only be a noun: `global_step`, `checkpoint-epoch`.
      if (word === '' || kind === undefined || (open !== null && open !== 'noun')) return null;
      if (bare !== null && kind === 'step') {
        if (!take(kind, bare)) return null;
        bare = null;
      } else open = kind;
    } else if (kind !== undefined) {
      if (!take(kind, numberOf(kind, digits, unit))) return null;
    } else if (word !== '') return null;
    else if (/^[KMBT]T$/.test(unit)) {
      if (!take('tokens', numberOf('tokens', digits, unit))) return null;
    } else if (unit !== '' && STEP_UNIT.test(unit)) {
      if (!take('step', Number(digits))) return null;
    } else if (unit === '' && at === 0) bare = Number(digits);
    else return null;
  }
  if (open !== null && open !== 'noun') return null;
  if (bare !== null) {
    if (found.size > 0 || open !== null || !Number.isSafeInteger(bare)) return null;
    found.set('step', bare);
  }
  const of = (kind: Kind): number | null => found.get(kind) ?? null;
  return { stage: stage ?? of('stage'), ingredient: of('ingredient'), step: of('step'), tokens: of('tokens'), epoch: of('epoch') };
}

/** A number with its unit; null where that is none of its kind. */
function numberOf(kind: Kind, digits: string, unit: string): number | null {
  if (kind === 'tokens') return /^[KMBT]T?$/.test(unit) ? Number(digits) * TOKEN_UNITS[unit[0]!]! : null;
  if (kind !== 'step' && kind !== 'noun') return unit === '' ? Number(digits) : null;
  if (STEP_UNIT.test(unit)) return Number(digits);
  // `step-20k`; after a noun a million may be one of parameters or tokens.
  const factor = /^k$/i.test(unit) ? 1e3 : unit === 'M' && kind === 'step' ? 1e6 : null;
  return factor === null ? null : Number(digits) * factor;
}

function words(kind: Kind, all: string): [string, Kind][] {
  return all.split(' ').map((word) => [word, kind]);
}

/**
 * Whether a name is about the form of what lies in a folder, and nothing else: `hf`, `consolidated`,
 * `hf_model`.
 */
export function isFormName(name: string): boolean {
  return name.split(/[-_]/).every((part) => FORM.has(part.toLowerCase()));
}

/** Of a save that is not complete, or never was: the checkpoint that it would be is missing. */
export const UNFINISHED_SAVE = 'temporary, by its name: a save in progress or one that was interrupted';

/** The beginning of what is said of a save that a file beside it marks as unfinished. */
export const MARKED_UNFINISHED = 'a save in progress or one that was interrupted';

/** Of the newest checkpoint once more, or of a newer one where a state file in it says so. */
export const NEWEST_AGAIN = 'a copy of the newest checkpoint, by its name';

/** Put aside by somebody: `checkpoint-1000.bak`, `checkpoint-1000 (1)`. */
export const PUT_ASIDE = 'a copy that was put aside, by its name';

/** What a name says against a folder that may hold weights all the same, first match wins. */
const LEFT_OUT: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/(^|[._-])(tmp|temp|temporary|partial|incomplete)([._-]|$)/i, UNFINISHED_SAVE],
  [/^\./, 'hidden'],
  [/(^|[._-])ema([._-]|\d|$)/i, 'an average that the trainer kept (EMA), by its name'],
  [/(^|[._-])merged?([._-]|\d|$)/i, 'a merge, by its name'],
  [/([._-](bak|backup|old|orig|copy)\d*|~|[ _-]?\(\d+\)| copy( \d+)?)$/i, PUT_ASIDE],
  [/(^|[._-])(last|latest)([._-]|$)/i, NEWEST_AGAIN],
];

/**
 * Why a folder or file of this name is no checkpoint of the run; null where the name says nothing against it.
 */
export function reasonAgainstName(name: string): string | null {
  return LEFT_OUT.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/**
 * Folders above a checkpoint in which the name of its step is looked for: `global_step_20/actor/huggingface`.
 */
export const FOLDERS_ABOVE = 3;

/** Where a path says that a checkpoint stands. */
export interface NamedPlace {
  readonly position: NamedPosition;
  /** The folder that is named by the step: the last component, or one above it. */
  readonly name: string;
  /** Components below that one. */
  readonly inner: readonly string[];
}

/**
 * The position that the nearest name of a path gives: of the folder itself, else of one above it. A number
 * alone counts there only where what lies between speaks of forms: `1000/hf`, and not `/scratch/2024/final`.
 * @param path absolute, of a folder
 */
export function placeFromPath(path: string): NamedPlace | null {
  const parts = path.split('/').filter((part) => part !== '');
  for (let above = 0; above <= FOLDERS_ABOVE && above < parts.length; above++) {
    const at = parts.length - 1 - above;
    const name = parts[at]!;
    const inner = parts.slice(at + 1);
    const position = positionFromName(name);
    if (position !== null && (!/^\d+$/.test(name) || inner.every(isFormName))) return { position, name, inner };
    // A merge inside a checkpoint is not that checkpoint.
    if (reasonAgainstName(name) !== null) return null;
  }
  return null;
}

/** The epoch that a name mentions somewhere, as `5` in `epoch_5_tmp`. */
export function epochMentioned(name: string): number | null {
  const digits = /(?:epoch|(?<![A-Za-z])ep)[-_=]?(\d{1,15})/i.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

/**
 * The step that a name mentions somewhere, as `3000` in `tmp-checkpoint-3000`: for people to look at, not to
 * order by.
 */
export function stepMentioned(name: string): number | null {
  const digits = /(?:checkpoint|step|iter(?:ation)?|ckpt)[-_=]?(\d{1,15})/i.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}
