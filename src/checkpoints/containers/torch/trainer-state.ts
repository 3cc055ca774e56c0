import type { Value } from '../pickle/values.ts';
import { countOf, under } from '../pickle/walk.ts';
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

/** The attributes of an object, as `argparse.Namespace` keeps them. */
function fieldsOf(value: Value | undefined): Value | undefined {
  return typeof value === 'object' && value !== null && 'state' in value ? value.state : value;
}
