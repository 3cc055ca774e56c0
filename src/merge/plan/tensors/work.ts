import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict, ErrorCode } from '../../../base/errors.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { TensorIndex } from '../../../model/roles/tensor-index.ts';
import type { Treatment } from '../../../recipe/policy/types.ts';
import type { OutputTreatments } from './treatments.ts';

/** One way to treat tensors, in all outputs together. */
export interface Work {
  /** Weight table to use, or -1-m to copy the bytes of member m; of the number of members, zeros. */
  readonly table: number;
  /** [N] members that must hold the tensor, in the layout's shape. */
  readonly needs: readonly boolean[];
  /** [N] members whose bytes the engine reads. */
  readonly reads: readonly boolean[];
  /** Where the bytes must be the same in all that are needed: what it is when they are not. */
  readonly equal: ErrorCode | null;
  /** Quantised weights and their scales: no segment covers them, they have work of their own. */
  readonly apart: boolean;
}

/** The treatment of every tensor of the layout. */
export interface Works {
  readonly kinds: readonly Work[];
  /** By shard, [rows of the layout] index into `kinds`; -1 where the tensor is dropped. */
  readonly of: readonly Int32Array[];
  /** [tables x K x N] */
  readonly weights: Float64Array;
}

/** Tensors that are not treated as their dtype says, by shard and row of the layout. */
export interface Exceptions {
  isApart(shard: number, row: number): boolean;
  /** Member whose bytes are copied into every output; undefined for all other tensors. */
  copiedFrom(shard: number, row: number): number | undefined;
}

/** @param participates [N] */
export function buildWorks(
  layout: Checkpoint,
  outputs: readonly OutputTreatments[],
  participates: readonly boolean[],
  exceptions: Exceptions,
  conflicts: Conflict[],
): Works {
  const N = participates.length;
  const kinds: Work[] = [];
  const tables: number[] = [];
  const tableIndex = new Map<string, number>();
  const kindIndex = new Map<string, number>();
  const distinct = [...new Set(outputs.map((o) => o.of))];

  const weightTable = (rows: readonly number[]): number => {
    const table = outputs.flatMap((output, k) => [...output.weights[rows[k]!]!]);
    const key = table.join();
    let index = tableIndex.get(key);
    if (index === undefined) {
      index = tableIndex.size;
      tableIndex.set(key, index);
      tables.push(...table);
    }
    return index;
  };

  const make = (shard: number, row: number, at: number): Work => {
    const rows = outputs.map((o) => o.of[at]!);
    const treatments = outputs.map((o, k) => o.treatments[rows[k]!]!);
    const apart = exceptions.isApart(shard, row);
    const copied = exceptions.copiedFrom(shard, row);
    const only = (m: number): boolean[] => participates.map((_, i) => i === m);
    if (copied !== undefined) return { table: -1 - copied, needs: only(copied), reads: only(copied), equal: null, apart: false };
    if (apart && treatments.every((t) => t.kind === 'with-weight'))
      return { table: -1, needs: only(-1), reads: only(-1), equal: null, apart };
    if (treatments.some((t) => t.kind === 'zero')) {
      if (!treatments.every((t) => t.kind === 'zero')) conflicts.push(severalSources(layout, shard, row));
      return { table: -1 - N, needs: only(-1), reads: only(-1), equal: null, apart: false };
    }
    // Infinities are copied and not summed, where one member's do for all outputs.
    const sources = new Set(treatments.map((t, k) => (t.kind === 'member' ? outputs[k]!.members[t.member!] : -1)));
    const asBytes =
      sources.size === 1 &&
      treatments.every((t) => (t.default === 'state' && t.kind === 'member') || (t.default === 'activation state' && t.policy === null));
    const bytes = !apart && (asBytes || dtypeByCode(layout.shards[shard]!.tensors.dtypes[row]!).kind !== 'float');
    const demands = treatments.filter((t) => mustBeEqual(t, bytes));
    // A policy that averages what is never averaged is told as such, and nothing need be equal for it.
    const equal =
      demands.find((t) => t.unequal !== null)?.unequal ?? (demands.some((t) => t.kind === 'with-weight') ? 'E_NOT_EQUAL' : null);
    if (bytes || demands.length === treatments.length) {
      const wanted = new Set(treatments.flatMap((t, k) => (t.kind === 'member' ? [outputs[k]!.members[t.member!]!] : [])));
      if (wanted.size > 1) conflicts.push(severalSources(layout, shard, row));
      const from = [...wanted][0] ?? participates.lastIndexOf(true);
      return { table: -1 - from, needs: equal === null ? only(from) : [...participates], reads: only(from), equal, apart };
    }
    const table = weightTable(rows);
    const reads = participates.map((_, m) => outputs.some((_, k) => tables[(table * outputs.length + k) * N + m] !== 0));
    return { table, needs: equal === null ? reads : [...participates], reads, equal, apart };
  };

  const index = new TensorIndex(layout);
  // Neighbours are mostly of one kind.
  let last = { which: '', dtype: -1, kind: -1 };
  const of = layout.shards.map(({ tensors }, shard) =>
    new Int32Array(tensors.count).map((_, row) => {
      const at = index.of(shard, row);
      if (outputs[0]!.treatments[outputs[0]!.of[at]!]!.kind === 'drop') return -1;
      const which = distinct.length === 1 ? `${distinct[0]![at]}` : distinct.map((d) => d[at]).join();
      const dtype = tensors.dtypes[row]!;
      const [apart, copied] = [exceptions.isApart(shard, row), exceptions.copiedFrom(shard, row)];
      if (!apart && copied === undefined && which === last.which && dtype === last.dtype) return last.kind;
      const special = copied ?? (apart ? 'apart' : '');
      const key = `${which} ${dtypeByCode(dtype).kind} ${special}`;
      let kind = kindIndex.get(key);
      if (kind === undefined) {
        kind = kinds.length;
        kindIndex.set(key, kind);
        kinds.push(make(shard, row, at));
      }
      if (special === '') last = { which, dtype, kind };
      return kind;
    }),
  );
  return { kinds, of, weights: Float64Array.from(tables) };
}

function mustBeEqual({ kind }: Treatment, bytes: boolean): boolean {
  return kind === 'equal' || kind === 'with-weight' || (bytes && kind === 'average');
}

function severalSources(layout: Checkpoint, shard: number, row: number): Conflict {
  const { path, tensors } = layout.shards[shard]!;
  const tensor = tensors.names[row]!;
  const message = `the outputs want the bytes of ${tensor} from different members, or none, and it is not computed from them, so one read cannot serve them: make the outputs one by one`;
  return { code: 'E_LAYOUTS_DIFFER', message, file: path, tensor };
}
