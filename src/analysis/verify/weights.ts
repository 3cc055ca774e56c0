import type { FloatDtypeName } from '../../base/dtype.ts';
import { refusal } from '../../base/problems.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { masterBuffers, proveMasters } from '../../merge/plan/flat/masters.ts';
import { masterName, withMasters } from '../../merge/plan/flat/views.ts';
import { NOTHING_QUANTISED } from '../../merge/plan/quantised/nothing.ts';
import { markedBounds } from '../../merge/plan/tensors/buffers.ts';
import { leavesBuffers, masterNames } from '../../merge/plan/tensors/trainer-state.ts';
import { conversionOf, keptOptimizer, policyTensors } from '../../merge/plan/tensors/treatments.ts';
import { unknownFloats } from '../../merge/plan/tensors/unknown.ts';
import type { ProvenanceRecipe } from '../../merge/record/provenance.ts';
import { recogniseQuantised } from '../../model/quantised/recognise.ts';
import { checkpointRoles } from '../../model/roles/checkpoint-roles.ts';
import { TensorIndex } from '../../model/roles/tensor-index.ts';
import { assignTreatments } from '../../recipe/policy/assign.ts';
import { parsePolicy } from '../../recipe/policy/parse.ts';
import type { Treatment } from '../../recipe/policy/types.ts';

/** What a merge did with its tensors, as its provenance and its policies say. */
export interface TreatedTensors {
  /** Weights of the members for a tensor of the output; null where bytes were compared and copied. */
  of(shard: number, row: number): readonly number[] | null;
  /** It holds zeros, whatever the members do. */
  isZero?(shard: number, row: number): boolean;
  /** Name of the tensor of the members that it is made from. */
  nameOf?(shard: number, row: number): string;
  /** Of what is copied byte for byte, the member; null for all others. */
  copiedFrom?(shard: number, row: number): number | null;
  /** The members with what they hold in other tensors as tensors of their own; absent where there is nothing. */
  readonly members?: readonly Checkpoint[] | undefined;
  /** Nothing was computed: each tensor is as it was, quantised ones too. */
  readonly copied: boolean;
}

/**
 * Assigns the recorded policies to the tensors of a merge anew. @param members in the order of the sum
 * @throws MergeError E_INPUT_CHANGED, E_NOT_READABLE; `signal.reason` on an abort
 */
export async function treatedTensors(
  output: Checkpoint,
  recipe: ProvenanceRecipe,
  members: readonly Checkpoint[],
  signal?: AbortSignal,
): Promise<TreatedTensors> {
  const roles = await checkpointRoles(output);
  const convert = conversionOf({ convert: recipe.method === 'convert', dtype: recipe.dtype as FloatDtypeName | 'same' | null });
  const copied = convert?.dtype === null;
  const recognised = copied ? NOTHING_QUANTISED : recogniseQuantised(output, roles.config);
  const setOf = (places: readonly TensorPlace[]) => new Set(places.map(({ shard, row }) => `${shard} ${row}`));
  const codes = setOf(recognised.weights.map((w) => w.codes));
  const scales = setOf([...recognised.weights.map((w) => w.scales), ...recognised.activationScales]);
  const givers = members.filter((_, m) => recipe.members[m]!.weight !== 0);
  const unknown = recipe.allowUnknown || copied ? [] : await unknownFloats(output, roles, givers, signal);
  const seen = policyTensors(output, roles, {
    isCodes: (shard, row) => codes.has(`${shard} ${row}`),
    isStray: (shard, row) => !scales.has(`${shard} ${row}`),
    unknown,
  });
  const tensors = copied ? seen : await markedBounds(seen, output);
  // Where the trainer's state lies in other files, the output has no tensor of it.
  const holds = tensors.some(({ state }) => state !== undefined);
  const resumed = keptOptimizer({ for: recipe.purpose, optimizer: recipe.optimizer }, holds) ?? undefined;
  // What the policies selected may not be in the output any more, so that they do not apply is no fault here.
  const { treatments, of } = assignTreatments(
    tensors,
    { policies: recipe.policies.map(({ policy }) => parsePolicy(policy)) },
    { members: recipe.members, allowUnknown: recipe.allowUnknown || convert !== undefined, convert: copied ? convert : undefined, resumed },
  );
  const whole = recipe.members.map((m) => m.weight);
  // An output of the model alone has none of the masters that it was made from.
  const masters = recipe.weightsFrom === 'master' ? (members.map(masterNames).findLast((names) => names.size > 0) ?? null) : null;
  const viewed = recipe.weightsFrom === 'master' && !leavesBuffers(resumed, output) ? await inBuffers(members, givers, signal) : null;
  const isViewed = (name: string): boolean => viewed?.some((member) => member.locate(masterName(name)) !== undefined) ?? false;
  const weights = treatments.map(({ kind, member, policy }) => {
    if (kind === 'member') return whole.map((_, m) => (m === member ? 1 : 0));
    if (kind === 'average') return (policy === null ? null : recipe.policies[policy]!.weights) ?? whole;
    return null;
  });
  const index = new TensorIndex(output);
  // What a conversion found in the dtype that was asked for, it copied.
  const isCopied = (shard: number, row: number): boolean => convert !== undefined && sameDtype(output, members[0]!, { shard, row });
  const treatmentOf = (shard: number, row: number): Treatment => treatments[of[index.of(shard, row)]!]!;
  return {
    copied,
    members: viewed ?? undefined,
    of: (shard, row) => (isCopied(shard, row) ? null : weights[of[index.of(shard, row)]!]!),
    isZero: (shard, row) => treatmentOf(shard, row).kind === 'zero',
    nameOf(shard, row) {
      const name = output.shards[shard]!.tensors.names[row]!;
      const { kind } = treatmentOf(shard, row);
      if (kind !== 'average' && kind !== 'member') return name;
      return masters?.get(name) ?? (isViewed(name) ? masterName(name) : name);
    },
    copiedFrom(shard, row) {
      const { kind, member, default: named } = treatmentOf(shard, row);
      return kind === 'member' && named === 'state' ? member : null;
    },
  };
}

/**
 * The members with the masters that lie in buffers of many weights as tensors of their own, those that give
 * something; null where the newest of these has no such buffers.
 */
async function inBuffers(
  members: readonly Checkpoint[],
  givers: readonly Checkpoint[],
  signal?: AbortSignal,
): Promise<Checkpoint[] | null> {
  const newest = givers.at(-1);
  if (newest === undefined || masterBuffers(newest).length === 0) return null;
  const found = await proveMasters(newest, givers.slice(0, -1), { thorough: false, moments: false, signal });
  if ('conflict' in found) throw refusal([found.conflict], { several: () => '' });
  return members.map((member) => (givers.includes(member) ? withMasters(member, newest, found.masters) : member));
}

/** Whether a checkpoint holds a tensor of the output by its name, and in its dtype. */
function sameDtype(output: Checkpoint, member: Checkpoint, { shard, row }: TensorPlace): boolean {
  const { name, tensors } = output.shards[shard]!;
  const place = member.locate(tensors.names[row]!, name);
  return place !== undefined && member.shards[place.shard]!.tensors.dtypes[place.row] === tensors.dtypes[row];
}
