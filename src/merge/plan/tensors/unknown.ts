import { dtypeByCode, type FloatDtypeName } from '../../../base/dtype.ts';
import { decodeFloats } from '../../../base/numbers/decode.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import { readTensor } from '../../../checkpoints/tensors/extents.ts';
import type { TensorPlace, TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { CheckpointRoles } from '../../../model/roles/checkpoint-roles.ts';
import type { Role } from '../../../model/roles/types.ts';
import { doubtByName, doubtByValues } from '../../../model/roles/unknown.ts';
import type { Unknown } from '../../../recipe/policy/types.ts';

/**
 * Bytes of a tensor that are looked at from each of its ends; what is no longer than both is looked at whole.
 */
const LOOK = 32 * 1024;
/** Tensors whose values are looked at: of one name but for its numbers, and in all. */
const OF_A_KIND = 64;
const IN_ALL = 4096;

/**
 * What speaks against averaging the float tensors of a layout that no naming rule knows. Reads up to 64 KiB
 * of each.
 *
 * @param members those that give something to the merge
 * @returns by shard of the layout and row
 * @throws MergeError E_INPUT_CHANGED, E_NOT_READABLE; `signal.reason` on an abort
 */
export async function unknownFloats(
  layout: Checkpoint,
  roles: CheckpointRoles,
  members: readonly Checkpoint[],
  signal?: AbortSignal,
): Promise<readonly ReadonlyMap<number, Unknown>[]> {
  const found = layout.shards.map(() => new Map<number, Unknown>());
  const kinds = new Map<string, { looked: number; unknown: Unknown }>();
  // Where no name at all is known, nothing tells a table among weights: numbers that somebody wrote to try a
  // merge.
  let looked = layout.shards.some(({ tensors }, shard) => hasKnownFloat(tensors, (row) => roles.of(shard, row).role)) ? 0 : IN_ALL;
  const reader = new ByteReader();
  try {
    for (const { shard, row } of roles.placesOf(null)) {
      const { tensors, name: file } = layout.shards[shard]!;
      const { name: dtype, kind: sort } = dtypeByCode(tensors.dtypes[row]!);
      if (sort !== 'float') continue;
      signal?.throwIfAborted();
      const name = tensors.names[row]!;
      const named = doubtByName(layout, { name, dtype, file }, roles.context.codes === true);
      const key = name.replaceAll(/\d+/g, '#');
      const kind = kinds.get(key) ?? { looked: 0, unknown: { doubt: null } };
      kinds.set(key, kind);
      if (named === null && kind.looked < OF_A_KIND && looked < IN_ALL) {
        kind.looked++;
        looked++;
        const unknown = await lookedAt(reader, layout, { shard, row }, members);
        // What is found of one is true of those that there is no time to look at.
        if (unknown.doubt !== null) kind.unknown = unknown;
        found[shard]!.set(row, unknown);
      } else found[shard]!.set(row, named === null ? kind.unknown : { doubt: named });
    }
  } finally {
    await reader.close();
  }
  return found;
}

function hasKnownFloat({ dtypes }: TensorTable, roleOf: (row: number) => Role | null): boolean {
  return dtypes.some((code, row) => dtypeByCode(code).kind === 'float' && roleOf(row) !== null);
}

async function lookedAt(
  reader: ByteReader,
  layout: Checkpoint,
  { shard, row }: TensorPlace,
  members: readonly Checkpoint[],
): Promise<Unknown> {
  const { tensors, name: file } = layout.shards[shard]!;
  const dtype = dtypeByCode(tensors.dtypes[row]!);
  const bytes = tensors.bytes[row]!;
  const whole = bytes <= 2 * LOOK;
  const samples: Buffer[] = [];
  for (const member of members) {
    const place = member.locate(tensors.names[row]!, file);
    const theirs = place === undefined ? undefined : member.shards[place.shard]!.tensors;
    // What a member lacks or holds in another form is told elsewhere.
    if (place === undefined || theirs?.dtypes[place.row] !== dtype.code || theirs.bytes[place.row] !== bytes) return { doubt: null };
    const parts = [await readTensor(reader, member, place, 0, whole ? bytes : LOOK)];
    if (!whole) parts.push(await readTensor(reader, member, place, bytes - LOOK, LOOK));
    samples.push(Buffer.concat(parts));
  }
  const values = samples.map((sample) => decodeFloats(dtype.name as FloatDtypeName, sample));
  return { doubt: doubtByValues(dtype.name, values, whole) };
}
