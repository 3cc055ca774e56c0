import { dtypeByCode } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import { scaleGrid } from '../../../model/quantised/blocks.ts';
import { firstNonfinite, mustBeRead, scaleFacts } from '../../../model/quantised/stored-values.ts';
import { MXFP4 } from '../../../model/quantised/types.ts';
import type { RequantiseResult, StripNonfinite } from '../../native/requantise.ts';
import { codeBytes, codesBefore, isMeasured, scalesBefore, scalesIn } from '../../plan/quantised/strips.ts';
import type { Plan } from '../../plan/types.ts';
import type { Pass, UnitWork } from './pass.ts';
import {
  beginsBlocks,
  filesOf,
  type Item,
  type Located,
  type StripBatch,
  StripCutter,
  scaleBytes,
  stripBytes,
  stripItems,
  stripScaleBytes,
} from './requantise-strips.ts';

/** Batches of one phase over a shard, and what becomes of their results. */
interface StripPhase {
  next(budget: number): Promise<StripBatch | undefined>;
  /** @throws MergeError E_NONFINITE_BLOCK */
  add(batch: StripBatch, result: RequantiseResult): Promise<void>;
}

/** Weights that are stored as codes and scales: dequantised, averaged, and quantised anew. */
export const requantise: Pass = {
  concerns: (plan, { shard }) => plan.shards[shard]!.quantised.length > 0,
  reads: (plan, shard) => filesOf(plan, shard),
  async *carryOut(work) {
    const { engine, outputs, cancel } = work;
    const shard = new ShardRequantiser(work);
    const { weights } = shard;
    try {
      for (const phase of shard.phases()) {
        yield* work.run({
          next: (budget) => phase.next(budget),
          start: (batch) => engine.requantise({ ...batch.job, files: work.inputs(batch), outputs: outputs.files, weights, cancel }),
          add: (batch, result) => phase.add(batch, result),
        });
      }
    } finally {
      await shard.close();
    }
  },
};

/**
 * The quantised weights of one shard as native calls. A scale that serves more rows than a strip has needs
 * two phases: one that measures the largest value of each block, one that writes. Where codes and scales lie
 * in different shards, each shard computes both and writes its own: the same bits.
 */
class ShardRequantiser {
  /** [tables x K x N] weights of the plan, and a table for each member alone. */
  readonly weights: Float64Array;
  readonly #work: UnitWork;
  readonly #plan: Plan;
  readonly #items: readonly Item[];
  readonly #reader = new ByteReader();
  /** [strips x K] whether inputs are the same in every block, as measured. */
  readonly #identical = new Map<Item, Uint8Array>();

  constructor(work: UnitWork) {
    const { plan, unit } = work;
    this.#work = work;
    this.#plan = plan;
    const [N, K] = [plan.members.length, plan.outputs.length];
    const tables = plan.weights.length / (K * N);
    this.weights = new Float64Array((tables + N) * K * N);
    this.weights.set(plan.weights);
    for (let m = 0; m < N; m++) for (let k = 0; k < K; k++) this.weights[((tables + m) * K + k) * N + m] = 1;
    this.#items = stripItems(plan, unit.shard, tables, this.weights);
  }

