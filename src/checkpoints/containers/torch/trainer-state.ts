import type { JsonObject } from '../../../base/json/parse.ts';
import { Dict, type Value } from '../pickle/values.ts';
import { countOf, itemsOf, pairs, under } from '../pickle/walk.ts';
import type { ContainedState } from '../types.ts';

/**
 * Step and tokens as a trainer keeps them beside the weights in one file: Lightning's `global_step`,
 * Composer's timestamp, and Megatron-LM's iteration, with samples times sequence length. Null where there is
 * nothing of it.
 */
export function stateInFile(root: Value, file: string): ContainedState | null {
  const stamp = under(under(root, 'state'), 'timestamp');
  const time = under(stamp, 'Timestamp') ?? stamp;
  const step = countOf(under(root, 'global_step')) ?? countOf(under(time, 'batch')) ?? null;
  const tokens = countOf(under(time, 'token'));
  if (step !== null || tokens !== null) return { step, tokens: tokens || null, file };
  const megatron = megatronState(root, file);
  return megatron.step === null && megatron.tokens === null ? null : megatron;
}

/** What Megatron-LM says of itself, in `common_state`, `common.pt` or the file of a rank. */
export function megatronState(state: Value, file: string): ContainedState {
  const args = fieldsOf(under(state, 'args'));
  const step = countOf(under(state, 'iteration')) ?? countOf(under(args, 'iteration'));
  const [samples, length] = [countOf(under(args, 'consumed_train_samples')), countOf(under(args, 'seq_length'))];
  return { step, tokens: samples === null || length === null ? null : samples * length || null, file };
}

/** Entries of arguments that are read: a trainer has some hundreds. */
const MOST_ARGUMENTS = 10_000;
/** Items of a list among them. */
const MOST_ITEMS = 1000;

/**
 * The arguments that Megatron-LM was started with, as it saves them: numbers, texts, flags and lists of them.
 * Null where there are none.
 */
export function megatronArguments(state: Value): JsonObject | null {
  const fields = fieldsOf(under(state, 'args'));
  if (!(fields instanceof Dict)) return null;
  const found: Record<string, unknown> = Object.create(null);
  let left = MOST_ARGUMENTS;
  for (const [key, value] of pairs(fields)) {
    if (left-- === 0) break;
    const plain = plainOf(value) ?? itemsOf(value)?.slice(0, MOST_ITEMS).map(plainOf);
    if (typeof key === 'string' && plain !== undefined) found[key] = plain;
  }
  return found;
}

function plainOf(value: Value): number | string | boolean | null | undefined {
  return value === null || typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean' ? value : undefined;
}

/** The attributes of an object, as `argparse.Namespace` keeps them. */
function fieldsOf(value: Value | undefined): Value | undefined {
  return typeof value === 'object' && value !== null && 'state' in value ? value.state : value;
}
