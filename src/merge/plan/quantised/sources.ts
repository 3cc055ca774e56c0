import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict, ErrorCode } from '../../../base/errors.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { MXFP4, type QuantisedTensors, type QuantisedWeight } from '../../../model/quantised/types.ts';
import type { QuantisedRequest, QuantisedSource } from './types.ts';

/** Finds a weight in every member, as codes or as floats, and says where they do not go together. */
export class SourceFinder {
  readonly #request: QuantisedRequest;
  readonly #members: readonly (QuantisedTensors | null)[];
  readonly #conflicts: Conflict[];
  /** By the names of the unquantised weights; members with the same tensors share one map. */
  readonly #byName = new Map<QuantisedTensors, ReadonlyMap<string, QuantisedWeight>>();

  /** @param members [members] null where the member takes no part */
  constructor(request: QuantisedRequest, members: readonly (QuantisedTensors | null)[], conflicts: Conflict[]) {
    this.#request = request;
    this.#members = members;
    this.#conflicts = conflicts;
  }

  /**
   * @param weight of the layout, or of the first member that has it as codes
   * @param codes whether the layout holds codes: what members differ from
   * @returns [members] null where the member takes no part, or does not fit (then there is a conflict)
   */
  of(weight: QuantisedWeight, codes: boolean): (QuantisedSource | null)[] {
    return this.#members.map((tensors, m) => {
      if (tensors === null) return null;
      const theirs = this.#weights(tensors).get(weight.plain.name);
      return theirs === undefined ? this.#plain(weight, m, codes) : this.#codes(weight, theirs, m, codes);
    });
  }

  #codes(weight: QuantisedWeight, theirs: QuantisedWeight, m: number, codes: boolean): QuantisedSource | null {
    const source = { codes: theirs.codes, encoding: theirs.encoding, scales: { ...theirs.scales, dtype: theirs.scaleDtype } };
    if (!equal(weight.plain.shape, theirs.plain.shape) || weight.transposed !== theirs.transposed) {
      const shapes = `[${weight.plain.shape.join(', ')}] in the layout and [${theirs.plain.shape.join(', ')}]`;
      return this.#refuse('E_SHAPE', weight, m, `is ${shapes} in`);
    }
    if (theirs.blockRows !== weight.blockRows || theirs.blockCols !== weight.blockCols || theirs.rows !== weight.rows) {
      return this.#refuse('E_MIXED_QUANTISATION', weight, m, `has ${grid(weight)} in the layout and ${grid(theirs)} in`);
    }
    const { allowMixedDtypes } = this.#request;
    if (theirs.encoding !== weight.encoding && !allowMixedDtypes) {
      const encodings = `${encodingName(weight.encoding)} in the layout and ${encodingName(theirs.encoding)}`;
      return this.#refuse('E_MIXED_QUANTISATION', weight, m, `is ${encodings} in`);
    }
    if (!codes && !allowMixedDtypes) {
      return this.#refuse(
        'E_MIXED_QUANTISATION',
        weight,
        m,
        `is plain floats in the layout and ${encodingName(theirs.encoding)} with scales in`,
      );
    }
    return source;
  }

  #plain(weight: QuantisedWeight, m: number, codes: boolean): QuantisedSource | null {
    const member = this.#request.members[m]!;
    const place = member.locate(weight.plain.name);
    if (place === undefined) return this.#refuse('E_TENSOR_MISSING', weight, m, 'is missing from');
    const { dtypes, shapes } = member.shards[place.shard]!.tensors;
    const dtype = dtypeByCode(dtypes[place.row]!);
    if (dtype.bits === 8) return this.#refuse('E_SCALE_MISSING', weight, m, `is ${dtype.name} without a scale in`, place);
    if (dtype.kind !== 'float') return this.#refuse('E_UNSUPPORTED_DTYPE', weight, m, `is ${dtype.name} in`, place);
    const shape = shapes[place.row]!;
    if (!equal(shape, weight.plain.shape)) {
      return this.#refuse('E_SHAPE', weight, m, `is [${weight.plain.shape.join(', ')}] in the layout and [${shape.join(', ')}] in`, place);
    }
    if (weight.transposed) {
      const why = `is ${encodingName(weight.encoding)} in some inputs, and stored transposed as ${dtype.name} in`;
      return this.#refuse('E_MIXED_QUANTISATION', weight, m, why, place);
    }
    if (codes && !this.#request.allowMixedDtypes) {
      const forms = `${encodingName(weight.encoding)} with scales in the layout and ${dtype.name}`;
      return this.#refuse('E_MIXED_QUANTISATION', weight, m, `is ${forms} in`, place);
    }
    return { codes: place, encoding: dtype.code, scales: null };
  }

  #weights(tensors: QuantisedTensors): ReadonlyMap<string, QuantisedWeight> {
    let map = this.#byName.get(tensors);
    if (map === undefined) {
      map = new Map(tensors.weights.map((w) => [w.plain.name, w]));
      this.#byName.set(tensors, map);
    }
    return map;
  }

  #refuse(code: ErrorCode, weight: QuantisedWeight, m: number, what: string, place?: TensorPlace): null {
    const member: Checkpoint = this.#request.members[m]!;
    const file = place === undefined ? member.path : member.shards[place.shard]!.path;
    this.#conflicts.push({ code, message: `tensor ${weight.name} ${what} ${file}`, file, tensor: weight.name });
    return null;
  }
}

function encodingName(encoding: number): string {
  return encoding === MXFP4 ? 'MXFP4' : dtypeByCode(encoding).name;
}

function grid({ blockRows, blockCols, rows, cols }: QuantisedWeight): string {
  if (blockRows === rows && blockCols === cols) return 'one scale a matrix';
  if (blockRows === 1 && blockCols === cols) return 'one scale a row';
  return `a scale for each ${blockRows} x ${blockCols} values`;
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
