import { dtypeByCode } from '../../../base/dtype.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import { readTensor } from '../../../checkpoints/tensors/extents.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { CheckpointRoles } from '../../../model/roles/checkpoint-roles.ts';
import { classifier } from '../../../model/roles/classify.ts';
import { isActivationState } from '../../../recipe/policy/defaults.ts';
import type { PolicyTensor } from '../../../recipe/policy/types.ts';
import { sameButForRounding, type TensorOf } from './rounded.ts';

/** Floats, and the bits of their exponents in the last two bytes. */
const EXPONENTS: Readonly<Record<string, readonly [bytes: number, exponent: number]>> = {
  F64: [8, 0x7ff0],
  F32: [4, 0x7f80],
  F16: [2, 0x7c00],
  BF16: [2, 0x7f80],
};

const BUFFERS: ReadonlySet<string | null> = new Set(['rope_buffer', 'buffer']);

/** What policies are told of buffers that only data and the other members tell. */
type Marks = Pick<PolicyTensor, 'bounds' | 'differs' | 'partial' | 'rounded'>;

/**
 * What models calculate, and some versions of their libraries store, under names that are otherwise no
 * buffer's.
 */
const CALCULATED =
  /(?:^|\.)(?:relative_coords_table|attention_bias_idxs|embed_scale|_float_tensor|embed_positions\.weights|attn\.embed_positions|alibi(?:_slopes)?)$/;

const isCalculated = (name: string): boolean => !name.endsWith('.weight') && CALCULATED.test(name);

/**
 * Looks at the buffers among the tensors of a merge: whether a constant one is in some of the members only,
 * or in several dtypes and the same but for rounding; whether a few floats are bounds at infinity (which no
 * weighted sum leaves as they are), and whether what describes activations is another in each member. Reads
 * tiny tensors of the layout, and of the members what is compared.
 * @param tensors of the layout, in its order, and then those beyond it, of which `extras` says where they lie
 * @param members that give something to the merge, oldest first
 */
export async function markedBuffers(
  tensors: readonly PolicyTensor[],
  { layout, roles, members }: { readonly layout: Checkpoint; readonly roles: CheckpointRoles; readonly members: readonly Checkpoint[] },
  signal?: AbortSignal,
): Promise<PolicyTensor[]> {
  const classify = classifier(roles.context);
  const reader = new ByteReader();
  const placeOf = placesIn(layout);
  try {
    const marked = [...tensors];
    for (const [i, tensor] of tensors.entries()) {
      // Of 92,000 tensors there are few to be looked at.
      const looked = isScalar(tensor) || BUFFERS.has(tensor.role.role) || isCalculated(tensor.name) || isActivationState(tensor);
      if (!looked) continue;
      const place = placeOf(i);
      const marks = place === undefined ? extraMarks(tensor, classify) : await marksOf(tensor, place);
      if (marks !== null) marked[i] = { ...tensor, ...marks };
    }
    return marked;
  } finally {
    await reader.close();
  }

  async function marksOf(tensor: PolicyTensor, place: TensorPlace): Promise<Marks | null> {
    if (tensor.role.role === 'quant_scale' || tensor.role.role === 'quant_meta') return null;
    const { tensors: table, name: file } = layout.shards[place.shard]!;
    const found = () => members.map((member) => ({ member, place: member.locate(table.names[place.row]!, file) }));
    if (isConstant(tensor, classify)) {
      const all = found().flatMap(({ member, place: theirs }) => (theirs === undefined ? [] : [{ checkpoint: member, place: theirs }]));
      if (all.length < members.length) return { partial: true };
      return (await isRounded(reader, { checkpoint: layout, place }, all)) ? { rounded: true } : null;
    }
    const bounds = isScalar(tensor) && (await isInfinite(reader, layout, place));
    if (!bounds && !isActivationState(tensor)) return null;
    signal?.throwIfAborted();
    const own = await bytesOf(reader, layout, place);
    for (const { member, place: theirs } of found()) {
      if (member === layout) continue;
      if (theirs === undefined || !own.equals(await bytesOf(reader, member, theirs))) return { bounds, differs: true };
    }
    return { bounds };
  }
}

/** Of a tensor that the layout lacks. */
function extraMarks(tensor: PolicyTensor, classify: ReturnType<typeof classifier>): Marks | null {
  return isConstant(tensor, classify) || isActivationState(tensor) ? { partial: true } : null;
}

/**
 * Whether a tensor is one that models make again from their configuration: RoPE's frequencies, masks,
 * positions. By its name alone: an integer may be a table that belongs to the model.
 */
function isConstant({ name, role }: PolicyTensor, classify: ReturnType<typeof classifier>): boolean {
  if (isCalculated(name)) return true;
  if (!BUFFERS.has(role.role)) return false;
  return (
    !/(?:^|\.)(?:running_mean|running_var|num_batches_tracked|_extra_state\d*)(?:\/|$)/.test(name) && classify(name).role === role.role
  );
}

/** Whether members hold a float in several dtypes, and the same but for rounding. */
async function isRounded(reader: ByteReader, own: TensorOf, all: readonly TensorOf[]): Promise<boolean> {
  const dtypeOf = ({ checkpoint, place }: TensorOf) => checkpoint.shards[place.shard]!.tensors.dtypes[place.row]!;
  const others = all.filter((other) => dtypeOf(other) !== dtypeOf(own));
  for (const other of others) if (!(await sameButForRounding(reader, own, other))) return false;
  return others.length > 0;
}

/** Whether a tensor is one float, which may be a bound at infinity. */
function isScalar({ dtype, bytes, codes, role }: PolicyTensor): boolean {
  return EXPONENTS[dtype]?.[0] === bytes && !codes && role.role !== 'lora' && role.role !== 'optimizer';
}

/** Whether a scalar is infinite; NaN is a fault. */
async function isInfinite(reader: ByteReader, checkpoint: Checkpoint, place: TensorPlace): Promise<boolean> {
  const bytes = await bytesOf(reader, checkpoint, place);
  const [size, exponent] = EXPONENTS[dtypeByCode(checkpoint.shards[place.shard]!.tensors.dtypes[place.row]!).name]!;
  const top = bytes.readUInt16LE(size - 2) & 0x7fff;
  return top === exponent && bytes.subarray(0, size - 2).every((byte) => byte === 0);
}

/** The tensors of a merge with its scalars at infinity marked, as {@link markedBuffers} had marked them. */
export async function markedBounds(tensors: readonly PolicyTensor[], merge: Checkpoint): Promise<PolicyTensor[]> {
  const reader = new ByteReader();
  const placeOf = placesIn(merge);
  try {
    const marked = [...tensors];
    for (const [i, tensor] of tensors.entries()) {
      if (isScalar(tensor) && (await isInfinite(reader, merge, placeOf(i)!))) marked[i] = { ...tensor, bounds: true };
    }
    return marked;
  } finally {
    await reader.close();
  }
}

/** Where tensors lie, by their numbers, shard after shard; they are asked for in their order. */
function placesIn({ shards }: Checkpoint): (number: number) => TensorPlace | undefined {
  let [shard, first] = [0, 0];
  return (number) => {
    for (; shard < shards.length; first += shards[shard++]!.tensors.count) {
      if (number - first < shards[shard]!.tensors.count) return { shard, row: number - first };
    }
    return undefined;
  };
}

function bytesOf(reader: ByteReader, checkpoint: Checkpoint, place: TensorPlace): Promise<Buffer> {
  return readTensor(reader, checkpoint, place, 0, checkpoint.shards[place.shard]!.tensors.bytes[place.row]!);
}
