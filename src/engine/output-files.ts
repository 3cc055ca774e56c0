import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { NativeBinding, NativeOutput } from '../native/binding.ts';
import type { Plan } from '../plan/types.ts';
import type { JournalUnit, Publication } from '../publish/types.ts';
import { describeFailure } from './failure.ts';
import type { Unit } from './units.ts';

/** CRC32C and length of each output's file, in parts that arrive in file order. */
export interface FileSum {
  crc: number;
  bytes: number;
}

/** The K files that one shard becomes, written together, and their checksums. */
export class ShardOutputs {
  readonly files: readonly NativeOutput[];
  readonly #binding: NativeBinding;
  /** [K] sums of the unit in work. */
  #unit: FileSum[];

  /** Creates and preallocates the files; with `resume`, those that an earlier run began are reopened. @throws MergeError E_NO_SPACE, E_IO with the output named. */
  constructor(binding: NativeBinding, plan: Plan, publications: readonly Publication[], shard: number, resume: boolean) {
    this.#binding = binding;
    this.#unit = publications.map(() => ({ crc: 0, bytes: 0 }));
    const files: NativeOutput[] = [];
    this.files = files;
    for (const [k, publication] of publications.entries()) {
      const { name, bytes } = plan.outputs[k]!.files[shard]!;
      try {
        const path = join(publication.dir, name);
        if (name.includes('/')) mkdirSync(dirname(path), { recursive: true });
        files.push(binding.openOutput(path, bytes, { reopen: resume && existsSync(path) }));
      } catch (cause) {
        this.close();
        throw describeFailure(cause, { path: `${publication.output} (${name})` });
      }
    }
  }

  writeHeaders(plan: Plan, shard: number): void {
    for (const [k, output] of this.files.entries()) {
      const header = plan.outputs[k]!.files[shard]!.header();
      try {
        output.write(0, header);
      } catch (cause) {
        throw describeFailure(cause, { path: plan.outputs[k]!.path });
      }
      this.#unit[k] = { crc: this.#binding.crc32c(header, 0), bytes: header.length };
    }
  }

  /** Adds what a call wrote; calls are added in file order. */
  add(crc: Uint32Array, length: Float64Array): void {
    for (const [k, sum] of this.#unit.entries()) {
      sum.crc = this.#binding.crc32cCombine(sum.crc, crc[k]!, length[k]!);
      sum.bytes += length[k]!;
    }
  }

  /** The journal lines of a unit whose calls are all added; the next unit starts with empty sums. */
  takeUnit(plan: Plan, unit: Unit): JournalUnit[] {
    const lines = this.#unit.map(({ crc }, k) => ({
      file: plan.outputs[k]!.files[unit.shard]!.name,
      ...unit.ranges[k]!,
      crc,
      nonfinite: [],
    }));
    this.#unit = this.#unit.map(() => ({ crc: 0, bytes: 0 }));
    return lines;
  }

  close(): void {
    for (const file of this.files) file.close();
  }
}
