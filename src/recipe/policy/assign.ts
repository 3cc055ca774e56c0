import { dtypeByName } from '../../base/dtype.ts';
import type { Conflict, Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { policyProblems, routerProblem, sameSelectors } from './check.ts';
import { CONVERTED, DEFAULTS, type DefaultRow } from './defaults.ts';
import { policiesOf, requestOf } from './keys.ts';
import { placeOfPolicy, policyLabel } from './label.ts';
import { type OptimizerUse, resumedTreatment } from './resumed.ts';
import { extentOf, selectorTest } from './selector.ts';
import type { Policy, PolicyRequest, PolicyTensor, Treatment } from './types.ts';
import { unusedPolicy } from './unused.ts';
import { treatmentWarnings } from './warnings.ts';

export interface AssignOptions {
  /** The members of the output, oldest first. */
  readonly members: readonly { readonly step: number | null }[];
  /** `--allow-unknown`. */
  readonly allowUnknown: boolean;
  /** Where the one member is converted, and nothing is merged: the dtype that is asked for. */
  readonly convert?: { readonly dtype: string | null } | undefined;
  /** Where the output keeps the trainer's state: what becomes of the optimizer's. */
  readonly resumed?: OptimizerUse | undefined;
}

export interface Assignment {
  /** Those that occur, and no others. */
  readonly treatments: readonly Treatment[];
  /** [tensors] index into `treatments`. */
  readonly of: Int32Array;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

/** The tensors that one policy, or the default, takes from one row of the default table. */
interface Cell {
  readonly treatment: number;
  readonly policy: number;
  readonly row: DefaultRow;
  readonly first: PolicyTensor;
  count: number;
}

/**
 * The treatment of every tensor of an output: the first policy that fits, else the first row of the default
 * table. Pure; bytes are not looked at.
 *
 * @param tensors of the layout, in its order; and those that members have beyond it
 * @returns conflicts: E_OPTION for policies that are wrong in themselves (all tensors then have their
 *   defaults), E_POLICY, E_POLICY_UNUSED, E_POLICY_SHADOWED, E_WEIGHTS, E_NO_WEIGHTS; warnings:
 *   W_UNKNOWN_NAMES, W_LEFT_OUT, W_DROPPED
 */
export function assignTreatments(tensors: readonly PolicyTensor[], request: PolicyRequest, options: AssignOptions): Assignment {
  const asked = policiesOf(request);
  const conflicts = wrongInThemselves(asked, request.router);
  const policies = conflicts.length === 0 ? asked : [];
  const extent = extentOf(tensors);
  const words = policies.map((policy, p) => (p === 0 && request.router !== undefined ? `router ${request.router}` : policyLabel(policy)));
  const tests = policies.map((policy) => selectorTest(policy, extent));
  const firstOf = firstFit(policies, tests);
  const members = policies.map((policy, p) => memberOf(policy, words[p]!, options, conflicts));

  const treatments: Treatment[] = [];
  const of = new Int32Array(tensors.length);
  // By policy (the last column: none) and row of the default table.
  const cells = policies.concat({}).map(() => new Map<DefaultRow, Cell>());
  const floats = policies.map(() => 0);
  const isState = ({ state, extra }: PolicyTensor): boolean => options.resumed !== undefined && state !== undefined && !extra;
  for (const [i, tensor] of tensors.entries()) {
    if (isState(tensor)) continue;
    const first = firstOf(tensor);
    const found = tensor.extra && policies[first]?.use !== 'drop' ? -1 : first;
    const policy = found < 0 ? policies.length : found;
    const row = defaultRow(tensor, options);
    let cell = cells[policy]!.get(row);
    if (cell === undefined) {
      const treatment = treatments.push(treatmentOf(policies[policy], found, members[policy] ?? null, row, options)) - 1;
      cell = { treatment, policy, row, first: tensor, count: 0 };
      cells[policy]!.set(row, cell);
    }
    cell.count++;
    of[i] = cell.treatment;
    if (found >= 0 && (tensor.codes || dtypeByName(tensor.dtype)!.kind === 'float')) floats[found]!++;
  }

  if (options.resumed !== undefined) stateTreatments(tensors, isState, treatments, of, options.resumed, options.members.length - 1);

  for (const [p, policy] of policies.entries()) {
    const taken = [...cells[p]!.values()];
    if (taken.length > 0) conflicts.push(...impossible(policy, words[p]!, taken, floats[p]!, treatments));
    else conflicts.push(unusedOrShadowed(policies[p]!, words, p, tensors, tests, isState));
  }
  // Adapters alone stay adapters, whatever names are allowed.
  const alone =
    options.convert === undefined &&
    policies.length === 0 &&
    tensors.every(({ role: { role } }) => role === 'lora' || role === 'optimizer');
  if (tensors.length > 0 && (alone || treatments.every(({ kind }) => kind === 'drop')))
    conflicts.push(nothingLeft(policies.length > 0, tensors));
  return { treatments, of, conflicts, warnings: treatmentWarnings(tensors, treatments, of, options.convert !== undefined) };
}

/**
 * The first policy that fits a tensor, -1 where none does. Policies of one name alone are looked up: a file of
 * weights may have one for each tensor.
 */
function firstFit(policies: readonly Policy[], tests: readonly ((tensor: PolicyTensor) => boolean)[]): (tensor: PolicyTensor) => number {
  const named = new Map<string, number>();
  const others: number[] = [];
  for (const [p, { role, layers, experts, name, stored }] of policies.entries()) {
    const alone = [role, layers, experts, stored].every((part) => part === undefined);
    if (!alone || name === undefined || /[*?]/.test(name)) others.push(p);
    else if (!named.has(name)) named.set(name, p);
  }
  return (tensor) => {
    const own = named.get(tensor.name) ?? policies.length;
    const other = others.find((p) => p >= own || tests[p]!(tensor)) ?? policies.length;
    const first = Math.min(own, other);
    return first === policies.length ? -1 : first;
  };
}

/** Adds the treatments of the trainer's state to those of the weights. */
function stateTreatments(
  tensors: readonly PolicyTensor[],
  isState: (tensor: PolicyTensor) => boolean,
  treatments: Treatment[],
  of: Int32Array,
  optimizer: OptimizerUse,
  newest: number,
): void {
  const known = new Map<string, number>();
  for (const [i, tensor] of tensors.entries()) {
    if (!isState(tensor)) continue;
    const { weight } = tensor.state!;
    const treatment = resumedTreatment(tensor, weight === null ? null : treatments[of[weight]!]!, optimizer, newest);
    const key = JSON.stringify(treatment);
    const at = known.get(key) ?? treatments.push(treatment) - 1;
    known.set(key, at);
    of[i] = at;
  }
}

/** The row of the default table that a tensor is in. */
function defaultRow(tensor: PolicyTensor, { allowUnknown, convert }: AssignOptions): DefaultRow {
  if (convert !== undefined && CONVERTED.fits(tensor, true)) {
    const { dtype } = convert;
    const { role } = tensor.role;
    const scale = role === 'quant_scale' || role === 'quant_meta';
    // Of quantised weights it is the values that are to have another dtype.
    const float = tensor.codes === true || scale || dtypeByName(tensor.dtype)!.kind === 'float';
    if (dtype === null || !float || (tensor.dtype === dtype && !scale)) return CONVERTED;
  }
  return DEFAULTS.find((candidate) => candidate.fits(tensor, allowUnknown || convert !== undefined))!;
}

function wrongInThemselves(policies: readonly Policy[], router: PolicyRequest['router']): Conflict[] {
  const wrong = router === undefined ? null : routerProblem(router);
  const problems = policies.flatMap((policy) => policyProblems(policy).map(({ message }) => `${policyLabel(policy)}: ${message}`));
  return [...(wrong === null ? [] : [wrong.message]), ...problems, ...sameSelectors(policies).map(({ message }) => message)].map(
    (message) => ({ code: 'E_OPTION', message }),
  );
}

/**
 * The one member whose values a policy takes; null where it takes those of none, or of one that is not there.
 */
function memberOf(policy: Policy, about: string, { members }: AssignOptions, conflicts: Conflict[]): number | null {
  const { use, weights } = policy;
  if (weights !== undefined && weights.length !== members.length) {
    const place = placeOfPolicy(policy);
    // All lists of a file are of one length: that is told once.
    const who = place === undefined ? `${about} has` : `${place.file}: each entry has`;
    const message = `${who} ${counted(weights.length, 'weight')} for ${counted(members.length, 'member')}`;
    if (conflicts.some((conflict) => conflict.message === message)) return null;
    conflicts.push({ code: 'E_WEIGHTS', message, ...(place !== undefined && { file: place.file }) });
  }
  if (use === 'newest') return members.length - 1;
  if (use === 'oldest') return 0;
  if (typeof use !== 'number') return null;
  const at = members.flatMap(({ step }, m) => (step === use ? [m] : []));
  if (at.length === 1) return at[0]!;
  const steps = [...new Set(members.flatMap(({ step }) => step ?? []))];
  const why =
    at.length > 1
      ? `${at.length} members are at step ${use}, and a policy takes one`
      : steps.length === 0
        ? `no member's step is known`
        : `no member is at step ${use}: they are at ${nearest(steps, use)}`;
  conflicts.push({ code: 'E_POLICY', message: `${about}: ${why}` });
  return null;
}

/** All steps where they are few, else those around one. */
function nearest(steps: readonly number[], step: number): string {
  const shown = steps.toSorted((a, b) => Math.abs(a - step) - Math.abs(b - step)).slice(0, 8);
  return `${shown.sort((a, b) => a - b).join(', ')}${steps.length > shown.length ? ` (of ${steps.length})` : ''}`;
}

function treatmentOf(
  policy: Policy | undefined,
  index: number,
  member: number | null,
  row: DefaultRow,
  { members }: AssignOptions,
): Treatment {
  const own = policy === undefined ? null : requestOf(policy);
  // A list that does not fit the members is told already.
  const request = own?.weights !== undefined && own.weights.length !== members.length ? {} : own;
  const use = policy?.use ?? (request === null ? undefined : 'average');
  const kind = kindOf(use, row);
  return {
    kind,
    member: kind !== 'member' ? null : use === undefined ? members.length - 1 : member,
    request: kind === 'average' ? request : null,
    unequal: kind !== 'equal' ? null : use === undefined ? row.unequal! : 'E_NOT_EQUAL',
    dtype: policy?.dtype ?? keptDtype(kind, row),
    policy: policy === undefined ? null : index,
    default: row.name,
  };
}

function keptDtype(kind: Treatment['kind'], { keepsDtype }: DefaultRow): Treatment['dtype'] {
  if (keepsDtype === 'unless-wider' && kind !== 'equal') return 'stored-or-wider';
  return keepsDtype || kind === 'equal' ? 'stored' : null;
}

function kindOf(use: Policy['use'], row: DefaultRow): Treatment['kind'] {
  if (use === undefined) return row.kind;
  // A scale follows its weight in everything but being there without it.
  if (row.kind === 'with-weight' && use !== 'drop') return 'with-weight';
  return use === 'average' || use === 'equal' || use === 'drop' ? use : 'member';
}

/** What a policy asks of tensors that do not allow it. */
function impossible(policy: Policy, about: string, taken: readonly Cell[], floats: number, treatments: readonly Treatment[]): Conflict[] {
  if (taken.every(({ row }) => row.kind === 'with-weight')) {
    const { name } = taken[0]!.first;
    return [{ code: 'E_POLICY', message: `${about} is about scales alone (${name}): ${taken[0]!.row.never}, so name those`, tensor: name }];
  }
  const mayNot = ({ never, unlessNamed }: DefaultRow, { dtype }: PolicyTensor) =>
    never !== undefined && !(unlessNamed && namesLeaf(policy) && dtypeByName(dtype)!.kind === 'float');
  const averaged = taken.filter(({ treatment, row, first }) => treatments[treatment]!.kind === 'average' && mayNot(row, first));
  const conflicts = averaged.map(({ row, first, count }): Conflict => {
    const which = `${counted(count, 'tensor')} (${count === 1 ? '' : 'the first is '}${first.name}, ${first.dtype})`;
    const instead = `name=${first.name}:use=${row.kind === 'equal' ? 'equal' : 'newest'}`;
    const message = `${about} averages ${which}, and ${row.never}: before it put a policy that takes ${count === 1 ? 'it' : 'them'}, as '${instead}'`;
    // By the last part of the name, and not by an ending of it, a user says what it is.
    const named = row.unlessNamed && !namesLeaf(policy) && dtypeByName(first.dtype)!.kind === 'float';
    const way = `; where they are weights all the same, end the policy's name with the whole last part of theirs, as 'name=${anyLayer(first.name)}:use=average'`;
    return { code: 'E_POLICY', message: named ? message + way : message, tensor: first.name };
  });
  if (policy.dtype !== undefined && floats === 0) {
    const { name, dtype } = taken[0]!.first;
    conflicts.push({
      code: 'E_POLICY',
      message: `${about} gives a dtype to tensors that are no floats (${name} is ${dtype})`,
      tensor: name,
    });
  }
  return conflicts;
}

const anyLayer = (name: string) => name.replace(/(?<=\.)\d+(?=\.)/g, '*');

/** Whether a policy names tensors by the last part of their names, as `name=model.layers.*.freqs`. */
function namesLeaf({ name }: Policy): boolean {
  return name !== undefined && /(?:^|\.)[^.*?]+$/.test(name);
}

function unusedOrShadowed(
  policy: Policy,
  words: readonly string[],
  p: number,
  tensors: readonly PolicyTensor[],
  tests: readonly ((tensor: PolicyTensor) => boolean)[],
  isState: (tensor: PolicyTensor) => boolean,
): Conflict {
  const possible = tensors.filter((tensor) => !isState(tensor) && (!tensor.extra || policy.use === 'drop'));
  const state = tensors.find((tensor) => isState(tensor) && tests[p]!(tensor));
  if (state !== undefined && !possible.some(tests[p]!)) {
    const message = worded`${words[p]} is about the state of the trainer alone (${state.name}), which goes where its weight goes and as --optimizer says`;
    return { code: 'E_POLICY', message, tensor: state.name };
  }
  const fitting = possible.filter(tests[p]!);
  if (fitting.length === 0) return unusedPolicy(policy, words[p]!, possible, extentOf(possible));
  const before = [...new Set(fitting.map((tensor) => tests.findIndex((test) => test(tensor))))].map((b) => words[b]!);
  const message = `${words[p]} never applies: ${before.join(' and ')} before it ${before.length === 1 ? 'takes' : 'take'} all of its ${counted(fitting.length, 'tensor')}`;
  return { code: 'E_POLICY_SHADOWED', message };
}

function nothingLeft(byPolicy: boolean, tensors: readonly PolicyTensor[]): Conflict {
  const all = `all ${counted(tensors.length, 'tensor')}`;
  if (byPolicy) return { code: 'E_POLICY', message: `nothing is left: policies and defaults drop ${all}` };
  if (tensors.every(({ role: { role }, apart }) => role === 'optimizer' || apart === true)) {
    const message = `${all} are the optimizer's and the trainer's state, which is left out of merges`;
    const help =
      'Name the checkpoint that holds the weights: of the folder of an optimizer (optimizer_0) that is the folder of the step around it.';
    return { code: 'E_NO_WEIGHTS', message, help };
  }
  return { code: 'E_NO_WEIGHTS', message: `${all} are adapters (LoRA and its kin) or optimizer states, which are left out of merges` };
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
