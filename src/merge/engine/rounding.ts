import type { Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import type { RoundingFigure, RoundingSums } from '../record/rounding.ts';

/** Above this share of what merging moved, quantising anew has taken back most of it. */
const MOSTLY = 0.5;

/**
 * Adds up by output and role how far quantising anew moved the merged values, over the strips of a merge and
 * the units of a resumed one.
 */
export class RoundingTally {
  /** [K] by role. */
  readonly #total: Map<string, RoundingSums>[];
  #unit: Map<string, RoundingSums>[];

  constructor(outputs: number) {
    this.#total = Array.from({ length: outputs }, () => new Map());
    this.#unit = this.#total.map(() => new Map());
  }

  add(k: number, sums: RoundingSums): void {
    addTo(this.#unit[k]!, sums);
  }

  /** Ends a unit. @returns [K] its sums, for the journal, from which they are taken in the end */
  endUnit(): RoundingSums[][] {
    const ended = this.#unit.map((roles) => [...roles.values()]);
    this.#unit = this.#unit.map(() => new Map());
    return ended;
  }

  /** Adds the sums of a finished unit to the total. */
  restore(units: readonly (readonly RoundingSums[])[]): void {
    for (const [k, sums] of units.entries()) for (const sum of sums) addTo(this.#total[k]!, sum);
  }

  /** What an output says of its requantised weights, largest first; empty where it has none. */
  figures(k: number): RoundingFigure[] {
    return [...this.#total[k]!.values()].map(figure).sort((a, b) => b.elements - a.elements);
  }

  warnings(k: number, path: string): Warning[] {
    return this.figures(k).flatMap(({ role, ratio, saturated }) => {
      const what = role === null ? 'tensors of no known role' : `role ${role}`;
      const found: Warning[] = [];
      if (ratio !== null && ratio > MOSTLY) {
        const message = worded`${what} in ${path}: quantising anew moved the merged values ${ratio.toPrecision(2)} times as far as merging moved them from the newest member, so this merge is mostly rounding; --dtype BF16 keeps what it gains`;
        found.push({ code: 'W_MOSTLY_ROUNDING', message });
      }
      if (saturated > 0) {
        const message = `${what} in ${path}: ${saturated} finite values were too large for the quantised form and became its largest value`;
        found.push({ code: 'W_SATURATED', message });
      }
      return found;
    });
  }
}

function addTo(roles: Map<string, RoundingSums>, sums: RoundingSums): void {
  const before = roles.get(`${sums.role}`);
  roles.set(`${sums.role}`, before === undefined ? sums : plus(before, sums));
}

function plus(a: RoundingSums, b: RoundingSums): RoundingSums {
  return {
    role: a.role,
    tensors: a.tensors + b.tensors,
    elements: a.elements + b.elements,
    error: a.error + b.error,
    change: a.change + b.change,
    saturated: a.saturated + b.saturated,
  };
}

/** The ratio of norms; null where nothing moved: then there is nothing that rounding could take back. */
function figure({ role, tensors, elements, error, change, saturated }: RoundingSums): RoundingFigure {
  const ratio = change > 0 ? Math.sqrt(error / change) : null;
  return { role, tensors, elements, ratio, saturated };
}
