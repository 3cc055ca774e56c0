import type { Checkpoint } from '../checkpoint/types.ts';
import { dtypeByCode } from '../dtype.ts';
import type { Conflict } from '../errors.ts';
import type { TensorTable } from '../safetensors/types.ts';
import type { IntegerTensor } from './integers.ts';
import type { PlanInputFile } from './types.ts';

/** Where the tensors of one layout shard lie in one member: [rows] each. A file of -1 means that the member lacks the tensor. */
export interface MemberColumns {
  readonly file: Int32Array;
  /** Absolute byte offset in the file. */
  readonly offset: Float64Array;
  readonly dtype: Uint8Array;
}

/** Collects the input files in use, so that each is opened once. */
export class InputFiles {
  readonly list: PlanInputFile[] = [];
  readonly #index = new Map<string, number>();

  indexOf(members: readonly Checkpoint[], member: number, shard: number): number {
    const key = `${member}/${shard}`;
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.list.length;
      this.list.push({ member, shard, path: members[member]!.shards[shard]!.path });
      this.#index.set(key, index);
    }
    return index;
  }
}

export interface MatchResult {
  /** [members]; null where the member takes no part. */
  readonly columns: readonly (MemberColumns | null)[];
  readonly integers: readonly IntegerTensor[];
}

/**
 * Finds every tensor of a layout shard in every participating member and compares shape and dtype. Members whose shard of the same name has the
 * very same (interned) header are matched without a single name look-up.
 */
export function matchShard(
  layout: Checkpoint,
  shard: number,
  members: readonly Checkpoint[],
  participates: readonly boolean[],
  files: InputFiles,
  options: { readonly allowMixedDtypes: boolean },
  conflicts: Conflict[],
): MatchResult {
  const { header, name, path } = layout.shards[shard]!;
  const table = header.tensors;
  const columns = members.map((member, m) =>
    participates[m] ? matchMember(table, name, members, member, m, files, options, conflicts) : null,
  );

  const integers: IntegerTensor[] = [];
  for (let row = 0; row < table.count; row++) {
    const dtype = dtypeByCode(table.dtypes[row]!);
    const bytes = table.end[row]! - table.begin[row]!;
    if (dtype.kind === 'float' || bytes === 0) continue;
    const tensor = table.names[row]!;
    if (dtype.kind !== 'integer') {
      const message = `tensor ${tensor} is ${dtype.name}, which is never averaged code by code`;
      conflicts.push({ code: 'E_UNSUPPORTED_DTYPE', message, file: path, tensor });
      continue;
    }
    const copies = columns.flatMap((c) =>
      c === null || c.file[row]! < 0 ? [] : [{ path: files.list[c.file[row]!]!.path, offset: c.offset[row]! }],
    );
    integers.push({ name: tensor, bytes, copies });
  }
  return { columns, integers };
}

function matchMember(
  table: TensorTable,
  shardName: string,
  members: readonly Checkpoint[],
  member: Checkpoint,
  m: number,
  files: InputFiles,
  options: { readonly allowMixedDtypes: boolean },
  conflicts: Conflict[],
): MemberColumns {
  const rows = table.count;
  const same = member.shards.findIndex((s) => s.name === shardName && s.header.tensors === table);
  if (same >= 0) {
    const { dataStart } = member.shards[same]!.header;
    return {
      file: new Int32Array(rows).fill(files.indexOf(members, m, same)),
      offset: table.begin.map((b) => b + dataStart),
      dtype: table.dtypes,
    };
  }
  const file = new Int32Array(rows).fill(-1);
  const offset = new Float64Array(rows);
  const dtype = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    const name = table.names[row]!;
    const place = member.locate(name, shardName);
    if (place === undefined) {
      conflicts.push({
        code: 'E_TENSOR_MISSING',
        message: `tensor ${member.namesPerFile ? `${name} of ${shardName}` : name} is missing from ${member.path}`,
        file: member.path,
        tensor: name,
      });
      continue;
    }
    const { header, path } = member.shards[place.shard]!;
    const theirs = header.tensors;
    file[row] = files.indexOf(members, m, place.shard);
    offset[row] = header.dataStart + theirs.begin[place.row]!;
    dtype[row] = theirs.dtypes[place.row]!;
    compare(table, row, theirs, place.row, path, options, conflicts);
  }
  return { file, offset, dtype };
}

function compare(
  ours: TensorTable,
  row: number,
  theirs: TensorTable,
  theirRow: number,
  path: string,
  options: { readonly allowMixedDtypes: boolean },
  conflicts: Conflict[],
): void {
  const [a, b] = [ours.shapes[row]!, theirs.shapes[theirRow]!];
  const tensor = ours.names[row]!;
  if (a !== b && (a.length !== b.length || a.some((size, i) => size !== b[i]))) {
    const message = `tensor ${tensor} is [${a.join(', ')}] in the layout and [${b.join(', ')}] in ${path}`;
    conflicts.push({ code: 'E_SHAPE', message, file: path, tensor });
  }
  const [x, y] = [ours.dtypes[row]!, theirs.dtypes[theirRow]!];
  if (x === y) return;
  const [left, right] = [dtypeByCode(x), dtypeByCode(y)];
  const bothFloat = left.kind === 'float' && right.kind === 'float';
  if (bothFloat && options.allowMixedDtypes) return;
  const message = `tensor ${tensor} is ${left.name} in the layout and ${right.name} in ${path}`;
  conflicts.push({ code: bothFloat ? 'E_MIXED_DTYPES' : 'E_UNSUPPORTED_DTYPE', message, file: path, tensor });
}

/** Tensors that a member holds and the layout does not. */
export function extraTensors(layout: Checkpoint, member: Checkpoint): Conflict[] {
  if (member === layout || member.shards.every((s, i) => s.header.tensors === layout.shards[i]?.header.tensors)) return [];
  return member.shards.flatMap(({ header, path, name: file }) =>
    header.tensors.names
      .filter((name) => layout.locate(name, file) === undefined)
      .map((tensor) => ({
        code: 'E_TENSOR_EXTRA' as const,
        message: `tensor ${tensor} of ${path} is not in the layout ${layout.path}`,
        file: path,
        tensor,
      })),
  );
}
