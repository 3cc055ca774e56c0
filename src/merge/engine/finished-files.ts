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
 * Puts the tensor files of every output together from their units: written now in whatever order, by the run
 * that is resumed, or by another process.
 */
export class FinishedFiles {
  readonly #plan: Plan;
  readonly #binding: NativeBinding;
  readonly #units: readonly Unit[];
  /** By index of the unit, its journal lines, one an output. */
  readonly #lines = new Map<number, readonly JournalUnit[]>();

  constructor(plan: Plan, units: readonly Unit[], binding: NativeBinding) {
    this.#plan = plan;
    this.#units = units;
    this.#binding = binding;
  }

  /** Journal lines of a unit, one an output, where it was found finished in all of them. */
  resumable(unit: Unit, publications: readonly Publication[]): readonly JournalUnit[] | undefined {
    const lines = publications.map(({ finished }, k) => {
      const file = this.#plan.outputs[k]!.files[unit.shard]!.name;
      return finished.get(unitKey({ file, ...unit.ranges[k]! }));
    });
    return lines.every((line) => line !== undefined) ? lines : undefined;
  }

  has(unit: Unit): boolean {
    return this.#lines.has(unit.index);
  }

  /** Units are added in any order. */
  add(unit: Unit, lines: readonly JournalUnit[]): void {
    this.#lines.set(unit.index, lines);
  }

  /**
   * All units with their lines, in the order of the files: sums over them do not depend on the order in which
   * they were made.
   * @throws MergeError E_INTERNAL where one is missing
   */
  *inOrder(): Generator<readonly [Unit, readonly JournalUnit[]]> {
    for (const unit of this.#units) {
      const lines = this.#lines.get(unit.index);
      if (lines === undefined) throw new MergeError('E_INTERNAL', `unit ${unit.index} of ${this.#units.length} was not made`);
      yield [unit, lines];
    }
  }

  /** @throws MergeError E_INTERNAL where the units do not make up whole files */
  of(output: number): readonly FinishedFile[] {
    const files: FinishedFile[] = [];
    for (const [{ shard }, lines] of this.inOrder()) {
      const { file: name, start, end, crc } = lines[output]!;
      const before = files.at(-1);
      if (start === 0) files.push({ name, bytes: end, crc });
      else if (before?.name === name && before.bytes === start) {
        files[files.length - 1] = { name, bytes: end, crc: this.#binding.crc32cCombine(before.crc, crc, end - start) };
      } else throw new MergeError('E_INTERNAL', `${name} has no unit that ends at byte ${start}`);
      if (files.length !== shard + 1) throw new MergeError('E_INTERNAL', `${name} is file ${files.length} instead of ${shard + 1}`);
    }
    for (const [s, { name, bytes }] of files.entries()) {
      const wanted = this.#plan.outputs[output]!.files[s]!.bytes;
      if (bytes !== wanted) throw new MergeError('E_INTERNAL', `${name} ended at byte ${bytes} instead of ${wanted}`);
    }
    return files;
  }

  /**
   * CRC32C of the only file of an output without its header: a CRC is linear, so the header's part can be
   * taken out again.
   */
  dataCrc(output: number): number {
    const header = this.#plan.outputs[output]!.files[0]!.header();
    const { crc, bytes } = this.of(output)[0]!;
    return (crc ^ this.#binding.crc32cCombine(this.#binding.crc32c(header, 0), 0, bytes - header.length)) >>> 0;
  }
}
