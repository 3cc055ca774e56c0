import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict, ErrorCode } from '../../../base/errors.ts';
import { elementCount } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { type BlockShape, MXFP4, type QuantisedTensors, type QuantisedWeight } from '../../../model/quantised/types.ts';
import { type Cut, codesAnElement, cutOf, gridWords, plainBlocks, sameBlocks, sameRows } from './cuts.ts';
import type { QuantisedRequest, QuantisedSource } from './types.ts';

/** A weight of the layout of which codes and scales are asked for. */
export interface Wanted extends Pick<QuantisedWeight, 'name' | 'plain' | 'transposed' | 'encoding'> {
  /** In the layout, codes or floats. */
  readonly place: TensorPlace;
  /** Of the layout's codes; of floats, those of the first member that has codes under the same name, or null. */
  readonly blocks: BlockShape | null;
  /** The layout holds codes. */
  readonly codes: boolean;
}

/** Elements of a weight of the layout that every member holds in one run, whose blocks are the same in all. */
export interface SourcedPart extends BlockShape {
  /** First element, and first scale, in the layout's tensors. */
  readonly from: number;
  readonly scalesFrom: number;
  /** [members] null where the member takes no part, or does not fit (then there is a conflict). */
  readonly sources: readonly (QuantisedSource | null)[];
}

/** A run of elements of a wanted weight in a member. */
interface Run {
  /** In the layout's tensor, and of the member's. */
  readonly from: number;
  readonly elements: number;
  readonly place: TensorPlace;
  readonly sourceFrom: number;
  /** Null for plain floats. */
  readonly weight: QuantisedWeight | null;
}

/** Finds a weight in every member, as codes or as floats, and says where they do not go together. */
export class SourceFinder {
  /** [members] tensors of the layout that were found under other names, or as parts of others. */
  readonly arranged: number[];
  readonly #request: QuantisedRequest;
  readonly #members: readonly (QuantisedTensors | null)[];
  readonly #conflicts: Conflict[];
  /** By the names of the unquantised weights; members with the same tensors share one map. */
  readonly #byName = new Map<QuantisedTensors, ReadonlyMap<string, QuantisedWeight>>();
  readonly #byCodes = new Map<QuantisedTensors, ReadonlyMap<string, QuantisedWeight>>();

  /** @param members [members] null where the member takes no part */
  constructor(request: QuantisedRequest, members: readonly (QuantisedTensors | null)[], conflicts: Conflict[]) {
    this.#request = request;
    this.#members = members;
    this.#conflicts = conflicts;
    this.arranged = members.map(() => 0);
  }

  /** @returns none where nothing fits; then there are conflicts */
  of(wanted: Wanted): readonly SourcedPart[] {
    const runs = this.#members.map((tensors, m) => (tensors === null ? null : this.#runsOf(wanted, tensors, m)));
    const elements = elementCount(wanted.plain.shape);
    const cuts = new Set([elements]);
    for (const run of runs.flatMap((own) => own ?? [])) cuts.add(run.from);
    // Of a member that does not fit there is nothing to go by.
    if (runs.every((own) => own === null)) return [];
    const begins = [...cuts].sort((a, b) => a - b);
    const parts: SourcedPart[] = [];
    for (const [i, from] of begins.slice(0, -1).entries()) {
      const part = this.#part(wanted, runs, from, begins[i + 1]! - from);
      // What is wrong with one part is wrong with all.
      if (part === null) return [];
      parts.push(part);
    }
    return parts;
  }

  /**
   * The weight of a member that a tensor holds the codes of; undefined for any other tensor.
   * @param m a member that takes part
   */
  weightAt(m: number, { shard, row }: TensorPlace): QuantisedWeight | undefined {
    const tensors = this.#members[m]!;
    const map = this.#byCodes.get(tensors) ?? new Map(tensors.weights.map((w) => [`${w.codes.shard} ${w.codes.row}`, w] as const));
    this.#byCodes.set(tensors, map);
    return map.get(`${shard} ${row}`);
  }

