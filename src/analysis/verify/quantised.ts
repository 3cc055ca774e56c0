import { type AveragedDtypeName, dtypeByCode } from '../../base/dtype.ts';
import { encodeFloat } from '../../base/numbers/float.ts';
import { SMALL_FLOATS } from '../../base/numbers/small-float.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { planQuantised } from '../../merge/plan/quantised/plan.ts';
import { codeBytes } from '../../merge/plan/quantised/strips.ts';
import type { QuantisedWork } from '../../merge/plan/quantised/types.ts';
import { arrange } from '../../model/layout/arrange.ts';
import type { Arrangement } from '../../model/layout/types.ts';
import { scaleGrid } from '../../model/quantised/blocks.ts';
import { MXFP4 } from '../../model/quantised/types.ts';
import { checkpointRoles } from '../../model/roles/checkpoint-roles.ts';
import { type Loaded, type Part, QuantisedParts, scalesOf } from './quantised-parts.ts';
import { combineElement } from './twin/combine.ts';
import {
  decodeElement,
  decodeScale,
  type Encoding,
  type QuantisedMember,
  requantiseReference,
  SCALE_BYTES,
  type ScaleDtype,
  type SmallEncoding,
} from './twin/requantise.ts';
import type { TreatedTensors } from './weights.ts';

/** Scales recomputed at a time: each needs all values of its block. */
export const SCALES_AT_ONCE = 16;
/** Values that the twin takes in one go. */
const CHUNK = 1 << 16;

/**
 * Recomputes ranges of quantised weights of a merge: codes from the members' values and the scale that is
 * stored, scales from all values of their block; and floats that were dequantised.
 */
export class QuantisedRecomputation {
  readonly #parts: QuantisedParts;
  /** By shard and row of codes and scales, in the order of their elements. */
  readonly #works: ReadonlyMap<string, readonly QuantisedWork[]>;

  private constructor(parts: QuantisedParts, works: readonly QuantisedWork[]) {
    this.#parts = parts;
    const found = new Map<string, QuantisedWork[]>();
    for (const work of works) {
      for (const place of [work.codes, work.scales]) {
        if (place === null) continue;
        const own = found.get(key(place));
        if (own === undefined) found.set(key(place), [work]);
        else own.push(work);
      }
    }
    this.#works = found;
  }

  /** @param members in the order of the sum */
  static async of(
    output: Checkpoint,
    members: readonly Checkpoint[],
    treated: TreatedTensors,
    reader: ByteReader,
  ): Promise<QuantisedRecomputation> {
    if (treated.copied) return new QuantisedRecomputation(new QuantisedParts(output, members, treated, reader), []);
    const roles = await checkpointRoles(output);
    const memberRoles = await Promise.all(members.map(checkpointRoles));
    const arrangements = new Map<number, Arrangement>();
    const { works } = planQuantised({
      layout: output,
      layoutConfig: roles.config,
      members,
      memberConfigs: memberRoles.map(({ config }) => config),
      participates: takesPart(output, members.length, treated),
      outputs: [{ path: output.path, dtype: 'same', newest: members.length - 1 }],
      // What was merged is not refused again.
      allowMixedDtypes: true,
      treatmentOf: () => ({ kind: 'average', dtype: null }),
      roleOf: () => null,
      arrangement: (m) => {
        const made = arrangements.get(m) ?? arrange(output, roles, members[m]!, memberRoles[m]!);
        arrangements.set(m, made);
        return made;
      },
    });
    return new QuantisedRecomputation(new QuantisedParts(output, members, treated, reader), works);
  }

  has(shard: number, row: number): boolean {
    return this.#works.has(key({ shard, row }));
  }

  /** Whether a tensor holds scales, which take longer. */
  isScales(shard: number, row: number): boolean {
    const work = this.#works.get(key({ shard, row }))?.[0];
    return work?.scales != null && key(work.scales) === key({ shard, row });
  }

