import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { isThere, makeFoldersSync } from '../../base/disk/own-file.ts';
import { MergeError } from '../../base/errors.ts';
import type { NativeBinding } from '../native/binding.ts';
import type { NativeOutput } from '../native/handles.ts';
import type { JournalUnit, Publication, TensorSum } from '../output/types.ts';
import type { Plan } from '../plan/types.ts';
import { describeFailure } from './failure.ts';
import type { Unit } from './units.ts';

/**
 * A range of a file that was written, with its CRC32C; null where it was written in several strokes and is
 * summed by reading it again.
 */
interface Piece {
  readonly offset: number;
  readonly bytes: number;
  readonly crc: number | null;
}

/** The K files that one shard becomes, written together, and their checksums. */
export class ShardOutputs {
  readonly shard: number;
  readonly files: readonly NativeOutput[];
  readonly #binding: NativeBinding;
  readonly #paths: readonly string[];
  /** [K] the same for people. */
  readonly #shown: readonly string[];
  /**
   * [K] of the unit in work, in the order of the calls: quantised weights are written after the segments
   * around them.
   */
  #pieces: Piece[][];
  /** [K] of the unit in work, by row. */
  #sums: Map<number, TensorSum>[];

  /**
   * Creates and preallocates the files; where they may be `begun`, by an earlier run or for an earlier unit,
   * those that are there are reopened. @throws MergeError E_NO_SPACE, E_IO with the output named.
   * @param shared whether others may be making them at this very moment
   */
  constructor(
    binding: NativeBinding,
    plan: Plan,
    publications: readonly Publication[],
    shard: number,
    { begun, shared }: { readonly begun: boolean; readonly shared: boolean },
  ) {
    this.shard = shard;
    this.#binding = binding;
    this.#pieces = publications.map(() => []);
    this.#sums = publications.map(() => new Map());
    this.#paths = publications.map(({ dir }, k) => join(dir, plan.outputs[k]!.files[shard]!.name));
    this.#shown = publications.map(({ output }, k) => `${output} (${plan.outputs[k]!.files[shard]!.name})`);
    const files: NativeOutput[] = [];
    this.files = files;
    for (const k of publications.keys()) {
      const { name, bytes } = plan.outputs[k]!.files[shard]!;
      const path = this.#paths[k]!;
      try {
        if (name.includes('/')) makeFoldersSync(dirname(path));
        files.push(openFile(binding, path, bytes, { begun, shared }));
      } catch (cause) {
        this.close();
        throw describeFailure(cause, { path: this.#shown[k]! });
      }
    }
  }

  /** Writes what of the frames lies in a unit. */
  writeFrame(plan: Plan, unit: Unit): void {
    for (const [k, output] of this.files.entries()) {
      const { start, end } = unit.ranges[k]!;
      const file = plan.outputs[k]!.files[unit.shard]!;
      const header = unit.first ? [{ offset: 0, bytes: file.header() }] : [];
      const rest = file.rest?.().filter(({ offset }) => offset >= start && offset < end) ?? [];
      for (const { offset, bytes } of [...header, ...rest]) {
        try {
          output.write(offset, bytes);
        } catch (cause) {
          throw describeFailure(cause, { path: plan.outputs[k]!.path });
        }
        this.wrote(k, offset, bytes.length, this.#binding.crc32c(bytes, 0));
      }
    }
  }

  /** Adds a range of output k. */
  wrote(k: number, offset: number, bytes: number, crc: number | null): void {
    if (bytes > 0) this.#pieces[k]!.push({ offset, bytes, crc });
  }

  /** Adds the CRC-32 of the next bytes of a tensor of output k. */
  summed(k: number, row: number, bytes: number, crc: number): void {
    const sums = this.#sums[k]!;
    const before = sums.get(row);
    const joined = before === undefined ? crc : this.#binding.crc32Combine(before.crc, crc, bytes);
    sums.set(row, { row, bytes: bytes + (before?.bytes ?? 0), crc: joined });
  }

  /**
   * The journal lines of a unit whose ranges are all added; the next unit starts without any.
   * @throws MergeError E_INTERNAL when the ranges do not make up the unit
   */
  async takeUnit(plan: Plan, unit: Unit): Promise<JournalUnit[]> {
    const pieces = this.#pieces;
    this.#pieces = pieces.map(() => []);
    const sums = this.#sums;
    this.#sums = sums.map(() => new Map());
    const lines: JournalUnit[] = [];
    for (const [k, range] of unit.ranges.entries()) {
      const { name } = plan.outputs[k]!.files[unit.shard]!;
      let crc = 0;
      let at = range.start;
      for (const piece of pieces[k]!.sort((a, b) => a.offset - b.offset)) {
        if (piece.offset !== at)
          throw new MergeError('E_INTERNAL', `${name} has bytes ${at} and ${piece.offset} written next to each other`);
        const own = piece.crc ?? (await this.#binding.crc32cFile(this.#paths[k]!, piece.offset, piece.bytes));
        crc = this.#binding.crc32cCombine(crc, own, piece.bytes);
        at += piece.bytes;
      }
      if (at !== range.end) throw new MergeError('E_INTERNAL', `${name} was written up to byte ${at} instead of ${range.end}`);
      const crc32 = plan.outputs[k]!.container.crc32 ? { crc32: [...sums[k]!.values()] } : {};
      lines.push({ file: name, ...range, crc, nonfinite: [], ...crc32 });
    }
    return lines;
  }

  /** Closes all of them. @throws MergeError for the first that cannot be closed */
  close(): void {
    const failures: unknown[] = [];
    for (const [k, file] of this.files.entries()) {
      try {
        file.close();
      } catch (cause) {
        failures.push(describeFailure(cause, { path: this.#shown[k]! }));
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

function openFile(
  binding: NativeBinding,
  path: string,
  bytes: number,
  { begun, shared }: { readonly begun: boolean; readonly shared: boolean },
): NativeOutput {
  const reopen = begun && isThere(path);
  try {
    return binding.openOutput(path, bytes, { reopen });
  } catch (error) {
    // Another rank was faster.
    if (!shared || reopen || errnoOf(error) !== 'EEXIST') throw error;
    return binding.openOutput(path, bytes, { reopen: true });
  }
}
