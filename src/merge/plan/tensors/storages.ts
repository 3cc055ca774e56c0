import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import { layOut } from '../../../checkpoints/containers/safetensors/encode-header.ts';
import { editState } from '../../../checkpoints/containers/torch/edit-state.ts';
import { storagesInOrder, type TorchStorage, type TorchTemplate } from '../../../checkpoints/containers/torch/template.ts';
import { extentOfView, type TorchTensor } from '../../../checkpoints/containers/torch/tensor.ts';
import { extentsOf } from '../../../checkpoints/tensors/extents.ts';
import { matrixOf } from '../../../checkpoints/tensors/matrix.ts';
import { elementCount } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import { holdsState } from '../inputs/merged-start.ts';
import { copyOfTensor, unequalTensors } from './equal.ts';
import type { MatchResult } from './match.ts';
import { boxStrides, withAxes } from './other-axes.ts';
import { type MatrixRows, type MemberColumns, type RunRows, type Spans, spansOf } from './spans.ts';
import type { TargetShard } from './target.ts';
import type { PlannedTensors } from './tensors.ts';
import { keptOptimizer, outputDtypes } from './treatments.ts';
import type { Work } from './work.ts';

/** The rows that fill a storage, one behind the other. */
export interface FilledStorage {
  readonly storage: TorchStorage;
  readonly rows: readonly number[];
}

/**
 * Planned tensors as the storages of files of torch.save: rows of targets fill them, in the order of the
 * files.
 */
export interface InStorages {
  readonly planned: PlannedTensors;
  /** By shard. */
  readonly storages: readonly (readonly FilledStorage[])[];
  /** By shard, the names in the file of the tensors that stay. */
  readonly kept: readonly ReadonlySet<string>[];
  /** Whether what holds no tensor stays, too. */
  readonly whole: boolean;
  readonly conflicts: readonly Conflict[];
}

/** A tensor of an output, as its file describes it. */
interface View {
  readonly row: number;
  readonly name: string;
  readonly tensor: TorchTensor;
  /** Axes from the outermost to the innermost as they lie, without those of one element or of no stride. */
  readonly axes: readonly number[];
  /** First element in the storage, and the one behind the last; they are all its own where it is dense. */
  readonly from: number;
  readonly to: number;
  readonly dense: boolean;
}

/** A row of a new target: a tensor, or bytes of the layout's storage that are no tensor's. */
type Piece =
  | { readonly view: View }
  | { readonly entry: TorchStorage['entry']; readonly at: number; readonly bytes: number; readonly cast: View | null };

/**
 * Lays planned tensors out as the storages of the layout's files. What several tensors share is written once,
 * where they are one in every member, too; bytes of a storage that are no tensor's are copied from the
 * layout.
 * @param templates by shard
 */
export async function inStorages(
  planned: PlannedTensors,
  layout: Checkpoint,
  checkpoints: readonly Checkpoint[],
  drafts: readonly DraftOutput[],
  templates: readonly TorchTemplate[],
  signal?: AbortSignal,
): Promise<InStorages> {
  const conflicts: Conflict[] = [];
  const whole = drafts.some(({ output }) => keptOptimizer(output, holdsState('torch', layout)) !== null);
  const made = new Storages(planned, layout, checkpoints, drafts, conflicts);
  const shards = [];
  for (const [s, template] of templates.entries()) {
    const kept = keptNames(planned.targets[s]!.table.names, template);
    const edited = editState(template, { kept, whole, dtypes: new Map() });
    if (edited !== null && 'refused' in edited) {
      made.refuse(s, edited.name, edited.refused);
      shards.push({ kept, filled: [], pieces: [] });
      continue;
    }
    const pieces: Piece[] = [];
    const filled: FilledStorage[] = [];
    const views = made.viewsOf(s, template);
    for (const storage of storagesInOrder(template, edited?.keys ?? null)) {
      const own = await made.fill(s, storage, views.get(storage.key) ?? [], signal);
      filled.push({ storage, rows: own.map((_, i) => pieces.length + i) });
      pieces.push(...own);
    }
    shards.push({ kept, filled, pieces });
  }
  return {
    planned: made.planned(shards.map(({ pieces }) => pieces)),
    storages: shards.map(({ filled }) => filled),
    kept: shards.map(({ kept }) => kept),
    whole,
    conflicts,
  };
}