  /** @param from first element; of packed codes and of scales of a byte, first byte */
  async expected(shard: number, row: number, from: number, to: number): Promise<Uint8Array> {
    const works = this.#works.get(key({ shard, row }))!;
    const isScales = this.isScales(shard, row);
    const each = !isScales && works[0]!.targets[0]!.encoding === MXFP4 ? 2 : 1;
    const bytes: Uint8Array[] = [];
    for (const work of works) {
      const begin = isScales ? work.scales!.from : work.codes.from;
      const [first, last] = [Math.max(0, each * from - begin), Math.min(isScales ? scalesOf(work) : elementsOf(work), each * to - begin)];
      if (first >= last) continue;
      const loaded = await this.#parts.load(work);
      bytes.push(await (isScales ? this.#expectedScales(loaded, first, last) : this.#expectedCodes(loaded, first, last)));
    }
    return Buffer.concat(bytes);
  }

  async #expectedCodes({ work, parts, scales }: Loaded, from: number, to: number): Promise<Uint8Array> {
    const { encoding, transposed } = work.targets[0]!;
    const places = Array.from({ length: to - from }, (_, i) => (transposed ? untransposed(work, from + i) : from + i));
    const first = places.reduce((least, p) => Math.min(least, p));
    const last = places.reduce((most, p) => Math.max(most, p));
    // A range of a transposed matrix is spread over all of it: its elements are read one by one.
    const runs = transposed ? places.map((p) => [p, p + 1] as const) : [[first, last + 1] as const];
    const weights = parts.map((p) => p.weight);
    const values: Float64Array[] = [];
    for (const part of parts) values.push(await this.#values(work, part, runs));
    const out = new Uint8Array(codeBytes(encoding, to - from));
    const view = new DataView(out.buffer);
    for (const [i, place] of places.entries()) {
      const merged = combineElement(
        values.map((v) => v[i]!),
        weights,
      );
      if (scales === null) encodeFloat(dtypeByCode(encoding).name as AveragedDtypeName, merged, view, i);
      else {
        const quotient = Math.fround(merged / decodeScale(scales.dtype, scales.view, blockOf(work, place)));
        if (encoding === MXFP4) out[i >> 1]! |= SMALL_FLOATS.E2M1.encode(quotient).code << (4 * (i & 1));
        else out[i] = SMALL_FLOATS[encodingName(encoding) as Exclude<SmallEncoding, 'MXFP4'>].encode(quotient).code;
      }
    }
    return out;
  }

  /** A member's values in runs of elements. */
  async #values(work: QuantisedWork, part: Part, runs: readonly (readonly [number, number])[]): Promise<Float64Array> {
    const values = new Float64Array(runs.reduce((sum, [from, to]) => sum + to - from, 0));
    let at = 0;
    for (const [from, to] of runs) {
      // A run of FP4 may begin in the middle of a byte.
      const start = from - (from % 2);
      const bytes = await this.#parts.bytes(part, start, to + (to % 2));
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let i = from; i < to; i++) {
        const code = decodeElement(encodingName(part.encoding), view, i - start);
        values[at++] = part.scales === null ? code : code * decodeScale(part.scales.dtype, part.scales.view, blockOf(work, i));
      }
    }
    return values;
  }

