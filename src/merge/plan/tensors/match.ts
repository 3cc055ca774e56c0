import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import type { TensorTable } from '../../../checkpoints/safetensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { Arrangement, Piece } from '../../../model/layout/types.ts';
import type { PlanInputFile } from '../types.ts';
import type { EqualTensor } from './equal.ts';
import { type MemberColumns, type PiecedRows, type Spans, spansOf } from './spans.ts';
import type { TargetShard } from './target.ts';
import type { Work } from './work.ts';

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

/** What all shards are matched against. */
export interface Matching {
  readonly layout: Checkpoint;
  readonly members: readonly Checkpoint[];
  readonly participates: readonly boolean[];
  readonly files: InputFiles;
  readonly allowMixedDtypes: boolean;
  /** How a member holds tensors that it lacks by name; asked for where there are some. */
  arrangement(member: number): Arrangement;
}

export interface MatchResult {
  readonly spans: Spans;
  readonly equal: readonly EqualTensor[];
  /** [members] tensors of the shard that it holds under another name, or as parts of others. */
  readonly arranged: readonly number[];
}

/**
 * Finds every tensor of a layout shard in every member that it needs, and compares shape and dtype. Members
 * whose shard of the same name has the very same (interned) header are matched without a single name look-up.
 */
export function matchShard(
  shard: number,
  target: TargetShard,
  works: { readonly kinds: readonly Work[]; readonly of: Int32Array },
  matching: Matching,
  conflicts: Conflict[],
): MatchResult {
  const { layout, members, participates, files } = matching;
  const { path, header } = layout.shards[shard]!;
  const { table } = target;
  const pieced: (PiecedRows | null)[] = [];
  const columns = members.map((_, m) => {
    pieced.push(null);
    if (!participates[m]) return null;
    const matched = new MemberMatch(shard, target, works, m, matching, conflicts).run();
    pieced[m] = matched.pieced;
    return matched.columns;
  });

  const equal: EqualTensor[] = [];
  for (let row = 0; row < table.count; row++) {
    const work = works.kinds[works.of[row]!]!;
    const bytes = table.end[row]! - table.begin[row]!;
    if (work.apart || bytes === 0) continue;
    const tensor = table.names[row]!;
    const own = dtypeByCode(header.tensors.dtypes[target.origin[row]!]!);
    if (work.equal === 'E_UNSUPPORTED_DTYPE') {
      const message = `tensor ${tensor} is ${own.name}, which is never averaged code by code`;
      conflicts.push({ code: 'E_UNSUPPORTED_DTYPE', message, file: path, tensor });
      continue;
    }
    if (work.equal === null) continue;
    const copies = columns.flatMap((c, m) =>
      c === null || !work.needs[m] || c.file[row]! < 0 || pieced[m]?.has(row)
        ? []
        : [{ path: files.list[c.file[row]!]!.path, offset: c.offset[row]! }],
    );
    equal.push({ name: tensor, bytes, copies, code: work.equal });
  }
  const place = (m: number, piece: Piece): { file: number; offset: number; dtype: number } => {
    const { dataStart, tensors } = members[m]!.shards[piece.shard]!.header;
    const dtype = tensors.dtypes[piece.row]!;
    const skipped = (piece.sourceFrom * dtypeByCode(dtype).bits) / 8;
    return { file: files.indexOf(members, m, piece.shard), offset: dataStart + tensors.begin[piece.row]! + skipped, dtype };
  };
  return { spans: spansOf(table, columns, pieced, place), equal, arranged: pieced.map((rows) => rows?.size ?? 0) };
}

/** One member against one layout shard. */
class MemberMatch {
  readonly #pieced = new Map<number, readonly Piece[]>();
  readonly #shard: number;
  readonly #target: TargetShard;
  readonly #works: { readonly kinds: readonly Work[]; readonly of: Int32Array };
  readonly #m: number;
  readonly #matching: Matching;
  readonly #conflicts: Conflict[];

  constructor(
    shard: number,
    target: TargetShard,
    works: { readonly kinds: readonly Work[]; readonly of: Int32Array },
    m: number,
    matching: Matching,
    conflicts: Conflict[],
  ) {
    this.#shard = shard;
    this.#target = target;
    this.#works = works;
    this.#m = m;
    this.#matching = matching;
    this.#conflicts = conflicts;
  }