  #part(wanted: Wanted, runs: readonly (readonly Run[] | null)[], from: number, elements: number): SourcedPart | null {
    const own = wanted.blocks ?? plainBlocks(wanted.plain.shape);
    const first = cutOf(own, from, elements, wanted.codes);
    if (first === null) return this.#apart(wanted, runs, own, elements);
    let cut: Cut = first;
    const mapped = elements < elementCount(wanted.plain.shape);
    let scaled = wanted.codes;
    const sources: (QuantisedSource | null)[] = [];
    for (const [m, found] of runs.entries()) {
      const run = found?.findLast((r) => r.from <= from);
      if (run === undefined) {
        sources.push(null);
        continue;
      }
      const { weight, place } = run;
      const sourceFrom = run.sourceFrom + from - run.from;
      const shape = weight ?? plainBlocks(this.#shape(m, place));
      const theirs: Cut | null =
        weight === null && !mapped ? { ...cut, scalesFrom: 0 } : cutOf(shape, sourceFrom, elements, weight !== null);
      if (theirs === null) return this.#takenApart(wanted, m, weight!, elements);
      if (!sameRows(cut, theirs))
        return this.#refuse('E_LAYOUT_FORM', wanted, m, `is ${matrixWords(cut)} in the layout and ${matrixWords(theirs)} in`);
      if (scaled && weight !== null && !sameBlocks(cut, theirs)) {
        const [ours, other] = [gridWords(cut), gridWords(theirs)];
        const words = ours === other ? [`${ours} (${matrixWords(cut)})`, `${other} (${matrixWords(theirs)})`] : [ours, other];
        return this.#refuse('E_MIXED_QUANTISATION', wanted, m, `has ${words[0]} in the layout and ${words[1]} in`);
      }
      // Floats follow the blocks of the first member that has any.
      if (weight !== null && !scaled) {
        cut = { ...theirs, scalesFrom: 0 };
        scaled = true;
      }
      sources.push({
        codes: { shard: place.shard, row: place.row, from: sourceFrom },
        encoding: weight?.encoding ?? this.#dtype(m, place),
        scales: weight === null ? null : { ...weight.scales, from: theirs.scalesFrom, dtype: weight.scaleDtype },
      });
    }
    return { ...cut, from, sources };
  }

