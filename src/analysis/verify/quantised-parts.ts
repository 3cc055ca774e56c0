import { dtypeByCode, dtypeByName } from '../../base/dtype.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { codeBytes } from '../../merge/plan/quantised/strips.ts';
import type { PartPlace, QuantisedWork } from '../../merge/plan/quantised/types.ts';
import { scaleGrid } from '../../model/quantised/blocks.ts';
import { mustBeRead, scaleFacts } from '../../model/quantised/stored-values.ts';
import type { ScaleDtype } from './twin/requantise.ts';
import type { TreatedTensors } from './weights.ts';

/** A member's share of a weight. */
export interface Part {
  readonly member: Checkpoint;
  readonly weight: number;
  readonly encoding: number;
  readonly codes: PartPlace;
  readonly scales: Scales | null;
}

/** All scales of a weight. */
export interface Scales {
  readonly dtype: ScaleDtype;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** A weight with everything small about it read. */
export interface Loaded {
  readonly work: QuantisedWork;
  readonly parts: readonly Part[];
  /** Of the output. */
  readonly scales: Scales | null;
  readonly powerOfTwo: boolean;
}

/** Reads what quantised weights of a merge were made from. */
export class QuantisedParts {
  readonly #output: Checkpoint;
  readonly #members: readonly Checkpoint[];
  readonly #treated: TreatedTensors;
  readonly #reader: ByteReader;
  #loaded: Loaded | undefined;

  constructor(output: Checkpoint, members: readonly Checkpoint[], treated: TreatedTensors, reader: ByteReader) {
    this.#output = output;
    this.#members = members;
    this.#treated = treated;
    this.#reader = reader;
  }

  /** Members with a weight, and all scales; the last weight asked for is kept. */
  async load(work: QuantisedWork): Promise<Loaded> {
    if (this.#loaded?.work === work) return this.#loaded;
    const weights =
      this.#treated.of(work.codes.shard, work.codes.row) ?? this.#members.map((_, m) => (m === this.#members.length - 1 ? 1 : 0));
    const parts: Part[] = [];
    for (const [m, weight] of weights.entries()) {
      const source = work.sources[m];
      if (weight === 0 || source == null) continue;
      const member = this.#members[m]!;
      const scales = source.scales === null ? null : await this.#scales(member, source.scales, work);
      parts.push({
        member,
        weight,
        encoding: source.encoding,
        codes: source.codes,
        scales,
      });
    }
    const scales = work.scales === null ? null : await this.#scales(this.#output, work.scales, work);
    const scaled = parts.flatMap((p) => (p.scales === null ? [] : [p.scales]));
    const powers = scaled.length > 0 && scaled.every(arePowersOfTwo);
    this.#loaded = {
      work,
      parts,
      scales,
      powerOfTwo: work.powerOfTwo || powers,
    };
    return this.#loaded;
  }

  async #scales(checkpoint: Checkpoint, place: PartPlace, work: QuantisedWork): Promise<Scales> {
    const { name, bits } = dtypeByCode(checkpoint.shards[place.shard]!.tensors.dtypes[place.row]!);
    const bytes = await readTensor(this.#reader, checkpoint, place, (place.from * bits) / 8, (scalesOf(work) * bits) / 8);
    return {
      dtype: name as ScaleDtype,
      bytes,
      view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    };
  }

  /** Codes of elements `from` to `to`, which begin and end with a byte. */
  bytes({ member, codes, encoding }: Part, from: number, to: number): Promise<Buffer> {
    const { bytes } = member.shards[codes.shard]!.tensors;
    const [first, last] = [codeBytes(encoding, codes.from + from), Math.min(codeBytes(encoding, codes.from + to), bytes[codes.row]!)];
    return readTensor(this.#reader, member, codes, first, last - first);
  }
}

/** Scales of a work. */
export function scalesOf(work: QuantisedWork): number {
  const { down, across } = scaleGrid(work);
  return work.matrices * down * across;
}

function arePowersOfTwo({ dtype, bytes }: Scales): boolean {
  const { code } = dtypeByName(dtype)!;
  return !mustBeRead(code) || scaleFacts(bytes, code).powersOfTwo;
}
