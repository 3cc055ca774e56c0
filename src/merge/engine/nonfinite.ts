import { MergeError, type Warning } from '../../base/errors.ts';
import type { NonfiniteCount } from '../native/combine.ts';
import type { JournalUnit, UnitNonfinite } from '../output/types.ts';
import type { Plan } from '../plan/types.ts';

interface Found extends UnitNonfinite {
  readonly shard: number;
}

/**
 * Adds up non-finite counts by output, tensor and member over the calls of a merge (a tensor may span
 * several) and over all units, whoever made them. Each output has the counts that it would have alone: of
 * the members that have a weight in it, and of its own sums.
 */
export class NonfiniteTally {
  readonly #plan: Plan;
  /** [K] by shard, row and member. */
  readonly #total: Map<string, Found>[];
  /** Of the unit in work, as the engine numbers members and outputs. */
  #unit = new Map<string, UnitNonfinite>();

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#total = plan.outputs.map(() => new Map());
  }

  /** Adds what a call found. */
  add(cellRow: Int32Array, found: readonly NonfiniteCount[]): void {
    for (const { cell, ...count } of found) addTo(this.#unit, `${cellRow[cell]!} ${count.member}`, { row: cellRow[cell]!, ...count });
  }

  /**
   * Ends a unit: its counts enter its journal lines (one an output), from which they are taken in the end. A
   * line counts members in the order of its own output, because the run that resumes may make fewer outputs
   * from fewer members.
   */
  endUnit(lines: readonly JournalUnit[]): JournalUnit[] {
    const found = [...this.#unit.values()];
    this.#unit = new Map();
    return lines.map((line, k) => ({ ...line, nonfinite: found.flatMap((count) => this.#ownCount(count, k)) }));
  }

  /** The count with the output's own number of its member; nothing where it does not concern this output. */
  #ownCount(count: UnitNonfinite, k: number): UnitNonfinite[] {
    if (count.member < 0) return count.member === -1 - k ? [{ ...count, member: -1 }] : [];
    const { members, used } = this.#plan.outputs[k]!;
    const member = members.indexOf(count.member);
    return member >= 0 && used[member] ? [{ ...count, member }] : [];
  }

  /**
   * Adds the counts of a finished unit to the total.
   * @throws MergeError E_INTERNAL for counts of tensors or members that there are none of
   */
  restore(shard: number, lines: readonly JournalUnit[]): void {
    for (const [k, { nonfinite, file }] of lines.entries()) {
      const { path, members } = this.#plan.outputs[k]!;
      const isCount = ({ row, member }: UnitNonfinite): boolean =>
        row < this.#plan.tables[shard]!.names.length && member >= -1 && member < members.length;
      if (!nonfinite.every(isCount))
        throw new MergeError('E_INTERNAL', `a journal of ${path} (${file}) counts tensors or members that there are none of`);
      for (const count of nonfinite)
        if (!this.#plan.padding?.[shard]?.has(count.row))
          addTo(this.#total[k]!, `${shard} ${count.row} ${count.member}`, { ...count, shard });
    }
  }

  /** The first tensor at fault: one with NaN or infinity. */
  first(): { tensor: string; file: string } | undefined {
    for (const [k, total] of this.#total.entries()) {
      for (const entry of total.values()) {
        if (entry.nan + entry.inf > 0) return { tensor: this.#tensor(entry), file: this.#place(entry, k) };
      }
    }
    return undefined;
  }

  /** What was found, for each output. */
  warnings(): Warning[][] {
    return this.#total.map((total, k) => [...total.values()].flatMap((entry) => this.#warnings(entry, k)));
  }

  #warnings(entry: Found, k: number): Warning[] {
    const { member, nan, inf, saturated } = entry;
    const [tensor, place] = [this.#tensor(entry), this.#place(entry, k)];
    if (member >= 0) return [{ code: 'W_NONFINITE', message: `tensor ${tensor} of ${place} holds ${nan} NaN and ${inf} infinite values` }];
    const tooLarge = (count: number) => `${count} sums of finite values of tensor ${tensor} are too large for the dtype of ${place}`;
    const warnings: Warning[] = [];
    if (nan + inf > 0) warnings.push({ code: 'W_OVERFLOW', message: `${tooLarge(nan + inf)} and are not finite there` });
    if (saturated > 0) warnings.push({ code: 'W_SATURATED', message: `${tooLarge(saturated)} and are its largest number there` });
    return warnings;
  }

  #tensor({ shard, row }: Found): string {
    return this.#plan.tables[shard]!.names[row]!;
  }

  #place({ member }: Found, k: number): string {
    const output = this.#plan.outputs[k]!;
    return member >= 0 ? this.#plan.members[output.members[member]!]!.path : output.path;
  }
}

function addTo<T extends UnitNonfinite>(counts: Map<string, T>, key: string, count: T): void {
  const before = counts.get(key);
  counts.set(
    key,
    before === undefined
      ? count
      : { ...count, nan: count.nan + before.nan, inf: count.inf + before.inf, saturated: count.saturated + before.saturated },
  );
}