/** What a tensor of the checkpoint is called in its file. */
function inFile(name: string, { inFile: start, inTable }: TorchTemplate['names']): string {
  return `${start}${name.slice(inTable.length)}`;
}

/** The names in a file of the tensors that stay: those of an output, and all that are none of the checkpoint's. */
function keptNames(names: readonly string[], template: TorchTemplate): ReadonlySet<string> {
  const beside = [...template.tensors.keys()].filter((name) => !name.startsWith(template.names.inFile));
  return new Set([...names.map((name) => inFile(name, template.names)), ...beside]);
}

class Storages {
  readonly #planned: PlannedTensors;
  readonly #layout: Checkpoint;
  readonly #members: readonly Checkpoint[];
  readonly #conflicts: Conflict[];
  /** The member that is the layout; -1 where none is. */
  readonly #own: number;
  /** By output and shard, [rows of the target] dtype codes. */
  readonly #dtypes: readonly (readonly Uint8Array[])[];
  readonly #kinds: Work[];
  readonly #weights: number[];
  #copy = -1;
  #cast = -1;

  constructor(
    planned: PlannedTensors,
    layout: Checkpoint,
    members: readonly Checkpoint[],
    drafts: readonly DraftOutput[],
    conflicts: Conflict[],
  ) {
    this.#planned = planned;
    this.#layout = layout;
    this.#members = members;
    this.#conflicts = conflicts;
    this.#own = members.indexOf(layout);
    this.#kinds = [...planned.works.kinds];
    this.#weights = [...planned.works.weights];
    this.#dtypes = drafts.map(({ output }, k) =>
      planned.targets.map(({ table }, s) =>
        outputDtypes(table.dtypes, planned.treatmentOf[k]![s]!, planned.treatments[k]!.treatments, output.dtype),
      ),
    );
  }

  refuse(shard: number, name: string, text: string): void {
    const file = this.#layout.files[shard]!.path;
    this.#conflicts.push({ code: 'E_TORCH_FILE', message: `${file}: ${name} ${text}`, file, tensor: name });
  }

  /** Tensors of a target by the storages that they lie in. */
  viewsOf(shard: number, { tensors, names }: TorchTemplate): Map<string, View[]> {
    const views = new Map<string, View[]>();
    for (const [row, name] of this.#planned.targets[shard]!.table.names.entries()) {
      const tensor = tensors.get(inFile(name, names));
      if (tensor === undefined || this.#workOf(shard, row).apart) {
        this.refuse(shard, name, 'has another form in the output than in its file, which is not written as torch.save does');
      } else {
        const own = views.get(tensor.storage) ?? [];
        own.push(viewOf(row, name, tensor));
        views.set(tensor.storage, own);
      }
    }
    return views;
  }

  /** What is written into a storage, from its first byte to its last. */
  async fill(shard: number, { entry, key }: TorchStorage, all: readonly View[], signal?: AbortSignal): Promise<Piece[]> {
    // One without elements stands for the dtype.
    if (entry.size === 0) return all.slice(0, 1).map((view) => ({ view }));
    const whole: Piece = { entry, at: 0, bytes: entry.size, cast: null };
    const views = all.filter(({ from, to }) => to > from);
    const [first] = views;
    const copied = (row: number): boolean => this.#workOf(shard, row).table === -1 - this.#own && !this.#changes(shard, row);
    const empty = all[0] !== undefined && this.#changes(shard, all[0].row) ? all[0] : null;
    if (this.#own >= 0 && first === undefined) return [{ ...whole, cast: empty }];
    if (this.#own >= 0 && views.every(({ row }) => copied(row))) return [whole];
    if (first === undefined) return this.#without(shard, `data/${key}`);
    const other = views.find(
      ({ row, tensor: { dtype } }) =>
        dtype !== first.tensor.dtype || this.#dtypes.some((byShard) => byShard[shard]![row] !== byShard[shard]![first.row]),
    );
    if (other !== undefined) {
      this.refuse(
        shard,
        other.name,
        `shares its storage with ${first.name}, and would have another dtype than that: let a policy name both`,
      );
      return [whole];
    }
    const dense = views.filter((view) => view.dense).sort((a, b) => a.from - b.from || b.to - a.to || a.row - b.row);
    const leading: View[] = [];
    for (const view of dense) {
      const last = leading.at(-1);
      if (last === undefined || view.from >= last.to) leading.push(view);
      else if (view.to > last.to)
        this.refuse(shard, view.name, `overlaps ${last.name}, and neither holds the other: save them with .clone()`);
      else await this.#within(shard, view, last, signal);
    }
    for (const view of views.filter((one) => !one.dense)) {
      const holder = leading.find(({ from, to }) => from <= view.from && view.to <= to);
      if (holder === undefined)
        this.refuse(shard, view.name, 'is a view with gaps, of elements that no tensor has together: save it with .contiguous()');
      else await this.#within(shard, view, holder, signal);
    }
    for (const view of leading) this.#sameForm(shard, view);
    const size = dtypeByCode(this.#planned.targets[shard]!.table.dtypes[first.row]!).bits / 8;
    const cast = this.#changes(shard, first.row) ? first : null;
    const pieces: Piece[] = [];
    let end = 0;
    const gap = (to: number): void => {
      if (to > end)
        pieces.push(...(this.#own < 0 ? this.#without(shard, first.name) : [{ entry, at: end * size, bytes: (to - end) * size, cast }]));
    };
    for (const view of leading) {
      gap(view.from);
      pieces.push({ view });
      end = view.to;
    }
    gap(entry.size / size);
    return pieces;
  }

  /** Bytes of a layout that is no member: they are not read. */
  #without(shard: number, name: string): Piece[] {
    this.refuse(
      shard,
      name,
      worded`leaves bytes of its storage that no tensor has, and those of --like are not copied: let the newest member be the layout`,
    );
    return [];
  }

  #workOf(shard: number, row: number): Work {
    return this.#planned.works.kinds[this.#planned.workOf[shard]![row]!]!;
  }

  #changes(shard: number, row: number): boolean {
    const own = this.#planned.targets[shard]!.table.dtypes[row];
    return this.#dtypes.some((byShard) => byShard[shard]![row] !== own);
  }

  #place(m: number, shard: number, name: string): TensorPlace | undefined {
    return this.#members[m]!.locate(name, this.#layout.shards[shard]!.name);
  }

  /** Whether what one tensor shares with another is the same in every member, too. */
  async #within(shard: number, view: View, holder: View, signal?: AbortSignal): Promise<void> {
    const [work, other] = [this.#workOf(shard, view.row), this.#workOf(shard, holder.row)];
    if (work.table !== other.table) {
      this.refuse(
        shard,
        view.name,
        `shares its bytes with ${holder.name}, and the policies treat them differently: let a policy name both`,
      );
      return;
    }
    for (const [m, member] of this.#members.entries()) {
      if (!other.needs[m] || member === this.#layout) continue;
      const [a, b] = [this.#place(m, shard, view.name), this.#place(m, shard, holder.name)];
      // Where one is not there, that is said.
      if (a === undefined || b === undefined || sharesAlike(member, [a, view], [b, holder])) continue;
      const alike =
        view.from === holder.from &&
        view.tensor.shape.join() === holder.tensor.shape.join() &&
        view.tensor.stride.join() === holder.tensor.stride.join();
      const differ = async (): Promise<boolean> => {
        const { bytes } = member.shards[a.shard]!.tensors;
        const copies = [copyOfTensor(member, a), copyOfTensor(member, b)];
        const found = await unequalTensors([{ name: view.name, bytes: bytes[a.row]!, copies, code: 'E_NOT_EQUAL' }], signal);
        return found.length > 0;
      };
      if (alike && !(await differ())) continue;
      this.refuse(
        shard,
        view.name,
        `shares its bytes with ${holder.name}, and in ${member.path} the two ${alike ? 'differ' : 'do not'}: a merge would have to take one of them`,
      );
      return;
    }
  }

  /** Of what is one element in many places, every member must have one, too. */
  #sameForm(shard: number, { row, name, tensor }: View): void {
    const expanded = tensor.shape.flatMap((size, axis) => (size > 1 && tensor.stride[axis] === 0 ? [axis] : []));
    if (expanded.length === 0) return;
    for (const [m, member] of this.#members.entries()) {
      const place = this.#place(m, shard, name);
      if (!this.#workOf(shard, row).needs[m] || member === this.#layout || place === undefined) continue;
      const strides = boxStrides(member.shards[place.shard]!.tensors, place.row);
      if (strides !== null && expanded.every((axis) => strides[axis] === 0)) continue;
      this.refuse(shard, name, `is expanded from fewer elements, and in ${member.path} it is not: save it with .clone()`);
      return;
    }
  }

  /** The plan whose rows are these pieces. */
  planned(byShard: readonly (readonly Piece[])[]): PlannedTensors {
    const parts = byShard.map((pieces, s) => this.#shard(s, pieces));
    const copies = byShard.some((pieces) => pieces.some((piece) => 'entry' in piece));
    return {
      ...this.#planned,
      participates: this.#planned.participates.map((is, m) => is || (copies && m === this.#own)),
      works: { ...this.#planned.works, kinds: this.#kinds, weights: Float64Array.from(this.#weights) },
      targets: parts.map(({ target }) => target),
      workOf: parts.map(({ workOf }) => workOf),
      treatmentOf: this.#planned.treatmentOf.map((of) => parts.map(({ source }, s) => source.map((row) => (row < 0 ? 0 : of[s]![row]!)))),
      matched: parts.map(({ spans }, s): MatchResult => ({ ...this.#planned.matched[s]!, spans })),
    };
  }

  #shard(s: number, pieces: readonly Piece[]): { target: TargetShard; workOf: Int32Array; source: Int32Array; spans: Spans } {
    const { table, origin } = this.#planned.targets[s]!;
    const { spans } = this.#planned.matched[s]!;
    const names: string[] = [];
    const shapes: (readonly number[])[] = [];
    const dtypes = new Uint8Array(pieces.length);
    const workOf = new Int32Array(pieces.length);
    const source = new Int32Array(pieces.length);
    const joined = new JoinedSpans(this.#members.length);
    const first = new Map<number, number>();
    for (const [span, row] of spans.row.entries()) if (!first.has(row)) first.set(row, span);
    for (const [i, piece] of pieces.entries()) {
      if ('view' in piece) {
        const { row, tensor, axes } = piece.view;
        const shape = axes.map((axis) => tensor.shape[axis]!);
        const asItIs = isRowMajor(piece.view);
        names.push(table.names[row]!);
        shapes.push(asItIs ? table.shapes[row]! : shape);
        dtypes[i] = table.dtypes[row]!;
        workOf[i] = this.#planned.workOf[s]![row]!;
        source[i] = row;
        if (asItIs) for (let span = first.get(row)!; spans.row[span] === row; span++) joined.add(i, spans, span, row);
        else {
          const own = this.#otherwise(s, row, axes, shape);
          for (let span = 0; span < own.row.length; span++) joined.add(i, own, span, 0);
        }
        continue;
      }
      const { entry, at, bytes, cast } = piece;
      const code = cast === null ? BYTE : table.dtypes[cast.row]!;
      names.push(`bytes ${at} to ${at + bytes} of ${entry.name}`);
      shapes.push([(bytes * 8) / dtypeByCode(code).bits]);
      dtypes[i] = code;
      workOf[i] = cast === null ? this.#copies() : this.#casts();
      source[i] = cast === null ? -1 : cast.row;
      const file = this.#planned.files.indexOf(this.#members, this.#own, s);
      joined.addOne(i, shapes[i]![0]!, this.#own, { file, offset: entry.offset + at, dtype: code });
    }
    return {
      target: { table: layOut({ names, shapes, dtypes }), origin: source.map((row) => (row < 0 ? -1 : origin[row]!)) },
      workOf,
      source,
      spans: joined.spans(spans.columns),
    };
  }

  /** Where the members have a tensor whose elements lie in another order than that of its dimensions. */
  #otherwise(s: number, row: number, axes: readonly number[], shape: readonly number[]): Spans {
    const { table } = this.#planned.targets[s]!;
    const [runs, matrices]: [(RunRows | null)[], MatrixRows[]] = [[], []];
    const columns = this.#planned.matched[s]!.spans.columns.map((column, m): MemberColumns | null => {
      runs.push(null);
      matrices.push(new Map());
      const place = this.#place(m, s, table.names[row]!);
      if (column === null || !this.#workOf(s, row).needs[m] || place === undefined) return column === null ? null : NOWHERE();
      const own = withAxes(this.#members[m]!.shards[place.shard]!.tensors, place, axes);
      const dtype = own.dtypes[0]!;
      const matrix = matrixOf(own, 0);
      const indexOf = (file: number): number => this.#planned.files.indexOf(this.#members, m, file);
      const extents = matrix === null ? extentsOf({ shards: [{ tensors: own }] as never }, { shard: 0, row: 0 }) : [];
      const found = extents.map(({ from, file, offset }) => ({ from, file: indexOf(file), offset, dtype }));
      if (matrix !== null) {
        matrices[m] = new Map([[0, { ...matrix, boxes: matrix.boxes.map((box) => ({ ...box, file: indexOf(box.file) })) }]]);
      } else if (found.length > 1) runs[m] = new Map([[0, found]]);
      const at = matrix === null ? found[0]! : { file: indexOf(matrix.boxes[0]!.file), offset: matrix.boxes[0]!.offset };
      return { file: Int32Array.of(at.file), offset: Float64Array.of(at.offset), dtype: Uint8Array.of(dtype) };
    });
    return spansOf(layOut({ names: [''], shapes: [shape], dtypes: Uint8Array.of(table.dtypes[row]!) }), columns, runs, matrices);
  }

  /** What copies bytes of the layout. */
  #copies(): number {
    if (this.#copy < 0) {
      const only = this.#members.map((_, m) => m === this.#own);
      this.#copy = this.#kinds.push({ table: -1 - this.#own, needs: only, reads: only, equal: null, apart: false }) - 1;
    }
    return this.#copy;
  }

  /** What rounds elements of the layout. */
  #casts(): number {
    if (this.#cast < 0) {
      const only = this.#members.map((_, m) => m === this.#own);
      const table = this.#weights.length / (this.#dtypes.length * this.#members.length);
      for (let k = 0; k < this.#dtypes.length; k++) this.#weights.push(...only.map(Number));
      this.#cast = this.#kinds.push({ table, needs: only, reads: only, equal: null, apart: false }) - 1;
    }
    return this.#cast;
  }
}

/** Bytes that are copied, whatever they are. */
const BYTE = 4;
const NOWHERE = (): MemberColumns => ({ file: Int32Array.of(-1), offset: new Float64Array(1), dtype: new Uint8Array(1) });

/** Spans of several sources, one behind the other. */
class JoinedSpans {
  readonly #row: number[] = [];
  readonly #from: number[] = [];
  readonly #elements: number[] = [];
  readonly #file: number[][];
  readonly #offset: number[][];
  readonly #dtype: number[][];
  readonly #matrices: Map<number, NonNullable<ReturnType<typeof matrixOf>>>[];

  constructor(members: number) {
    const lists = (): number[][] => Array.from({ length: members }, () => []);
    [this.#file, this.#offset, this.#dtype] = [lists(), lists(), lists()];
    this.#matrices = Array.from({ length: members }, () => new Map());
  }

  add(row: number, { from, elements, columns, matrices }: Spans, span: number, sourceRow: number): void {
    this.#row.push(row);
    this.#from.push(from[span]!);
    this.#elements.push(elements[span]!);
    for (const [m, column] of columns.entries()) {
      this.#push(m, { file: column?.file[span] ?? -1, offset: column?.offset[span] ?? 0, dtype: column?.dtype[span] ?? 0 });
      const matrix = matrices[m]?.get(sourceRow);
      if (matrix !== undefined) this.#matrices[m]!.set(row, matrix);
    }
  }

  /** A row that one member has. */
  addOne(
    row: number,
    elements: number,
    member: number,
    at: { readonly file: number; readonly offset: number; readonly dtype: number },
  ): void {
    this.#row.push(row);
    this.#from.push(0);
    this.#elements.push(elements);
    for (const m of this.#file.keys()) this.#push(m, m === member ? at : { file: -1, offset: 0, dtype: 0 });
  }

  #push(m: number, { file, offset, dtype }: { readonly file: number; readonly offset: number; readonly dtype: number }): void {
    this.#file[m]!.push(file);
    this.#offset[m]!.push(offset);
    this.#dtype[m]!.push(dtype);
  }

  /** @param columns which members take part; one that has bytes here does, too */
  spans(columns: readonly (MemberColumns | null)[]): Spans {
    return {
      row: Int32Array.from(this.#row),
      from: Float64Array.from(this.#from),
      elements: Float64Array.from(this.#elements),
      columns: columns.map((column, m): MemberColumns | null => {
        const file = Int32Array.from(this.#file[m]!);
        if (column === null && file.every((one) => one < 0)) return null;
        return { file, offset: Float64Array.from(this.#offset[m]!), dtype: Uint8Array.from(this.#dtype[m]!) };
      }),
      matrices: this.#matrices,
    };
  }
}

function viewOf(row: number, name: string, tensor: TorchTensor): View {
  const { shape, stride, offset } = tensor;
  const axes = shape.flatMap((size, axis) => (size > 1 && stride[axis] !== 0 ? [axis] : [])).sort((a, b) => stride[b]! - stride[a]!);
  const sizes = axes.map((axis) => shape[axis]!);
  const dense = axes.every((axis, i) => stride[axis] === elementCount(sizes.slice(i + 1)));
  return { row, name, tensor, axes, from: offset, to: Math.max(offset, extentOfView(tensor)), dense };
}

/** Whether the elements of a dense view lie in the order of its dimensions. */
function isRowMajor({ axes, tensor: { shape, stride } }: View): boolean {
  return axes.every((axis, i) => i === 0 || axis > axes[i - 1]!) && !shape.some((size, axis) => size > 1 && stride[axis] === 0);
}

/** Whether a member has two tensors in one place, as the layout has. */
function sharesAlike(member: Checkpoint, [a, view]: readonly [TensorPlace, View], [b, holder]: readonly [TensorPlace, View]): boolean {
  const parts = [a, b].map((place) => {
    const { tensors } = member.shards[place.shard]!;
    const strides = boxStrides(tensors, place.row);
    const box = tensors.boxes?.first[place.row];
    return strides === null || box === undefined
      ? null
      : { strides, file: tensors.boxes!.file[box]!, offset: tensors.boxes!.offset[box]!, dtype: tensors.dtypes[place.row]! };
  });
  const [x, y] = parts;
  if (x == null || y == null || x.file !== y.file || x.dtype !== y.dtype) return false;
  const same = (strides: readonly number[], { tensor }: View): boolean =>
    strides.every((stride, axis) => tensor.shape[axis]! <= 1 || stride === tensor.stride[axis]);
  const size = dtypeByCode(x.dtype).bits / 8;
  return same(x.strides, view) && same(y.strides, holder) && x.offset - y.offset === (view.from - holder.from) * size;
}
