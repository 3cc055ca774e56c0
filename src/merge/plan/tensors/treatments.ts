import { basename } from 'node:path';
import { dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { type CheckpointRoles, tensorName } from '../../../model/roles/checkpoint-roles.ts';
import { keysOfModel, stateTensor, weightOf } from '../../../model/roles/optimizer-state.ts';
import { TensorIndex } from '../../../model/roles/tensor-index.ts';
import { type AssignOptions, assignTreatments } from '../../../recipe/policy/assign.ts';
import { policiesOf } from '../../../recipe/policy/keys.ts';
import { placeOfPolicy, policyLabel } from '../../../recipe/policy/label.ts';
import type { OptimizerUse } from '../../../recipe/policy/resumed.ts';
import { policyText, selectorText } from '../../../recipe/policy/text.ts';
import type { Policy, PolicyTensor, Treatment, Unknown } from '../../../recipe/policy/types.ts';
import { PARAMETERS, type Parameter } from '../../../recipe/schedule/parameters.ts';
import { resolveWeights } from '../../../recipe/schedule/resolve.ts';
import type { ResolvedWeights, ScheduleContext, ScheduleMember } from '../../../recipe/schedule/types.ts';
import type { OutputRequest, PlanMember, PlanPolicy } from '../types.ts';

/** How one output treats the tensors of the layout. */
export interface OutputTreatments {
  /** Its members: indices into those of the plan. */
  readonly members: readonly number[];
  readonly treatments: readonly Treatment[];
  /**
   * [tensors of the layout, shard after shard] index into `treatments`. Outputs with the same policies share
   * it.
   */
  readonly of: Int32Array;
  /**
   * [treatments] weights of all members of the plan; those of the output's schedule where bytes are compared
   * and copied.
   */
  readonly weights: readonly Float64Array[];
  /** Schedules of the treatments that have one of their own. */
  readonly own: readonly (ResolvedWeights | null)[];
  /** [members of the plan] whether any tensor of the output is made from it. */
  readonly uses: readonly boolean[];
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

/** What treatments are assigned by. */
export interface TreatmentRequest {
  readonly output: OutputRequest;
  /** Indices into the members of the plan. */
  readonly members: readonly number[];
  readonly scheduleMembers: readonly ScheduleMember[];
  readonly context: ScheduleContext;
  readonly schedule: ResolvedWeights;
}

/** What is known of the tensors of a layout beside their roles. */
export interface KnownOfTensors {
  /** Quantised weights that are averaged by their values. */
  isCodes(shard: number, row: number): boolean;
  /** Of what is called like a scale: it belongs to no codes, and so is nothing that is known. */
  isStray(shard: number, row: number): boolean;
  /** By shard and row, float tensors that no rule knows. */
  readonly unknown: readonly ReadonlyMap<number, Unknown>[];
}

/** A scale without codes. */
const STRAY: Unknown = { doubt: 'it is called like a scale of quantised weights and belongs to none' };

/** The tensors of the layout as policies see them, shard after shard. */
export function policyTensors(layout: Checkpoint, roles: CheckpointRoles, { isCodes, isStray, unknown }: KnownOfTensors): PolicyTensor[] {
  const index = new TensorIndex(layout);
  const numberOf = (name: string): number | undefined => {
    const place = layout.locate(name);
    return place === undefined || sectionOf(layout.shards[place.shard]!.tensors, place.row) !== 'model'
      ? undefined
      : index.of(place.shard, place.row);
  };
  const keys = layout.shards.some(({ tensors: { sections } }) => sections !== null) ? keysOfModel(modelNames(layout)) : [];
  return layout.shards.flatMap(({ tensors }, shard) =>
    Array.from({ length: tensors.count }, (_, row): PolicyTensor => {
      const role = roles.of(shard, row);
      const tensor = {
        name: tensorName(layout, shard, row),
        dtype: dtypeByCode(tensors.dtypes[row]!).name,
        bytes: tensors.bytes[row]!,
        role,
      };
      const codes = isCodes(shard, row);
      const stray = (role.role === 'quant_scale' || role.role === 'quant_meta') && isStray(shard, row);
      const apart = sectionOf(tensors, row) !== 'model';
      const known = unknown[shard]?.get(row);
      // There may be half a million of the others.
      if (!codes && !stray && !apart && known === undefined) return tensor;
      return {
        ...tensor,
        role: stray ? { ...role, role: null, of: null } : role,
        ...(codes && { codes }),
        ...(apart && { apart, state: stateOf(tensors.names[row]!, numberOf, keys) }),
        ...(stray && { unknown: STRAY }),
        ...(known !== undefined && { unknown: known }),
      };
    }),
  );
}

/** Names of the tensors that are the model's. */
export function* modelNames({ shards }: Pick<Checkpoint, 'shards'>): Generator<string> {
  for (const { tensors } of shards) {
    for (const [row, name] of tensors.names.entries()) if (sectionOf(tensors, row) === 'model') yield name;
  }
}

function stateOf(name: string, numberOf: (name: string) => number | undefined, keys: readonly string[]): PolicyTensor['state'] {
  const { kind, flat, uniform, of } = stateTensor(name);
  return { kind, flat, uniform, weight: weightOf({ of }, numberOf, keys) };
}

/** How an output converts its one member; undefined where it merges. */
export function conversionOf({
  convert,
  dtype,
}: {
  readonly convert?: boolean | undefined;
  readonly dtype?: OutputRequest['dtype'] | null;
}): AssignOptions['convert'] {
  return convert ? { dtype: dtype === 'same' ? null : (dtype ?? null) } : undefined;
}

/**
 * What becomes of the optimizer's state in an output that keeps the trainer's; null where it keeps none.
 * @param holds whether the output's container has a place for it: {@link holdsState}
 */
export function keptOptimizer(
  output: { readonly for?: string | null | undefined; readonly optimizer?: string | null | undefined },
  holds: boolean,
): OptimizerUse | null {
  return output.for === 'resume' && holds ? ((output.optimizer ?? 'newest') as OptimizerUse) : null;
}

/** Assigns treatments for several outputs of one layout; equal policies share the assignment. */
export class Treatments {
  readonly #tensors: readonly PolicyTensor[];
  readonly #allowUnknown: boolean;
  readonly #holdsState: boolean;
  readonly #assigned = new Map<string, ReturnType<typeof assignTreatments>>();

  constructor(tensors: readonly PolicyTensor[], options: { readonly allowUnknown: boolean; readonly holdsState: boolean }) {
    this.#tensors = tensors;
    this.#allowUnknown = options.allowUnknown;
    this.#holdsState = options.holdsState;
  }

  /** @param count members of the plan */
  async of({ output, members, scheduleMembers, context, schedule }: TreatmentRequest, count: number): Promise<OutputTreatments> {
    const { policies = [], router } = output;
    const convert = conversionOf(output);
    const bySteps = typeof router === 'number' || policies.some((policy) => typeof policy.use === 'number');
    const resumed = keptOptimizer(output, this.#holdsState) ?? undefined;
    const key = JSON.stringify([policies, router, members.length, bySteps ? scheduleMembers.map((m) => m.step) : null, convert, resumed]);
    let assigned = this.#assigned.get(key);
    if (assigned === undefined) {
      const options = { members: scheduleMembers, allowUnknown: this.#allowUnknown, convert, resumed };
      assigned = assignTreatments(this.#tensors, { policies, router }, options);
      this.#assigned.set(key, assigned);
    }
    const { treatments, of, conflicts, warnings } = assigned;
    const spread = (weights: Float64Array): Float64Array => {
      const all = new Float64Array(count);
      for (const [i, m] of members.entries()) all[m] = weights[i]!;
      return all;
    };
    const own = await Promise.all(
      treatments.map(({ request, policy }) => {
        if (request === null) return null;
        const label = policy === null ? null : policyLabel(policiesOf(output)[policy]!);
        return resolveWeights(scheduleMembers, request, context).catch((error: unknown) => {
          if (!(error instanceof MergeError) || label === null) throw error;
          const { code, message, details, help } = error;
          throw new MergeError(code, `${label}: ${message}`, { details, help, cause: error });
        });
      }),
    );
    const weights = treatments.map(({ kind, member }, t) => {
      if (kind === 'zero') return new Float64Array(count);
      if (kind !== 'member') return spread((own[t] ?? schedule).weights);
      const one = new Float64Array(members.length);
      one[member!] = 1;
      return spread(one);
    });
    const occurs = treatments.map(() => false);
    for (const t of of) occurs[t] = true;
    const uses = Array.from({ length: count }, (_, m) => weights.some((w, t) => occurs[t] && treatments[t]!.kind !== 'drop' && w[m] !== 0));
    return {
      members,
      treatments,
      of,
      weights,
      own,
      uses,
      conflicts,
      warnings: [...warnings, ...sumWarnings(output, treatments, own, occurs)],
    };
  }
}

/** Policies of which a warning tells the sum. */
const SUMS_SHOWN = 5;

/** That policies give weights which do not sum to 1, as it is said of an output's own: all of them at once. */
function sumWarnings(
  output: OutputRequest,
  treatments: readonly Treatment[],
  own: readonly (ResolvedWeights | null)[],
  occurs: readonly boolean[],
): Warning[] {
  const policies = policiesOf(output);
  const sums = new Map<number, number>();
  for (const [t, { policy }] of treatments.entries()) {
    if (policy === null || !occurs[t] || !own[t]?.warnings.some(({ code }) => code === 'W_WEIGHT_SUM')) continue;
    sums.set(policy, own[t].sum);
  }
  const found = [...sums]
    .sort(([a], [b]) => a - b)
    .map(([policy, sum]) => `${recordedLabel(policies[policy]!)} to ${Number(sum.toPrecision(SUM_DIGITS))}`);
  if (found.length === 0) return [];
  const more = found.length > SUMS_SHOWN ? ` and ${found.length - SUMS_SHOWN} more` : '';
  const which = found.length === 1 ? 'a policy' : `${found.length} policies`;
  const message = `the weights of ${which} do not sum to 1, and are used as given: ${found.slice(0, SUMS_SHOWN).join(', ')}${more}`;
  return [{ code: 'W_WEIGHT_SUM', message }];
}

/** What a warning calls a policy: it is recorded, and so names a file without its folder. */
function recordedLabel(policy: Policy): string {
  const place = placeOfPolicy(policy);
  return place === undefined ? selectorText(policy) : `${JSON.stringify(policy.name)} (${basename(place.file)}:${place.line()})`;
}

/** Of a sum that is told: it is of the last bits otherwise. */
const SUM_DIGITS = 12;

/**
 * Dtype of every tensor of a target shard in one output: as a policy says, as stored where the default keeps
 * it (or as the output says if that is wider), else as the output says.
 * @param of [rows of the target] index into `treatments`
 */
export function outputDtypes(
  stored: Uint8Array,
  of: Int32Array,
  treatments: readonly Treatment[],
  asked: OutputRequest['dtype'],
): Uint8Array {
  const all = asked === undefined || asked === 'same' ? null : dtypeByName(asked)!;
  const wanted = treatments.map(({ dtype }) => {
    if (dtype === 'stored') return null;
    return dtype === null || dtype === 'stored-or-wider' ? all : dtypeByName(dtype)!;
  });
  return stored.map((code, row) => {
    const own = dtypeByCode(code);
    const other = wanted[of[row]!];
    if (own.kind !== 'float' || !other) return code;
    return treatments[of[row]!]!.dtype === 'stored-or-wider' && other.bits <= own.bits ? code : other.code;
  });
}

/** The policies of an output, with the weights of those that have a schedule of their own. */
export function planPolicies(output: OutputRequest, { treatments, own }: OutputTreatments): PlanPolicy[] {
  return policiesOf(output).map((policy, p) => {
    const weights = own.find((schedule, t) => schedule !== null && treatments[t]!.policy === p)?.weights;
    return { text: policyText(withFileNames(policy)), weights: weights ?? null };
  });
}

/** Files by their names alone: what is published says nothing of where they lay. */
function withFileNames(policy: Policy): Policy {
  const files = Object.entries(PARAMETERS as Readonly<Record<string, Parameter>>).filter(([, { kind }]) => kind === 'file');
  const named = files.flatMap(([key]) => {
    const path = policy[key as keyof Policy];
    return path === undefined ? [] : [[key, basename(String(path))]];
  });
  return { ...policy, ...Object.fromEntries(named) };
}

/**
 * What the digest of an output says of its treatments: all that decides bytes, with members by their
 * fingerprints and in an order that is the same whatever else is made in the run.
 * @param of by shard, index into the treatments
 */
export function recordedTreatments(
  { treatments, weights }: OutputTreatments,
  of: readonly Int32Array[],
  members: readonly PlanMember[],
): { kinds: unknown[]; of: Int32Array[] } {
  const number = new Map<number, number>();
  const numbered = of.map((rows) =>
    rows.map((t) => {
      if (!number.has(t)) number.set(t, number.size);
      return number.get(t)!;
    }),
  );
  const kinds = [...number.keys()].map((t) => {
    const made = members.flatMap(({ fingerprint }, m) => (weights[t]![m] === 0 ? [] : [[fingerprint, weights[t]![m]!]]));
    return [treatments[t]!.kind, made];
  });
  return { kinds, of: numbered };
}
