import { type Dtype, dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import { extentsOf } from '../../../checkpoints/tensors/extents.ts';
import { type BoxedMatrix, matrixOf } from '../../../checkpoints/tensors/matrix.ts';
import { haveSameTensors } from '../../../checkpoints/tensors/table.ts';
import type { Shard, TensorPlace, TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { Arrangement } from '../../../model/layout/types.ts';
import type { PlanInputFile } from '../types.ts';
import { copyOfTensor, type EqualTensor } from './equal.ts';
import { type MatrixRows, type MemberColumns, type RunRows, type SpanRun, type Spans, spansOf } from './spans.ts';
import type { TargetShard } from './target.ts';
import type { Work } from './work.ts';

const NONE: MatrixRows = new Map();

/** Collects the input files in use, so that each is opened once. */
export class InputFiles {
  readonly list: PlanInputFile[] = [];
  readonly #index = new Map<string, number>();

  /** @param file index into the member's files */
  indexOf(members: readonly Checkpoint[], member: number, file: number): number {
    const key = `${member}/${file}`;
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.list.length;
      this.list.push({ member, file, path: members[member]!.files[file]!.path });
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
  /** What speaks against averaging a float tensor that no rule knows; null where nothing does. */
  doubt(shard: number, row: number): string | null;
  /** Where a tensor is made from another one: its name, and its place in the layout. */
  readonly source?: ((shard: number, row: number) => TensorPlace | undefined) | undefined;
  /** Where sources are views of what lies in other tensors: the layout and the members with those. */
  readonly viewed?: { readonly layout: Checkpoint; readonly members: readonly Checkpoint[] } | undefined;
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
 * whose shard of the same name has the very same (interned) columns are matched without a single name look-up.
 */
export function matchShard(
  shard: number,
  target: TargetShard,
  works: { readonly kinds: readonly Work[]; readonly of: Int32Array },
  matching: Matching,
  conflicts: Conflict[],
): MatchResult {
  const { layout, members, participates } = matching;
  const { path, name: file, tensors } = layout.shards[shard]!;
  const { table } = target;
  const runs: (RunRows | null)[] = [];
  const matrices: MatrixRows[] = [];
  const arranged: ReadonlySet<number>[] = [];
  const columns = members.map((_, m) => {
    runs.push(null);
    matrices.push(NONE);
    arranged.push(new Set());
    if (!participates[m]) return null;
    const matched = new MemberMatch(shard, target, works, m, matching, conflicts).run();
    runs[m] = matched.runs;
    matrices[m] = matched.matrices;
    arranged[m] = matched.arranged;
    return matched.columns;
  });

  const equal: EqualTensor[] = [];
  for (let row = 0; row < table.count; row++) {
    const work = works.kinds[works.of[row]!]!;
    const bytes = table.bytes[row]!;
    if (work.apart || bytes === 0) continue;
    const tensor = table.names[row]!;
    const own = dtypeByCode(tensors.dtypes[target.origin[row]!]!);
    if (work.equal === 'E_UNSUPPORTED_DTYPE') {
      conflicts.push({ code: 'E_UNSUPPORTED_DTYPE', ...unsupported(tensor, own), file: path, tensor });
      continue;
    }
    if (work.equal === null) continue;
    const copies = columns.flatMap((c, m) => {
      if (c === null || !work.needs[m] || c.file[row]! < 0 || arranged[m]!.has(row)) return [];
      const place = members[m]!.locate(tensors.names[target.origin[row]!]!, file);
      return place === undefined ? [] : [copyOfTensor(members[m]!, place)];
    });
    equal.push({ name: tensor, bytes, copies, code: work.equal, doubt: matching.doubt(shard, target.origin[row]!) });
  }
  return { spans: spansOf(table, columns, runs, matrices), equal, arranged: arranged.map((rows) => rows.size) };
}

/** Why a tensor is not averaged whose dtype is not a float's. */
function unsupported(tensor: string, { name, kind }: Dtype): Pick<Conflict, 'message' | 'help'> {
  if (kind !== 'complex') return { message: `tensor ${tensor} is ${name}, which is never averaged code by code` };
  return {
    message: `tensor ${tensor} is ${name}: complex numbers are not averaged`,
    help: `Take it from one checkpoint: --policy 'name=${tensor}:use=newest'.`,
  };
}

/** One member against one layout shard. */
class MemberMatch {
  readonly #runs = new Map<number, readonly SpanRun[]>();
  readonly #matrices = new Map<number, BoxedMatrix>();
  readonly #arranged = new Set<number>();
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

  run(): { columns: MemberColumns; runs: RunRows; matrices: MatrixRows; arranged: ReadonlySet<number> } {
    const { layout, files, viewed = this.#matching } = this.#matching;
    const { origin } = this.#target;
    const { name: shardName, tensors: table } = layout.shards[this.#shard]!;
    const { members } = viewed;
    const member = members[this.#m]!;
    const rows = origin.length;
    const isAlike = ({ name, tensors }: Shard) =>
      name === shardName &&
      (tensors === table || (tensors.boxes === null && this.#matching.source === undefined && haveSameTensors(tensors, table)));
    const same = table.boxes === null ? member.shards.findIndex(isAlike) : -1;
    const found = { runs: this.#runs, matrices: this.#matrices, arranged: this.#arranged };
    if (same >= 0) {
      const { offset, dtypes } = member.shards[same]!.tensors;
      const file = new Int32Array(rows).fill(files.indexOf(members, this.#m, same));
      // Members of one header have one column then, which is looked at once.
      if (this.#target.table === table) return { columns: { file, offset, dtype: dtypes }, ...found };
      const columns = {
        file,
        offset: new Float64Array(rows).map((_, i) => offset[origin[i]!]!),
        dtype: new Uint8Array(rows).map((_, i) => dtypes[origin[i]!]!),
      };
      return { columns, ...found };
    }
    const columns = { file: new Int32Array(rows).fill(-1), offset: new Float64Array(rows), dtype: new Uint8Array(rows) };
    for (let row = 0; row < rows; row++) {
      const work = this.#works.kinds[this.#works.of[row]!]!;
      if (!work.needs[this.#m] || work.apart) continue;
      const ours = origin[row]!;
      const source = this.#matching.source?.(this.#shard, ours);
      const like = source === undefined ? { table, row: ours } : { table: viewed.layout.shards[source.shard]!.tensors, row: source.row };
      const named = member.locate(like.table.names[like.row]!, shardName);
      const place = named ?? this.#elsewhere(row, ours, source);
      if (place === undefined) continue;
      const { tensors, path } = member.shards[place.shard]!;
      if (tensors.boxes !== null && named !== undefined) this.#inBoxes(row, place);
      const first = this.#matrices.get(row)?.boxes[0] ?? this.#runs.get(row)?.[0];
      columns.file[row] = first?.file ?? files.indexOf(members, this.#m, place.shard);
      columns.offset[row] = first?.offset ?? tensors.offset[place.row]!;
      columns.dtype[row] = tensors.dtypes[place.row]!;
      // Constant buffers that are the same but for rounding are taken from one member; of others, what they
      // hold is told.
      const copied = work.table < 0 && work.equal === null;
      const mixed = (this.#matching.allowMixedDtypes && !copied) || work.equal === 'E_BUFFERS_DIFFER';
      this.#compare(like.table, like.row, { table: tensors, row: place.row, path }, { whole: named !== undefined, mixed });
    }
    return { columns, ...found };
  }

  /**
   * Notes where a tensor lies that the member has in boxes: gathered where they are parts of rows, else run
   * by run.
   */
  #inBoxes(row: number, place: TensorPlace): void {
    const { files, viewed = this.#matching } = this.#matching;
    const { members } = viewed;
    const matrix = matrixOf(members[this.#m]!.shards[place.shard]!.tensors, place.row);
    if (matrix === null) {
      this.#runs.set(row, this.#runsOf(place));
      return;
    }
    const boxes = matrix.boxes.map((box) => ({ ...box, file: files.indexOf(members, this.#m, box.file) }));
    this.#matrices.set(row, { ...matrix, boxes });
  }

  /** Elements of a tensor of the member, seen as those of a layout's tensor from `to` on. */
  #runsOf(place: TensorPlace, from = 0, elements?: number, to = 0): SpanRun[] {
    const { files, viewed = this.#matching } = this.#matching;
    const { members } = viewed;
    const member = members[this.#m]!;
    const dtype = member.shards[place.shard]!.tensors.dtypes[place.row]!;
    return extentsOf(member, place, from, elements).map((extent) => ({
      from: extent.from - from + to,
      file: files.indexOf(members, this.#m, extent.file),
      offset: extent.offset,
      dtype,
    }));
  }

  /**
   * The first piece of a tensor that the member has in another layout; undefined, and a conflict, where it
   * has none.
   */
  #elsewhere(row: number, ours: number, source: TensorPlace | undefined): TensorPlace | undefined {
    const { layout, members, viewed = this.#matching } = this.#matching;
    const member = members[this.#m]!;
    const { name: file, tensors } = layout.shards[this.#shard]!;
    const tensor = source === undefined ? tensors.names[ours]! : viewed.layout.shards[source.shard]!.tensors.names[source.row]!;
    const arranged = source === undefined ? this.#matching.arrangement(this.#m).of(this.#shard, ours) : undefined;
    if (arranged !== undefined && 'pieces' in arranged) {
      this.#arranged.add(row);
      this.#runs.set(
        row,
        arranged.pieces.flatMap((piece) => this.#runsOf(piece, piece.sourceFrom, piece.elements, piece.from)),
      );
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

  #compare(
    ours: TensorTable,
    row: number,
    { table: theirs, row: theirRow, path }: { readonly table: TensorTable; readonly row: number; readonly path: string },
    { whole, mixed }: { readonly whole: boolean; readonly mixed: boolean },
  ): void {
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
    if (bothFloat && mixed) return;
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
  if (member === layout || member.shards.every((s, i) => haveSameTensors(s.tensors, layout.shards[i]?.tensors))) return [];
  return member.shards.flatMap(({ tensors, path, name: file }, shard) =>
    tensors.names.flatMap((tensor, row): Conflict[] => {
      if (layout.locate(tensor, file) !== undefined || known(shard, row)) return [];
      return [
        {
          code: 'E_TENSOR_EXTRA',
          message: `tensor ${tensor} of ${path} has no place in the output, whose tensors are those of ${layout.path}`,
          file: path,
          tensor,
        },
      ];
    }),
  );
}
