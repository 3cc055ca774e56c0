import { MergeError } from '../../base/errors.ts';
import type { NativeBinding } from '../native/binding.ts';
import { unitKey } from '../output/journal.ts';
import type { JournalUnit, Publication } from '../output/types.ts';
import type { Plan } from '../plan/types.ts';
import type { Unit } from './units.ts';

/** A tensor file that is written, with the CRC32C of all of it. */
export interface FinishedFile {
  readonly name: string;
  readonly bytes: number;
  readonly crc: number;
}

/**
 * Puts the tensor files of every output together from their units, whether written now or by the run that is
 * resumed.
 */
export class FinishedFiles {
  readonly #plan: Plan;
  readonly #binding: NativeBinding;
  readonly #files: FinishedFile[][];

  constructor(plan: Plan, binding: NativeBinding) {
    this.#plan = plan;
    this.#binding = binding;
    this.#files = plan.outputs.map(() => []);
  }

  /** Journal lines of a unit, one an output, where an earlier run finished it in all of them. */
  resumable(unit: Unit, publications: readonly Publication[]): readonly JournalUnit[] | undefined {
    const lines = publications.map(({ finished }, k) => {
      const file = this.#plan.outputs[k]!.files[unit.shard]!.name;
      return finished.get(unitKey({ file, ...unit.ranges[k]! }));
    });
    return lines.every((line) => line !== undefined) ? lines : undefined;
  }

  /** Units are added in file order. */
  add(unit: Unit, lines: readonly JournalUnit[]): void {
    for (const [k, { file: name, start, end, crc }] of lines.entries()) {
      const files = this.#files[k]!;
      if (start === 0) files.push({ name, bytes: end, crc });
      else files.push({ name, bytes: end, crc: this.#binding.crc32cCombine(files.pop()!.crc, crc, end - start) });
      const { bytes } = this.#plan.outputs[k]!.files[unit.shard]!;
      if (unit.last && end !== bytes) throw new MergeError('E_INTERNAL', `${name} ended at byte ${end} instead of ${bytes}`);
    }
  }

  of(output: number): readonly FinishedFile[] {
    return this.#files[output]!;
  }

  /**
   * CRC32C of the only file of an output without its header: a CRC is linear, so the header's part can be
   * taken out again.
   */
  dataCrc(output: number): number {
    const header = this.#plan.outputs[output]!.files[0]!.header();
    const { crc, bytes } = this.#files[output]![0]!;
    return (crc ^ this.#binding.crc32cCombine(this.#binding.crc32c(header, 0), 0, bytes - header.length)) >>> 0;
  }
}
