import { MergeError, type Warning } from '../../../base/errors.ts';
import { methodByName } from '../../../recipe/schedule/methods.ts';
import type { OutputRequest } from '../types.ts';
import type { PlacedInput, PlacedInputs } from './inputs.ts';

/**
 * The members of a plan, oldest first, and for each output its own among them, with what there is to say of
 * their order.
 */
export interface Ordered {
  readonly inputs: readonly PlacedInput[];
  readonly outputs: readonly { readonly members: readonly number[]; readonly warnings: readonly Warning[] }[];
}

/**
 * Puts inputs into the order of the sum, oldest first. A shell glob sorts checkpoint-10000 before
 * checkpoint-2000, so the members of an output without explicit weights are sorted by (stage, step, tokens)
 * when every one has a step; otherwise, with explicit weights, and where the request says that they are in
 * order already, the given order stands. The order is that of the output made alone, and so one order must do
 * for all outputs.
 *
 * @throws MergeError E_ORDER when no order does for all outputs
 */
export function orderInputs({ inputs, members }: PlacedInputs, outputs: readonly OutputRequest[], ordered: boolean): Ordered {
  const own = outputs.map((output, k) => ownOrder(inputs, members[k]!, output, ordered));
  const given = inputs.map((_, i) => i);
  const orders = inputs.every((i) => i.step !== null) ? [given, given.toSorted(byPosition(inputs))] : [given];
  const order = orders.find((candidate) => own.every(({ members: wanted }) => isIn(candidate, wanted)));
  if (order === undefined) {
    throw new MergeError('E_ORDER', 'the outputs need their members in different orders, so one read cannot serve them all', {
      help: 'Name the inputs by step, oldest first (explicit weights keep the given order), or make the outputs one by one.',
    });
  }
  const place = new Map(order.map((input, position) => [input, position]));
  return {
    inputs: order.map((i) => inputs[i]!),
    outputs: own.map((o) => ({ members: o.members.map((i) => place.get(i)!), warnings: o.warnings })),
  };
}

const byPosition = (inputs: readonly PlacedInput[]) => (a: number, b: number) => {
  const [x, y] = [inputs[a]!, inputs[b]!];
  return (x.stage ?? -1) - (y.stage ?? -1) || x.step! - y.step! || (x.tokens ?? 0) - (y.tokens ?? 0);
};

/** Whether `wanted` are in this order within `order`. */
function isIn(order: readonly number[], wanted: readonly number[]): boolean {
  const set = new Set(wanted);
  return order.filter((i) => set.has(i)).every((i, at) => i === wanted[at]);
}

/** The order that an output made alone would have. */
function ownOrder(
  inputs: readonly PlacedInput[],
  given: readonly number[],
  { weights, method = 'sma' }: OutputRequest,
  ordered: boolean,
): { members: readonly number[]; warnings: Warning[] } {
  if (ordered || weights !== undefined || given.length < 2) return { members: given, warnings: [] };
  const unknown = given.filter((i) => inputs[i]!.step === null);
  if (unknown.length > 0) {
    if (methodByName(method)?.needs.positions === undefined) return { members: given, warnings: [] };
    const { path } = inputs[unknown[0]!]!.checkpoint;
    const message = `${unknown.length} of ${given.length} inputs have no recognised step (${path}), so the given order is taken as oldest first for ${method}; a pattern gives 100 before 20: name them one by one, or give them names such as checkpoint-100`;
    return { members: given, warnings: [{ code: 'W_ORDER_ASSUMED', message }] };
  }
  const members = given.toSorted(byPosition(inputs));
  if (members.every((m, i) => m === given[i])) return { members, warnings: [] };
  const steps = members.map((m) => inputs[m]!.step).join(', ');
  return { members, warnings: [{ code: 'W_REORDERED', message: `the inputs were sorted by step, oldest first: ${steps}` }] };
}