  /** To be carried out one after the other. */
  *phases(): Generator<StripPhase> {
    const measured = this.#items.filter(({ planned }) => isMeasured(planned.work));
    const prepare = (item: Item): Promise<void> => this.#prepare(item);
    if (measured.length > 0) {
      const cutter = new StripCutter(this.#plan, measured, true, prepare);
      yield { next: (budget) => cutter.next(budget), add: (batch, result) => this.#measured(batch, result) };
      for (const item of measured) this.#settle(item);
    }
    const cutter = new StripCutter(this.#plan, this.#items, false, prepare);
    yield { next: (budget) => cutter.next(budget), add: (batch, result) => this.#written(batch, result) };
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  /** Looks at the members' scales: whether they can be scales, and whether they are all powers of two. */
  async #prepare(item: Item): Promise<void> {
    if (item.powerOfTwo !== null) return;
    const { work } = item.planned;
    const powers: boolean[] = [];
    for (const [m, place] of item.located.entries()) {
      // A member without scales has none that are not powers of two.
      powers.push(place === null || place.source.scales === null || (await this.#scalesArePowers(item, m, place)));
    }
    const scaled = (m: number): boolean => item.located[m]?.source.scales != null;
    item.powerOfTwo = item.members.map((of) => work.powerOfTwo || (of.some(scaled) && of.every((m) => powers[m])));
  }

  async #scalesArePowers({ planned: { work } }: Item, m: number, place: Located): Promise<boolean> {
    const { dtype } = place.source.scales!;
    if (!mustBeRead(dtype)) return true;
    const { down, across } = scaleGrid(work);
    const { path } = this.#plan.files[place.scaleFile]!;
    const { powersOfTwo, bad } = scaleFacts(
      await this.#reader.read(path, place.scaleOffset, work.matrices * down * across * scaleBytes(dtype)),
      dtype,
    );
    if (bad === null) return powersOfTwo;
    const { checkpoint } = this.#plan.members[m]!;
    const { shard, row } = place.source.scales!;
    const tensor = checkpoint.shards[shard]!.tensors.names[row]!;
    const message = `scale ${bad.index} of tensor ${tensor} of ${path} is ${bad.value}: a scale is a positive number`;
    throw new MergeError('E_SCALE_VALUE', message, { details: { file: path, tensor, index: bad.index } });
  }

  async #measured(batch: StripBatch, result: RequantiseResult): Promise<void> {
    const K = this.#plan.outputs.length;
    await this.#refuseNonfinite(batch, result.nonfinite);
    for (const [i, { item, index }] of batch.cuts.entries()) {
      item.amax ??= new Float64Array(item.strips.length * K);
      item.amax.set(result.amax.subarray(i * K, (i + 1) * K), index * K);
      const identical = this.#identical.get(item) ?? new Uint8Array(item.strips.length * K);
      identical.set(result.identical.subarray(i * K, (i + 1) * K), index * K);
      this.#identical.set(item, identical);
    }
  }

  /**
   * From the largest values of strips to those of their blocks; a block that is the same in all members is
   * left to each strip, which copies it.
   */
  #settle(item: Item): void {
    const K = this.#plan.outputs.length;
    const amax = item.amax!;
    const identical = this.#identical.get(item)!;
    const { strips } = item;
    for (let first = 0, last = 0; first < strips.length; first = last) {
      while (last < strips.length && strips[last]!.matrix === strips[first]!.matrix && strips[last]!.blockRow === strips[first]!.blockRow)
        last++;
      for (let k = 0; k < K; k++) {
        let most = 0;
        let same = true;
        for (let s = first; s < last; s++) {
          most = Math.max(most, amax[s * K + k]!);
          same &&= identical[s * K + k] === 1;
        }
        for (let s = first; s < last; s++) amax[s * K + k] = same ? Number.NaN : most;
      }
    }
  }

  async #written(batch: StripBatch, result: RequantiseResult): Promise<void> {
    const K = this.#plan.outputs.length;
    await this.#refuseNonfinite(batch, result.nonfinite);
    for (const [i, { item, index }] of batch.cuts.entries()) {
      const strip = item.strips[index]!;
      const { work, codesOffset, scalesOffset } = item.planned;
      for (const [k, target] of work.targets.entries()) {
        const at = i * K + k;
        if (codesOffset !== null) {
          if (!target.transposed) this.#work.outputs.wrote(k, batch.job.outOffset[at]!, stripBytes(item, strip, k), result.crc[at]!);
          else if (strip.row === 0) {
            const bytes = codeBytes(target.encoding, work.rows * work.cols);
            this.#work.outputs.wrote(k, batch.job.outOffset[at]!, bytes, strip.rows === work.rows ? result.crc[at]! : null);
          }
          if (target.scaleDtype !== null) {
            const [error, change, saturated] = [result.error[at]!, result.change[at]!, result.saturated[at]!];
            const sums = {
              role: work.role,
              tensors: index === 0 && work.codes.from === 0 ? 1 : 0,
              elements: strip.rows * work.cols,
              error,
              change,
              saturated,
            };
            this.#work.rounding.add(k, sums);
          }
        }
        if (scalesOffset !== null && target.scaleDtype !== null && beginsBlocks(item, strip)) {
          this.#work.outputs.wrote(k, batch.job.outScaleOffset[at]!, stripScaleBytes(item, strip, k), result.scaleCrc[at]!);
        }
      }
    }
  }

  /**
   * No scale fits a block that is not finite; where floats are written, it is told as of any other tensor.
   */
  async #refuseNonfinite({ cuts }: StripBatch, found: readonly StripNonfinite[]): Promise<void> {
    for (const { strip: s, member, nan, inf } of found) {
      const { item, index } = cuts[s]!;
      const { work, codesRow } = item.planned;
      const quantised = work.targets.some((t, k) => t.scaleDtype !== null && item.members[k]!.includes(member));
      if (!quantised) {
        if (codesRow !== null) this.#work.nonfinite.add(Int32Array.of(codesRow), [{ cell: 0, member, nan, inf, saturated: 0 }]);
        continue;
      }
      const strip = item.strips[index]!;
      const { source, file, offset, scaleFile, scaleOffset } = item.located[member]!;
      const { path } = this.#plan.files[file]!;
      const codes = await this.#reader.read(
        path,
        offset + codesBefore(work, strip, source.encoding),
        codeBytes(source.encoding, strip.rows * work.cols),
      );
      const scalesPath = this.#plan.files[scaleFile]?.path;
      const before = source.scales === null ? 0 : scaleOffset + scalesBefore(work, strip) * scaleBytes(source.scales.dtype);
      const scales =
        scalesPath === undefined || source.scales === null
          ? null
          : await this.#reader.read(scalesPath, before, scalesIn(work, strip) * scaleBytes(source.scales.dtype));
      const place = firstNonfinite(source.encoding, codes, work.cols, scales) ?? { row: 0, col: 0 };
      const block = [Math.floor((strip.row + place.row) / work.blockRows), Math.floor(place.col / work.blockCols)];
      const which = work.matrices > 1 ? [strip.matrix, ...block] : block;
      const dtype = source.encoding === MXFP4 ? 'MXFP4' : dtypeByCode(source.encoding).name;
      const message = `tensor ${work.name} (${dtype}) of ${path} holds ${nan} NaN and ${inf} infinite values, the first in block [${which.join(', ')}]`;
      throw new MergeError('E_NONFINITE_BLOCK', message, { details: { file: path, tensor: work.name, block: which } });
    }
  }
}
