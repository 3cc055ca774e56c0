import type { Warning } from '../errors.ts';
import type { NonfiniteCount } from '../native/binding.ts';
import type { Plan } from '../plan/types.ts';
import type { JournalUnit, UnitNonfinite } from '../publish/types.ts';

/** Adds up non-finite counts by tensor and member over the calls of a merge (a tensor may span several), and over a resumed run's earlier units. */
export class NonfiniteTally {
  readonly #plan: Plan;
  /** Of the whole merge, and of the unit in work. */
  readonly #total = new Map<string, UnitNonfinite & { readonly shard: number }>();
  #unit = new Map<string, UnitNonfinite>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** Adds what a call found. */
  add(cellRow: Int32Array, found: readonly NonfiniteCount[]): void {
    for (const { cell, member, nan, inf } of found) {
      const row = cellRow[cell]!;
      const key = `${row} ${member}`;
      const before = this.#unit.get(key);
      this.#unit.set(key, { row, member, nan: nan + (before?.nan ?? 0), inf: inf + (before?.inf ?? 0) });
    }
  }

  /** Ends a unit: its counts enter the total, and its journal lines (one an output), so that a resumed merge reports them too. */
  endUnit(shard: number, lines: readonly JournalUnit[]): JournalUnit[] {
    const found = [...this.#unit.values()];
    this.#unit = new Map();
    // Every count once: an input's with the first output, an overflow with its own.
    const counted = lines.map((line, k) => ({
      ...line,
      nonfinite: found.filter(({ member }) => (member < 0 ? member === -1 - k : k === 0)),
    }));
    this.restore(shard, counted);
    return counted;
  }

  /** Adds the counts of a unit that an earlier run finished. */
  restore(shard: number, lines: readonly JournalUnit[]): void {
    for (const { row, member, nan, inf } of lines.flatMap((line) => line.nonfinite)) {
      const key = `${shard} ${row} ${member}`;
      const before = this.#total.get(key);
      this.#total.set(key, { shard, row, member, nan: nan + (before?.nan ?? 0), inf: inf + (before?.inf ?? 0) });
    }
  }

  /** The first tensor at fault. */
  first(): { tensor: string; file: string } | undefined {
    const [entry] = this.#total.values();
    return entry && { tensor: this.#tensor(entry), file: this.#place(entry.member) };
  }

  warnings(): Warning[] {
    return [...this.#total.values()].map((entry) => {
      const { member, nan, inf } = entry;
      const [tensor, place] = [this.#tensor(entry), this.#place(member)];
      if (member >= 0) return { code: 'W_NONFINITE', message: `tensor ${tensor} of ${place} holds ${nan} NaN and ${inf} infinite values` };
      const message = `${nan + inf} sums of finite values of tensor ${tensor} are too large for the dtype of ${place} and are not finite there`;
      return { code: 'W_OVERFLOW', message };
    });
  }

  #tensor({ shard, row }: { readonly shard: number; readonly row: number }): string {
    return this.#plan.layout.shards[shard]!.header.tensors.names[row]!;
  }

  #place(member: number): string {
    return member >= 0 ? this.#plan.members[member]!.path : this.#plan.outputs[-1 - member]!.path;
  }
}
