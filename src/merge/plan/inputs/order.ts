import { MergeError, type Warning } from '../../../base/errors.ts';
import { comparePlaces, stepCell, stepLabel } from '../../../checkpoints/run/position.ts';
import { methodByName } from '../../../recipe/schedule/methods.ts';
import type { OutputRequest } from '../types.ts';
import type { PlacedInput, PlacedInputs } from './inputs.ts';

/** Numbers that a warning gives. */
const SHOWN = 8;

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
 * checkpoint-2000, so the members of an output without explicit weights are sorted by (stage, epoch, step,
 * tokens) when every one has a step; where none has one and they are in the alphabet's order, by the number
 * in their names if those differ in nothing else. Otherwise, with explicit weights, and where the request
 * says that they are in order already, the given order stands. The order is that of the output made alone,
 * and so one order must do for all outputs.
 *
 * @throws MergeError E_ORDER when no order does for all outputs
 */
export function orderInputs({ inputs, members }: PlacedInputs, outputs: readonly OutputRequest[], ordered: boolean): Ordered {
  const numbers = numbersOfNames(inputs.map(({ checkpoint }) => checkpoint.path));
  const own = outputs.map((output, k) => ownOrder(inputs, members[k]!, output, { ordered, numbers }));
  const given = inputs.map((_, i) => i);
  const stepped = inputs.every((i) => i.step !== null);
  const sorted = stepped ? [given.toSorted(byPosition(inputs))] : numbers === null ? [] : [given.toSorted(byNumber(numbers))];
  const orders = [given, ...sorted];
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
  return comparePlaces(x, y) || (x.tokens ?? 0) - (y.tokens ?? 0);
};

const byNumber = (numbers: readonly number[]) => (a: number, b: number) => numbers[a]! - numbers[b]!;

/** The one number in which names differ, of each; null where they differ in more, or in something else. */
function numbersOfNames(paths: readonly string[]): readonly number[] | null {
  const [first, ...others] = paths.map((path) => path.split(/(\d+)/));
  if (first === undefined || others.some((parts) => parts.length !== first.length)) return null;
  const differing = first.flatMap((part, i) => (others.some((parts) => parts[i] !== part) ? [i] : []));
  const [at, another] = differing;
  // Numbers stand between what is none.
  if (at === undefined || another !== undefined || at % 2 === 0) return null;
  return [first, ...others].map((parts) => Number(parts[at]));
}

/** Whether inputs are in the order in which a shell gives the names that fit a pattern. */
function isOfPattern(paths: readonly string[]): boolean {
  const orders = [paths.toSorted(), paths.toSorted((a, b) => a.localeCompare(b, 'en'))];
  return orders.some((order) => order.every((path, i) => path === paths[i]));
}

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
  { ordered, numbers }: { readonly ordered: boolean; readonly numbers: readonly number[] | null },
): { members: readonly number[]; warnings: Warning[] } {
  if (ordered || weights !== undefined || given.length < 2) return { members: given, warnings: [] };
  const ofPattern = isOfPattern(given.map((m) => inputs[m]!.checkpoint.path));
  const unknown = given.filter((i) => inputs[i]!.step === null);
  if (unknown.length > 0) {
    if (methodByName(method)?.needs.positions === undefined) return { members: given, warnings: [] };
    const { path } = inputs[unknown[0]!]!.checkpoint;
    const unnamed = `${unknown.length} of ${given.length} inputs have no recognised step (${path})`;
    const counted = numbers !== null && unknown.length === given.length && ofPattern;
    const members = counted ? given.toSorted(byNumber(numbers)) : given;
    const message =
      members === given
        ? `${unnamed}, so the given order is taken as oldest first for ${method}; a pattern gives 100 before 20: name them one by one, or give them names such as checkpoint-100`
        : `${unnamed}: they are sorted by the number in their names, ${few(members.map((m) => numbers![m]!))}, as oldest first for ${method}; where it counts something else, give them names such as checkpoint-100`;
    return { members, warnings: [{ code: 'W_ORDER_ASSUMED', message }] };
  }
  const members = given.toSorted(byPosition(inputs));
  if (ofPattern || members.every((m, i) => m === given[i])) return { members, warnings: [] };
  const steps = few(members.map((m) => stepCell(inputs[m]!)!));
  return { members, warnings: [{ code: 'W_REORDERED', message: `the inputs were sorted by step, oldest first: ${steps}` }] };
}

/**
 * What there is to say where training goes on from the state of the newest member, and which that is was not to
 * be known: a step is missing, two are at the same one, or explicit weights keep another order.
 * @param inputs members in their order, the last of which counts as newest
 */
export function newestAssumed(inputs: readonly PlacedInput[]): Warning[] {
  const last = inputs.at(-1)!;
  const unknown = inputs.find(({ step }) => step === null);
  const later = inputs.find((input) => comparePlaces(input, last) > 0);
  const equal = inputs.find((input) => input !== last && comparePlaces(input, last) === 0 && (input.tokens ?? 0) === (last.tokens ?? 0));
  const [taken, other] = [last.checkpoint.path, (later ?? equal)?.checkpoint.path];
  const why =
    unknown !== undefined
      ? `the step of ${unknown.checkpoint.path} is not known: neither its name nor what was saved in it gives one`
      : later !== undefined
        ? `explicit weights keep the given order, though ${other} is at ${stepLabel(later)} and ${taken} at ${stepLabel(last)}`
        : `${other} and ${taken} are both at ${stepLabel(last)}`;
  if (unknown === undefined && other === undefined) return [];
  const message = `${why}; ${taken} was given last and is taken as the newest, from whose state training goes on: name the newest last`;
  return [{ code: 'W_ORDER_ASSUMED', message }];
}

function few(numbers: readonly (number | string)[]): string {
  return numbers.length > SHOWN ? `${numbers.slice(0, SHOWN - 1).join(', ')} … ${numbers.at(-1)}` : numbers.join(', ');
}
