import { SECTION_WORDS } from '../../checkpoints/tensors/section.ts';
import type { Role } from '../../model/roles/types.ts';
import { roleWords } from '../../model/roles/words.ts';
import type { ResolvedWeights } from '../schedule/types.ts';
import { roleOf } from './roles.ts';
import { policyText } from './text.ts';
import type { Policy, PolicyTensor, Treatment } from './types.ts';

/** What was done with the tensors of one role in one output. */
export interface TreatmentRow {
  /** That of the weight for a scale; null where the name is unknown. */
  readonly role: Role | null;
  /** Whether they belong to multi-token prediction. */
  readonly mtp: boolean;
  /**
   * Which part of the trainer's state: `training state` where it is not the optimizer's, and parts of the
   * optimizer's where the output keeps them; absent for weights, and for an optimizer's state that is left
   * out.
   */
  readonly state?: string | undefined;
  readonly tensors: number;
  /** As the layout stores them. */
  readonly bytes: number;
  /** In words, as `average, ema, alpha 0.2`. */
  readonly treatment: string;
  /** The policy that decided, as the command line takes it; null where the default did. */
  readonly policy: string | null;
}

/** What a row is about, for people: a role, or a part of the trainer's state. */
export function rowName({ role, mtp, state }: Pick<TreatmentRow, 'role' | 'mtp' | 'state'>): string {
  if (state !== undefined) return role === 'optimizer' && state !== SECTION_WORDS.blob ? `optimizer: ${state}` : state;
  return `${role === null ? 'unknown' : roleWords(role)}${mtp ? ' (mtp)' : ''}`;
}

/** Names of values that a row shows. */
const SHOWN = 6;

/** A row of values that are no tensors, as the newest member has them. @param bytes of all that they lie in */
export function valuesRow(state: string, names: readonly string[], bytes: number): TreatmentRow {
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  const treatment = `of the newest: ${names.slice(0, SHOWN).join(', ')}${more}`;
  return { role: null, mtp: false, state, tensors: names.length, bytes, treatment, policy: null };
}

/** What the words of a treatment are taken from. */
export interface TreatedOutput {
  readonly treatments: readonly Treatment[];
  /** [tensors] index into `treatments`. */
  readonly of: Int32Array;
  /** [treatments] weights of their own, else null. */
  readonly own: readonly (ResolvedWeights | null)[];
  readonly schedule: ResolvedWeights;
  readonly policies: readonly Policy[];
  /** Whether a tensor is made from the float32 master that the optimizer keeps of it; none where absent. */
  readonly fromMaster?: ((tensor: number) => boolean) | undefined;
  /** Oldest first. */
  readonly members: readonly { readonly step: number | null }[];
}

/** One row for each role and treatment, in the order in which the layout has them. */
export function treatmentTable(tensors: readonly PolicyTensor[], output: TreatedOutput): TreatmentRow[] {
  const words = output.treatments.map((treatment, t) => treatmentWords(treatment, output.own[t] ?? output.schedule, output.members));
  const policies = output.policies.map(policyText);
  const rows = new Map<string, { -readonly [Key in keyof TreatmentRow]: TreatmentRow[Key] }>();
  // Neighbours mostly are of one row.
  let last:
    | { readonly of: PolicyTensor; readonly t: number; readonly master: boolean; readonly row: { tensors: number; bytes: number } }
    | undefined;
  for (const [i, tensor] of tensors.entries()) {
    const { role: tensorRole, bytes, state: own } = tensor;
    const t = output.of[i]!;
    const master = output.fromMaster?.(i) === true;
    if (last !== undefined && last.t === t && last.master === master && own === last.of.state && sameRole(tensorRole, last.of.role)) {
      last.row.tensors++;
      last.row.bytes += bytes;
      continue;
    }
    const { policy, default: default_ } = output.treatments[t]!;
    const state = own === undefined ? undefined : stateWords(own, default_ === 'state');
    const role = roleOf(tensorRole);
    const treatment = master ? `${words[t]}, of the float32 masters` : words[t]!;
    const key = `${role} ${state} ${tensorRole.mtp} ${policy} ${treatment}`;
    let row = rows.get(key);
    if (row === undefined) {
      row = {
        role,
        mtp: tensorRole.mtp,
        ...(state !== undefined && { state }),
        tensors: 0,
        bytes: 0,
        treatment,
        policy: policy === null ? null : policies[policy]!,
      };
      rows.set(key, row);
    }
    row.tensors++;
    row.bytes += bytes;
    last = { of: tensor, t, master, row };
  }
  return [...rows.values()];
}

function sameRole(a: PolicyTensor['role'], b: PolicyTensor['role']): boolean {
  return a === b || (a.role === b.role && a.mtp === b.mtp && roleOf(a) === roleOf(b));
}

/** @param kept in the output: of what is left out, only whose it is is told */
function stateWords({ kind, flat }: NonNullable<PolicyTensor['state']>, kept: boolean): string | undefined {
  if (kind === 'training') return SECTION_WORDS.blob;
  if (!kept) return undefined;
  const words = kind === 'other' || kind === 'unknown' ? 'other state' : kind === 'master' ? 'masters' : `${kind}s`;
  return flat ? `${words} of many weights` : words;
}

const KEPT_WORDS: Readonly<Record<string, string>> = { stored: ', dtype kept', 'stored-or-wider': ', dtype never narrowed' };

function treatmentWords(
  { kind, member, dtype, default: row }: Treatment,
  weights: ResolvedWeights,
  members: TreatedOutput['members'],
): string {
  const stored = dtype === null ? '' : (KEPT_WORDS[dtype] ?? `, in ${dtype}`);
  if (row === 'converted') return 'bytes copied';
  if (kind === 'average' && weights.method === 'convert')
    return stored === '' ? 'values in the dtype asked for, rounded where it is narrower' : `values as they are${stored}`;
  switch (kind) {
    case 'average':
      return `average, ${weightWords(weights)}${stored}`;
    case 'member':
      return row === 'state' ? `bytes of the ${memberWords(member!, members)}` : `${memberWords(member!, members)}${stored}`;
    case 'equal':
      return `equal in all, copied${dtype === 'stored' ? '' : stored}`;
    case 'drop':
      return 'left out';
    case 'zero':
      return 'zeros';
    case 'with-weight':
      return 'scales, with their weights';
  }
}

function weightWords({ method, parameters, weights }: ResolvedWeights): string {
  const named = Object.entries(parameters).map(([name, value]) => (value === true ? name : `${name} ${value}`));
  return [method === 'weights' ? `weights ${[...weights].join(', ')}` : method, ...named].join(', ');
}

function memberWords(member: number, members: TreatedOutput['members']): string {
  const step = members[member]?.step ?? null;
  const place = member === members.length - 1 ? 'newest' : member === 0 ? 'oldest' : `member ${member + 1}`;
  return step === null ? place : `${place}, step ${step}`;
}
