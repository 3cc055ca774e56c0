import { dtypeByCode } from '../../../base/dtype.ts';
import { wholeExtent } from '../../../checkpoints/tensors/extents.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { RequantiseJob } from '../../native/requantise.ts';
import { codeBytes, codesBefore, type Strip, scalesBefore, scalesIn, stripsOf } from '../../plan/quantised/strips.ts';
import type { QuantisedSource } from '../../plan/quantised/types.ts';
import type { Plan, PlanQuantised } from '../../plan/types.ts';

/**
 * A member's codes and scales of a weight: indices into `Plan.files` (-1: none), and the byte at which each
 * begins.
 */
export interface Located {
  readonly source: QuantisedSource;
  readonly file: number;
  readonly offset: number;
  readonly scaleFile: number;
  readonly scaleOffset: number;
}

/** A quantised weight of a shard, as its strips need it. */
export interface Item {
  readonly planned: PlanQuantised;
  readonly strips: readonly Strip[];
  /** Weight table. */
  readonly table: number;
  /** [N] null where no output takes anything from the member. */
  readonly located: readonly (Located | null)[];
  /** [K] members that have a weight, oldest first. */
  readonly members: readonly (readonly number[])[];
  /** [K] whether scales are powers of two; known once the members' scales were looked at. */
  powerOfTwo: readonly boolean[] | null;
  /**
   * [strips x K] largest value that scales are made from, NaN for that of each block; null until measured.
   */
  amax: Float64Array | null;
}

/** One native call, and which strips it is about. */
export interface StripBatch {
  readonly job: Omit<RequantiseJob, 'files' | 'outputs' | 'cancel' | 'weights'>;
  /** Indices into `Plan.files`, in the order of the job's `file` columns. */
  readonly files: readonly number[];
  readonly cuts: readonly { readonly item: Item; readonly index: number }[];
  /** Rows of the tensors in the outputs' table, for messages. */
  readonly firstRow: Int32Array;
  readonly bytesRead: number;
}

/** Indices into `Plan.files` by member and file. */
function fileIndex(plan: Plan): ReadonlyMap<string, number> {
  return new Map(plan.files.map(({ member, file }, i) => [`${member}/${file}`, i]));
}

/** What the quantised weights of a shard are read from: indices into `Plan.files`. */
export function filesOf(plan: Plan, shard: number): Set<number> {
  const { quantised } = plan.shards[shard]!;
  const found = new Set<number>();
  if (quantised.length === 0) return found;
  const index = fileIndex(plan);
  for (const { work } of quantised) {
    for (const [m, source] of work.sources.entries()) {
      if (source === null) continue;
      for (const place of [source.codes, source.scales]) {
        if (place !== null) found.add(index.get(`${m}/${wholeExtent(plan.members[m]!.checkpoint, place).file}`)!);
      }
    }
  }
  return found;
}

/** @param tables weight tables of the plan; table `tables + m` is member m alone */
export function stripItems(plan: Plan, shard: number, tables: number, weights: Float64Array): Item[] {
  const [N, K] = [plan.members.length, plan.outputs.length];
  const files = fileIndex(plan);
  const locate = (m: number, place: TensorPlace, before: number): { file: number; offset: number } => {
    const { file, offset } = wholeExtent(plan.members[m]!.checkpoint, place);
    return { file: files.get(`${m}/${file}`)!, offset: offset + before };
  };
  return plan.shards[shard]!.quantised.map((planned) => {
    const { work } = planned;
    const table = work.table < 0 ? tables - 1 - work.table : work.table;
    const members = Array.from({ length: K }, (_, k) =>
      Array.from({ length: N }, (_, m) => m).filter((m) => weights[(table * K + k) * N + m] !== 0),
    );
    const located = work.sources.map((source, m): Located | null => {
      if (source === null || !members.some((of) => of.includes(m))) return null;
      const { codes, encoding } = source;
      const scales =
        source.scales === null ? { file: -1, offset: 0 } : locate(m, source.scales, source.scales.from * scaleBytes(source.scales.dtype));
      return { source, ...locate(m, codes, codeBytes(encoding, codes.from)), scaleFile: scales.file, scaleOffset: scales.offset };
    });
    return { planned, strips: stripsOf(work), table, located, members, powerOfTwo: null, amax: null };
  });
}

/** Cuts the strips of items into batches; each `next(budget)` takes about `budget` bytes of input. */
export class StripCutter {
  readonly #items: readonly Item[];
  readonly #N: number;
  readonly #K: number;
  readonly #measuring: boolean;
  readonly #prepare: (item: Item) => Promise<void>;
  #item = 0;
  #strip = 0;

  /**
   * @param measuring nothing is written: the largest values are what is asked for
   * @param prepare called for each item before its first strip is cut
   */
  constructor(plan: Plan, items: readonly Item[], measuring: boolean, prepare: (item: Item) => Promise<void>) {
    this.#items = items;
    this.#N = plan.members.length;
    this.#K = plan.outputs.length;
    this.#measuring = measuring;
    this.#prepare = prepare;
  }

