import { MergeError } from '../../base/errors.ts';
import type { NativeBinding } from '../native/binding.ts';
import { unitKey } from '../output/journal.ts';
import type { JournalUnit, Publication, TensorSum } from '../output/types.ts';
import type { FileSums, Patch } from '../plan/outputs/container.ts';
import type { Plan } from '../plan/types.ts';
import type { Unit } from './units.ts';

/** A tensor file that is written, with the CRC32C of all of it. */
export interface FinishedFile {
  readonly name: string;
  readonly bytes: number;
  readonly crc: number;
}

/** A CRC-32, and of how many bytes. */
type Sum = Omit<TensorSum, 'row'>;

const NO_BYTES: Sum = { crc: 0, bytes: 0 };

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

  /** What the container of an output is told of one of its files. */
  sums(output: number, shard: number, { crc, bytes, name }: FinishedFile): FileSums {
    const byRow = new Map<number, Sum>();
    for (const [unit, lines] of this.inOrder()) {
      if (unit.shard !== shard) continue;
      for (const sum of lines[output]!.crc32 ?? []) {
        const before = byRow.get(sum.row);
        byRow.set(sum.row, before === undefined ? sum : this.#joined(before, sum));
      }
    }
    const table = this.#plan.tables[shard]!;
    const sumOf = (row: number): Sum => {
      const sum = byRow.get(row) ?? (table.bytes[row] === 0 ? NO_BYTES : undefined);
      if (sum === undefined) throw new MergeError('E_INTERNAL', `there is no CRC-32 of tensor ${table.names[row]} of ${name}`);
      return sum;
    };
    return {
      data: () => {
        // A CRC is linear, so the header's part can be taken out again.
        const header = this.#plan.outputs[output]!.files[shard]!.header();
        return (crc ^ this.#binding.crc32cCombine(this.#binding.crc32c(header, 0), 0, bytes - header.length)) >>> 0;
      },
      crc32: (row) => sumOf(row).crc,
      crc32Of: (rows) => rows.map(sumOf).reduce((before, sum) => this.#joined(before, sum), NO_BYTES).crc,
    };
  }

  #joined(before: Sum, { crc, bytes }: Sum): Sum {
    return { crc: this.#binding.crc32Combine(before.crc, crc, bytes), bytes: before.bytes + bytes };
  }

  /** The CRC32C of a file after a patch: it changes by that of the difference, moved to its place. */
  patched({ name, bytes, crc }: FinishedFile, { offset, before, after }: Patch): FinishedFile {
    const difference = (this.#binding.crc32c(before, 0) ^ this.#binding.crc32c(after, 0)) >>> 0;
    const behind = bytes - offset - after.length;
    if (before.length !== after.length || behind < 0) throw new MergeError('E_INTERNAL', `a patch does not fit into ${name}`);
    return { name, bytes, crc: (crc ^ this.#binding.crc32cCombine(difference, 0, behind)) >>> 0 };
  }
}