  /** Where a member holds a wanted weight; null, and a conflict, where it does not fit. */
  #runsOf(wanted: Wanted, tensors: QuantisedTensors, m: number): readonly Run[] | null {
    const { plain } = wanted;
    const theirs = this.#weights(tensors).get(plain.name);
    const whole = { from: 0, elements: elementCount(plain.shape), sourceFrom: 0 };
    if (theirs !== undefined) {
      const fits = this.#sameShape(wanted, theirs, m) && this.#sameForm(wanted, theirs, m);
      return fits ? [{ ...whole, place: theirs.codes, weight: theirs }] : null;
    }
    const place = this.#request.members[m]!.locate(plain.name);
    if (place === undefined) return this.#elsewhere(wanted, m);
    return this.#plainShape(wanted, m, place) && this.#plainForm(wanted, m, place) ? [{ ...whole, place, weight: null }] : null;
  }

  /** As parts of other tensors, or under another name. */
  #elsewhere(wanted: Wanted, m: number): readonly Run[] | null {
    const { layout, arrangement } = this.#request;
    const { place, transposed } = wanted;
    const arranged = arrangement(m).of(place.shard, place.row);
    if (arranged === undefined) return this.#refuse('E_TENSOR_MISSING', wanted, m, 'is missing from');
    if ('refused' in arranged) return this.#refuse('E_LAYOUT_FORM', wanted, m, 'is held in another layout by', undefined, arranged.refused);
    if (transposed) {
      return this.#refuse('E_LAYOUT_FORM', wanted, m, 'is held in another layout by', undefined, 'its plain form is stored transposed');
    }
    const bits = dtypeByCode(layout.shards[place.shard]!.tensors.dtypes[place.row]!).bits;
    const ours = wanted.codes && wanted.encoding === MXFP4 && bits === 8 ? 2 : 1;
    const runs: Run[] = [];
    for (const { from, elements, shard, row, sourceFrom } of arranged.pieces) {
      const at = { shard, row };
      const weight = this.weightAt(m, at) ?? null;
      if (!(weight === null ? this.#plainForm(wanted, m, at) : this.#sameForm(wanted, weight, m))) return null;
      const codes = codesAnElement(weight, dtypeByCode(this.#dtype(m, at)).bits);
      if (codes !== ours) {
        const forms = `${encodingName(wanted.encoding)} in the layout and ${encodingName(weight?.encoding ?? this.#dtype(m, at))}`;
        return this.#refuse('E_MIXED_QUANTISATION', wanted, m, `is ${forms} in`);
      }
      runs.push({ from: from * codes, elements: elements * codes, place: at, sourceFrom: sourceFrom * codes, weight });
    }
    this.arranged[m]!++;
    return runs;
  }

  #sameShape(wanted: Wanted, theirs: QuantisedWeight, m: number): boolean {
    if (!equal(wanted.plain.shape, theirs.plain.shape) || wanted.transposed !== theirs.transposed) {
      const shapes = `[${wanted.plain.shape.join(', ')}] in the layout and [${theirs.plain.shape.join(', ')}]`;
      this.#refuse('E_SHAPE', wanted, m, `is ${shapes} in`);
      return false;
    }
    return true;
  }

  /** Codes of a member: of the same kind, and where the layout has codes too. */
  #sameForm(wanted: Wanted, theirs: QuantisedWeight, m: number): boolean {
    const { allowMixedDtypes } = this.#request;
    if (allowMixedDtypes) return true;
    if (!wanted.codes) {
      const what = `is plain floats in the layout and ${encodingName(theirs.encoding)} with scales in`;
      this.#refuse('E_MIXED_QUANTISATION', wanted, m, what);
      return false;
    }
    if (theirs.encoding === wanted.encoding) return true;
    const encodings = `${encodingName(wanted.encoding)} in the layout and ${encodingName(theirs.encoding)}`;
    this.#refuse('E_MIXED_QUANTISATION', wanted, m, `is ${encodings} in`);
    return false;
  }

  #plainShape(wanted: Wanted, m: number, place: TensorPlace): boolean {
    const dtype = dtypeByCode(this.#dtype(m, place));
    const shape = this.#shape(m, place);
    // What is no plain float is told as that.
    if (dtype.bits === 8 || dtype.kind !== 'float') return true;
    if (!equal(shape, wanted.plain.shape)) {
      this.#refuse('E_SHAPE', wanted, m, `is [${wanted.plain.shape.join(', ')}] in the layout and [${shape.join(', ')}] in`, place);
      return false;
    }
    if (wanted.transposed) {
      const why = `is ${encodingName(wanted.encoding)} in some inputs, and stored transposed as ${dtype.name} in`;
      this.#refuse('E_MIXED_QUANTISATION', wanted, m, why, place);
      return false;
    }
    return true;
  }

  /** Floats of a member, where the layout has floats or both are allowed. */
  #plainForm(wanted: Wanted, m: number, place: TensorPlace): boolean {
    const dtype = dtypeByCode(this.#dtype(m, place));
    if (dtype.bits === 8) return this.#refuse('E_SCALE_MISSING', wanted, m, `is ${dtype.name} without a scale in`, place) !== null;
    if (dtype.kind !== 'float') return this.#refuse('E_UNSUPPORTED_DTYPE', wanted, m, `is ${dtype.name} in`, place) !== null;
    if (!wanted.codes || this.#request.allowMixedDtypes) return true;
    const forms = `${encodingName(wanted.encoding)} with scales in the layout and ${dtype.name}`;
    return this.#refuse('E_MIXED_QUANTISATION', wanted, m, `is ${forms} in`, place) !== null;
  }

  /** Blocks of the layout's tensor lie across parts that a member holds by themselves. */
  #apart(wanted: Wanted, runs: readonly (readonly Run[] | null)[], own: BlockShape, elements: number): null {
    const m = runs.findIndex((found) => found !== null && found.length > 1);
    const rows = elements / own.cols;
    const why = `the layout has ${gridWords(own)}, and these lie across parts of ${rows} rows that are held apart there`;
    return this.#refuse('E_LAYOUT_FORM', wanted, m, 'is held in another layout by', undefined, why);
  }

  /** Blocks of a member's tensor lie across what the layout holds by itself. */
  #takenApart(wanted: Wanted, m: number, weight: QuantisedWeight, elements: number): null {
    const why = `${weight.name} has ${gridWords(weight)} there, and these lie across parts of ${elements / weight.cols} rows that the layout holds apart`;
    return this.#refuse('E_LAYOUT_FORM', wanted, m, 'is held in another layout by', undefined, why);
  }

  #shape(m: number, { shard, row }: TensorPlace): readonly number[] {
    return this.#request.members[m]!.shards[shard]!.tensors.shapes[row]!;
  }

  #dtype(m: number, { shard, row }: TensorPlace): number {
    return this.#request.members[m]!.shards[shard]!.tensors.dtypes[row]!;
  }

  #weights(tensors: QuantisedTensors): ReadonlyMap<string, QuantisedWeight> {
    let map = this.#byName.get(tensors);
    if (map === undefined) {
      map = new Map(tensors.weights.map((w) => [w.plain.name, w]));
      this.#byName.set(tensors, map);
    }
    return map;
  }

  #refuse(code: ErrorCode, wanted: Wanted, m: number, what: string, place?: TensorPlace, why?: string): null {
    const member: Checkpoint = this.#request.members[m]!;
    const file = place === undefined ? member.path : member.shards[place.shard]!.path;
    const message = `tensor ${wanted.name} ${what} ${file}${why === undefined ? '' : `: ${why}`}`;
    this.#conflicts.push({ code, message, file, tensor: wanted.name });
    return null;
  }
}

function encodingName(encoding: number): string {
  return encoding === MXFP4 ? 'MXFP4' : dtypeByCode(encoding).name;
}

function matrixWords({ matrices, rows, cols }: BlockShape): string {
  return `[${(matrices === 1 ? [rows, cols] : [matrices, rows, cols]).join(', ')}]`;
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
