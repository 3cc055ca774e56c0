import type { Warning } from '../errors.ts';
import type { NonfiniteCount } from '../native/binding.ts';
import type { Plan } from '../plan/types.ts';

/** Adds up non-finite counts by tensor and member over the calls of a merge; a tensor may span several calls. */
export class NonfiniteTally {
  readonly #plan: Plan;
  readonly #counts = new Map<string, { tensor: string; member: number; nan: number; inf: number }>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  add(shard: number, cellRow: Int32Array, found: readonly NonfiniteCount[]): void {
    const names = this.#plan.layout.shards[shard]!.header.tensors.names;
    for (const { cell, member, nan, inf } of found) {
      const tensor = names[cellRow[cell]!]!;
      const key = `${member} ${tensor}`;
      const entry = this.#counts.get(key) ?? { tensor, member, nan: 0, inf: 0 };
      entry.nan += nan;
      entry.inf += inf;
      this.#counts.set(key, entry);
    }
  }

  get size(): number {
    return this.#counts.size;
  }

  /** The first tensor at fault. */
  first(): { tensor: string; file: string } | undefined {
    const [entry] = this.#counts.values();
    return entry && { tensor: entry.tensor, file: this.#place(entry.member) };
  }

  warnings(): Warning[] {
    return [...this.#counts.values()].map(({ tensor, member, nan, inf }) =>
      member >= 0
        ? { code: 'W_NONFINITE', message: `tensor ${tensor} of ${this.#place(member)} holds ${nan} NaN and ${inf} infinite values` }
        : {
            code: 'W_OVERFLOW',
            message: `${inf} finite sums of tensor ${tensor} are too large for the dtype of ${this.#place(member)} and became infinite`,
          },
    );
  }

  #place(member: number): string {
    return member >= 0 ? this.#plan.members[member]!.path : this.#plan.outputs[-1 - member]!.path;
  }
}
