import type { Value } from '../pickle/values.ts';
import { countOf, under } from '../pickle/walk.ts';
import type { ZipEntry } from '../zip/read-zip.ts';
import type { Region } from '../zip/region.ts';
import { placeInStorage } from './archive.ts';
import { tensorOf } from './tensor.ts';

/** What loops of training call their step in what they save, the plainest first. */
const STEP = ['global_step', 'step', 'iteration', 'iter', 'num_steps', 'iter_num'] as const;
/** Under which one key their whole state may stand, or that of the loop. An optimizer's or a schedule's is none of them. */
const AROUND = [
  ...['app', 'train_state', 'training_state', 'trainer_state', 'trainer', 'training', 'train', 'state', 'progress', 'train_progress'],
  ...['run_state', 'counters', 'loop', 'meta', 'metadata', 'extra', 'extra_state', 'info'],
] as const;

/** Where a step is looked for, in this order: keys from the outermost. */
const PLACES: readonly (readonly string[])[] = [
  ...STEP.map((key) => [key]),
  ...AROUND.flatMap((around) => STEP.map((key) => [around, key])),
];
const RANK: ReadonlyMap<string, number> = new Map(PLACES.map((keys, i) => [keys.join('.'), i]));

/**
 * Which of some flat names, keys joined by points, is the step of a loop: its index, and -1 where none is.
 */
export function statedStepAmong(names: readonly string[]): { readonly at: number; readonly rank: number } {
  let best = { at: -1, rank: Number.POSITIVE_INFINITY };
  for (const [at, name] of names.entries()) {
    const rank = RANK.get(name);
    if (rank !== undefined && rank < best.rank) best = { at, rank };
  }
  return best;
}

/** What a loop counts and measures, as the last word of a key: `best_val_loss`, `val_acc1`, `tokens_seen`. */
const MEASURED =
  /(?:^|_)(?:(?:global_)?steps?|iter(?:ation)?s?|iter_num|epochs?|(?:tokens|samples|examples|batches)(?:_seen)?|loss(?:es)?|acc(?:uracy)?\d*|ppl|perplexity|metric|score|best|lr|learning_rate)$/;
const OF_LOOP = new RegExp(`^(?:(?:${AROUND.join('|')})\\.)?([^.]{1,64})$`);

/**
 * Whether a tensor of a state with more than a model in it is what its loop counts or measures, as its step or
 * the best loss so far, and no weight.
 */
export function isOfLoop(name: string, shape: readonly number[]): boolean {
  if (shape.some((size) => size !== 1)) return false;
  return MEASURED.test(OF_LOOP.exec(name)?.[1] ?? '');
}

/**
 * The step of its loop that a file of torch.save holds under a key that says so: a whole number, or a tensor of
 * one element. Null where there is none, or its bytes cannot be read.
 */
export async function statedStep(root: Value, region: Region, storages: ReadonlyMap<string, ZipEntry>): Promise<number | null> {
  for (const keys of PLACES) {
    const value = keys.reduce<Value | undefined>(under, root);
    const step = value === undefined ? null : await storedCount(value, region, storages);
    if (step !== null) return step;
  }
  return null;
}

/** A whole number of at least 0, as it is or as the only element of a tensor; null for anything else. */
export async function storedCount(value: Value, region: Region, storages: ReadonlyMap<string, ZipEntry>): Promise<number | null> {
  const tensor = tensorOf(value);
  if (tensor === null) return countOf(value);
  if ('refused' in tensor || tensor.shape.some((size) => size !== 1)) return null;
  const placed = placeInStorage(tensor, storages);
  if ('refused' in placed) return null;
  const bytes = await region.bytes(placed.at, placed.dtype.bits / 8).catch(() => null);
  return bytes === null ? null : countOf(numberOf(placed.dtype.name, bytes));
}

function numberOf(dtype: string, bytes: Buffer): number {
  if (dtype === 'I64') return Number(bytes.readBigInt64LE());
  if (dtype === 'I32') return bytes.readInt32LE();
  if (dtype === 'F32') return bytes.readFloatLE();
  return dtype === 'F64' ? bytes.readDoubleLE() : Number.NaN;
}