  run(): { columns: MemberColumns; pieced: PiecedRows } {
    const { layout, members, files } = this.#matching;
    const { origin } = this.#target;
    const { name: shardName, header } = layout.shards[this.#shard]!;
    const table = header.tensors;
    const member = members[this.#m]!;
    const rows = origin.length;
    const same = member.shards.findIndex((s) => s.name === shardName && s.header.tensors === table);
    if (same >= 0) {
      const { dataStart } = member.shards[same]!.header;
      const columns = {
        file: new Int32Array(rows).fill(files.indexOf(members, this.#m, same)),
        offset: new Float64Array(rows).map((_, i) => table.begin[origin[i]!]! + dataStart),
        dtype: new Uint8Array(rows).map((_, i) => table.dtypes[origin[i]!]!),
      };
      return { columns, pieced: this.#pieced };
    }
    const columns = { file: new Int32Array(rows).fill(-1), offset: new Float64Array(rows), dtype: new Uint8Array(rows) };
    for (let row = 0; row < rows; row++) {
      const work = this.#works.kinds[this.#works.of[row]!]!;
      if (!work.needs[this.#m] || work.apart) continue;
      const ours = origin[row]!;
      const place = member.locate(table.names[ours]!, shardName) ?? this.#arranged(row, ours);
      if (place === undefined) continue;
      const { header: found, path } = member.shards[place.shard]!;
      columns.file[row] = files.indexOf(members, this.#m, place.shard);
      columns.offset[row] = found.dataStart + found.tensors.begin[place.row]!;
      columns.dtype[row] = found.tensors.dtypes[place.row]!;
      this.#compare(table, ours, found.tensors, place.row, path, !this.#pieced.has(row));
    }
    return { columns, pieced: this.#pieced };
  }

  /**
   * The first piece of a tensor that the member has in another layout; undefined, and a conflict, where it
   * has none.
   */
  #arranged(row: number, ours: number): { shard: number; row: number } | undefined {
    const { layout, members } = this.#matching;
    const member = members[this.#m]!;
    const { name: file, header } = layout.shards[this.#shard]!;
    const tensor = header.tensors.names[ours]!;
    const arranged = this.#matching.arrangement(this.#m).of(this.#shard, ours);
    if (arranged !== undefined && 'pieces' in arranged) {
      this.#pieced.set(row, arranged.pieces);
      return arranged.pieces[0];
    }
    const where = { file: member.path, tensor };
    if (arranged !== undefined) {
      const message = `tensor ${tensor} is held by ${member.path} in another layout: ${arranged.refused}`;
      this.#conflicts.push({ code: 'E_LAYOUT_FORM', message, ...where });
    } else {
      const message = `tensor ${member.namesPerFile ? `${tensor} of ${file}` : tensor} is missing from ${member.path}`;
      this.#conflicts.push({ code: 'E_TENSOR_MISSING', message, ...where });
    }
    return undefined;
  }

  #compare(ours: TensorTable, row: number, theirs: TensorTable, theirRow: number, path: string, whole: boolean): void {
    const [a, b] = [ours.shapes[row]!, theirs.shapes[theirRow]!];
    const tensor = ours.names[row]!;
    if (whole && a !== b && (a.length !== b.length || a.some((size, i) => size !== b[i]))) {
      const message = `tensor ${tensor} is [${a.join(', ')}] in the layout and [${b.join(', ')}] in ${path}`;
      this.#conflicts.push({ code: 'E_SHAPE', message, file: path, tensor });
    }
    const [x, y] = [ours.dtypes[row]!, theirs.dtypes[theirRow]!];
    if (x === y) return;
    const [left, right] = [dtypeByCode(x), dtypeByCode(y)];
    const bothFloat = left.kind === 'float' && right.kind === 'float';
    if (bothFloat && this.#matching.allowMixedDtypes) return;
    const message = `tensor ${tensor} is ${left.name} in the layout and ${right.name} in ${path}`;
    this.#conflicts.push({ code: bothFloat ? 'E_MIXED_DTYPES' : 'E_UNSUPPORTED_DTYPE', message, file: path, tensor });
  }
}

/**
 * Tensors that a member holds and no output can use.
 * @param known whether a tensor of the member has its place for another reason than its name: dropped by
 *   policy, or part of what the layout holds in another form
 */
export function extraTensors(layout: Checkpoint, member: Checkpoint, known: (shard: number, row: number) => boolean): Conflict[] {
  if (member === layout || member.shards.every((s, i) => s.header.tensors === layout.shards[i]?.header.tensors)) return [];
  return member.shards.flatMap(({ header, path, name: file }, shard) =>
    header.tensors.names.flatMap((tensor, row): Conflict[] => {
      if (layout.locate(tensor, file) !== undefined || known(shard, row)) return [];
      return [{ code: 'E_TENSOR_EXTRA', message: `tensor ${tensor} of ${path} is not in the layout ${layout.path}`, file: path, tensor }];
    }),
  );
}