  async #expectedScales({ work, parts, powerOfTwo }: Loaded, from: number, to: number): Promise<Uint8Array> {
    const { encoding, scaleDtype } = work.targets[0]!;
    const { name, bits } = dtypeByCode(scaleDtype!);
    const out = {
      encoding: encodingName(encoding) as SmallEncoding,
      scaleDtype: name as ScaleDtype,
      powerOfTwo,
      newest: parts.length - 1,
    };
    const bytes: Uint8Array[] = [];
    const { down, across } = scaleGrid(work);
    for (let scale = from; scale < to; scale++) {
      const [matrix, block] = [Math.floor(scale / (down * across)), scale % (down * across)];
      const [top, left] = [Math.floor(block / across) * work.blockRows, (block % across) * work.blockCols];
      const [bottom, right] = [Math.min(top + work.blockRows, work.rows), Math.min(left + work.blockCols, work.cols)];
      const cols = right - left;
      const step = Math.max(1, Math.floor(CHUNK / cols));
      let amax = 0;
      let identical = true;
      let made: Uint8Array | undefined;
      for (let row = top; row < bottom; row += step) {
        const rows = Math.min(step, bottom - row);
        const shape = { rows, cols, blockRows: rows, blockCols: cols };
        const members = await this.#chunk(work, parts, scale, matrix * work.rows + row, rows, left, right);
        const result = requantiseReference(shape, members, out);
        amax = Math.max(amax, result.amax);
        identical &&= result.identical;
        // Of a block in several chunks, the scale follows from the largest value of all.
        made = row + rows < bottom || row === top ? result.scales : requantiseReference(shape, members, { ...out, amax }).scales;
      }
      const stored = parts[0]!.scales;
      bytes.push(identical && stored !== null ? stored.bytes.subarray((scale * bits) / 8, ((scale + 1) * bits) / 8) : made!);
    }
    return Buffer.concat(bytes);
  }

  /** Some rows of a block in every member, with its scale. */
  async #chunk(
    work: QuantisedWork,
    parts: readonly Part[],
    scale: number,
    row: number,
    rows: number,
    left: number,
    right: number,
  ): Promise<QuantisedMember[]> {
    const members: QuantisedMember[] = [];
    for (const part of parts) {
      const whole = right - left === work.cols;
      const runs = whole
        ? [[row * work.cols, (row + rows) * work.cols]]
        : Array.from({ length: rows }, (_, r) => [(row + r) * work.cols + left, (row + r) * work.cols + right]);
      const codes: Uint8Array[] = [];
      for (const [from, to] of runs) codes.push(await this.#parts.bytes(part, from!, to!));
      const { scales, weight } = part;
      const size = scales === null ? 0 : SCALE_BYTES[scales.dtype];
      const own =
        scales === null
          ? null
          : {
              dtype: scales.dtype,
              bytes: scales.bytes.subarray(scale * size, (scale + 1) * size),
            };
      members.push({
        encoding: encodingName(part.encoding),
        codes: Buffer.concat(codes),
        scales: own,
        weight,
      });
    }
    return members;
  }
}

/** Members that anything in the output was made from. */
function takesPart({ shards }: Checkpoint, members: number, treated: TreatedTensors): boolean[] {
  const taken = new Array<boolean>(members).fill(false);
  const seen = new Set<readonly number[] | null>();
  for (const [shard, { tensors }] of shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const weights = treated.of(shard, row);
      if (seen.has(weights)) continue;
      seen.add(weights);
      if (weights !== null) for (const [m, weight] of weights.entries()) taken[m] ||= weight !== 0;
    }
  }
  return taken;
}

/** Element of the matrices as stored, of an element of their transposes. */
function untransposed({ rows, cols }: QuantisedWork, element: number): number {
  const matrix = Math.floor(element / (rows * cols));
  const within = element % (rows * cols);
  return matrix * rows * cols + (within % rows) * cols + Math.floor(within / rows);
}

/** Index of the scale of an element. */
function blockOf(work: QuantisedWork, element: number): number {
  const { rows, cols, blockRows, blockCols } = work;
  const { down, across } = scaleGrid(work);
  const row = Math.floor(element / cols);
  const [matrix, inMatrix] = [Math.floor(row / rows), row % rows];
  return (matrix * down + Math.floor(inMatrix / blockRows)) * across + Math.floor((element % cols) / blockCols);
}

function encodingName(encoding: number): Encoding {
  return encoding === MXFP4 ? 'MXFP4' : (dtypeByCode(encoding).name as AveragedDtypeName);
}

function elementsOf({ matrices, rows, cols }: QuantisedWork): number {
  return matrices * rows * cols;
}

function key({ shard, row }: TensorPlace): string {
  return `${shard} ${row}`;
}