  /** The next batch, or undefined at the end. */
  async next(budget: number): Promise<StripBatch | undefined> {
    const cuts: { item: Item; index: number }[] = [];
    let bytesRead = 0;
    while (this.#item < this.#items.length && bytesRead < budget) {
      const item = this.#items[this.#item]!;
      if (this.#strip === 0) await this.#prepare(item);
      if (this.#strip === item.strips.length) {
        this.#item += 1;
        this.#strip = 0;
        continue;
      }
      bytesRead += inputBytes(item, item.strips[this.#strip]!);
      cuts.push({ item, index: this.#strip++ });
    }
    return cuts.length === 0 ? undefined : this.#batch(cuts, bytesRead);
  }

  #batch(cuts: StripBatch['cuts'], bytesRead: number): StripBatch {
    const [S, N, K] = [cuts.length, this.#N, this.#K];
    const files = new Map<number, number>();
    const indexOf = (file: number): number => {
      if (file < 0) return -1;
      let index = files.get(file);
      if (index === undefined) {
        index = files.size;
        files.set(file, index);
      }
      return index;
    };
    const job = {
      rows: new Float64Array(S),
      cols: new Float64Array(S),
      blockRows: new Float64Array(S),
      blockCols: new Float64Array(S),
      file: new Int32Array(S * N).fill(-1),
      offset: new Float64Array(S * N),
      encoding: new Uint8Array(S * N),
      scaleFile: new Int32Array(S * N).fill(-1),
      scaleOffset: new Float64Array(S * N),
      scaleDtype: new Uint8Array(S * N),
      outOffset: new Float64Array(S * K).fill(-1),
      outEncoding: new Uint8Array(S * K),
      outScaleOffset: new Float64Array(S * K).fill(-1),
      outScaleDtype: new Uint8Array(S * K),
      powerOfTwo: new Uint8Array(S * K),
      transpose: new Float64Array(S * K),
      amax: new Float64Array(S * K).fill(Number.NaN),
      table: new Int32Array(S),
      newest: new Int32Array(S * K),
    };
    for (const [i, { item, index }] of cuts.entries()) {
      const { planned, located, members } = item;
      const { work } = planned;
      const strip = item.strips[index]!;
      job.rows[i] = strip.rows;
      job.cols[i] = work.cols;
      job.blockRows[i] = work.blockRows;
      job.blockCols[i] = work.blockCols;
      job.table[i] = item.table;
      for (const [m, place] of located.entries()) {
        if (place === null) continue;
        const { encoding, scales } = place.source;
        const at = i * N + m;
        job.file[at] = indexOf(place.file);
        job.offset[at] = place.offset + codesBefore(work, strip, encoding);
        job.encoding[at] = encoding;
        job.scaleFile[at] = indexOf(place.scaleFile);
        if (scales === null) continue;
        job.scaleOffset[at] = place.scaleOffset + scalesBefore(work, strip) * scaleBytes(scales.dtype);
        job.scaleDtype[at] = scales.dtype;
      }
      for (const [k, { encoding, scaleDtype, transposed }] of work.targets.entries()) {
        const at = i * K + k;
        job.outEncoding[at] = encoding;
        job.outScaleDtype[at] = scaleDtype ?? 0;
        job.powerOfTwo[at] = item.powerOfTwo?.[k] ? 1 : 0;
        job.newest[at] = members[k]!.at(-1) ?? -1;
        if (transposed) job.transpose[at] = work.rows;
        if (this.#measuring) continue;
        job.amax[at] = item.amax?.[index * K + k] ?? Number.NaN;
        if (planned.codesOffset !== null) job.outOffset[at] = planned.codesOffset[k]! + codesWrittenBefore(item, strip, k);
        if (planned.scalesOffset !== null && scaleDtype !== null && beginsBlocks(item, strip)) {
          job.outScaleOffset[at] = planned.scalesOffset[k]! + scalesBefore(work, strip) * scaleBytes(scaleDtype);
        }
      }
    }
    const firstRow = Int32Array.from(cuts, ({ item }) => item.planned.codesRow ?? item.planned.scalesRow ?? 0);
    return { job, files: [...files.keys()], cuts, firstRow, bytesRead };
  }
}

/** A scale is written with the first rows of its block. */
export function beginsBlocks({ planned: { work } }: Item, { row, blockRow }: Strip): boolean {
  return row === blockRow * work.blockRows;
}

export function scaleBytes(dtype: number): number {
  return dtypeByCode(dtype).bits / 8;
}

/** Bytes of codes that a strip writes. */
export function stripBytes({ planned: { work } }: Item, { rows }: Strip, k: number): number {
  return codeBytes(work.targets[k]!.encoding, rows * work.cols);
}

export function stripScaleBytes({ planned: { work } }: Item, strip: Strip, k: number): number {
  return scalesIn(work, strip) * scaleBytes(work.targets[k]!.scaleDtype!);
}

/**
 * Bytes from the first code that an output holds to the first of a strip: of a transposed matrix, to its
 * first row's column.
 */
function codesWrittenBefore({ planned: { work } }: Item, strip: Strip, k: number): number {
  const { encoding, transposed } = work.targets[k]!;
  if (!transposed) return codesBefore(work, strip, encoding);
  return codesBefore(work, { ...strip, row: 0 }, encoding) + codeBytes(encoding, strip.row);
}

function inputBytes({ planned: { work }, located }: Item, { rows }: Strip): number {
  let bytes = 0;
  for (const place of located) if (place !== null) bytes += codeBytes(place.source.encoding, rows * work.cols);
  return bytes;
}
