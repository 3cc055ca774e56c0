import { type AveragedDtypeName, dtypeByCode } from '../../base/dtype.ts';
import { decodeFloat, FLOAT_BYTES } from '../../base/numbers/float.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { BLOCK_ELEMENTS, type Block } from './blocks.ts';
import { MemberBytes } from './member-bytes.ts';
import { QuantisedRecomputation, SCALES_AT_ONCE } from './quantised.ts';
import { combineReference } from './twin/combine.ts';
import type { TreatedTensors } from './weights.ts';

/** The first element that is not what the recomputation gives. */
export interface Mismatch {
  readonly tensor: string;
  readonly file: string;
  /** Index of the element in its tensor (of the byte, where the tensor is copied). */
  readonly element: number;
  /** Value and bytes, as `0.25 (0x3e80)`. */
  readonly expected: string;
  readonly found: string;
}

/** Recomputes blocks of a merge from its members with the reference twin, and compares byte for byte. */
export class Recomputation {
  readonly #output: Checkpoint;
  readonly #members: readonly MemberBytes[];
  readonly #treated: TreatedTensors;
  readonly #reader: ByteReader;
  readonly #quantised: QuantisedRecomputation;

  private constructor(
    output: Checkpoint,
    members: readonly Checkpoint[],
    treated: TreatedTensors,
    reader: ByteReader,
    quantised: QuantisedRecomputation,
  ) {
    this.#output = output;
    this.#members = members.map((member) => new MemberBytes(output, member, reader));
    this.#treated = treated;
    this.#reader = reader;
    this.#quantised = quantised;
  }

  /** @param members in the order of the sum */
  static async of(output: Checkpoint, members: readonly Checkpoint[], treated: TreatedTensors): Promise<Recomputation> {
    const reader = new ByteReader();
    return new Recomputation(output, members, treated, reader, await QuantisedRecomputation.of(output, members, treated, reader));
  }

  /** Elements of a tensor to check at a time. */
  blockElements(shard: number, row: number): number {
    return this.#quantised.isScales(shard, row) ? SCALES_AT_ONCE : BLOCK_ELEMENTS;
  }

  /** @throws MergeError E_TENSOR_MISSING when a member lacks the tensor. */
  async check({ shard, row, from, to }: Block): Promise<Mismatch | null> {
    const { name: file, tensors: table } = this.#output.shards[shard]!;
    const dtype = dtypeByCode(table.dtypes[row]!);
    const float = dtype.kind === 'float';
    const size = float ? dtype.bits / 8 : 1;
    const count = to - from;
    const found = await readTensor(this.#reader, this.#output, { shard, row }, from * size, count * size);
    const weights = this.#treated.of(shard, row);
    const copiedFrom = this.#treated.copiedFrom?.(shard, row) ?? null;
    const source = copiedFrom ?? weights?.findIndex((w) => w !== 0) ?? this.#members.length - 1;
    const tensor = this.#treated.nameOf?.(shard, row);
    let expected: Uint8Array;
    if (this.#quantised.has(shard, row)) expected = await this.#quantised.expected(shard, row, from, to);
    else if (this.#treated.isZero?.(shard, row)) expected = new Uint8Array(count * size);
    else if (float && weights !== null && copiedFrom === null) {
      const inputs = [];
      for (const [m, weight] of weights.entries()) {
        if (weight !== 0) inputs.push({ ...(await this.#members[m]!.read(shard, row, from, to, tensor)), weight });
      }
      expected = combineReference({ inputs, count, outDtype: dtype.name as AveragedDtypeName }).bytes;
    } else {
      const copied = await this.#members[source]!.read(shard, row, from, to, tensor);
      // What was taken from the newest is in the layout's dtype.
      const cast = float && copied.dtype !== dtype.name;
      expected = cast
        ? combineReference({ inputs: [{ ...copied, weight: 1 }], count, outDtype: dtype.name as AveragedDtypeName }).bytes
        : copied.bytes;
    }
    if (found.equals(expected)) return null;
    const byte = found.findIndex((b, i) => b !== expected[i]);
    const at = Math.floor(byte / size);
    const show = (bytes: Uint8Array): string =>
      describe(bytes.subarray(at * size, (at + 1) * size), float ? (dtype.name as AveragedDtypeName) : null);
    return { tensor: table.names[row]!, file, element: from + at, expected: show(expected), found: show(found) };
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

function describe(bytes: Uint8Array, dtype: AveragedDtypeName | null): string {
  const hex = `0x${Buffer.from(bytes).reverse().toString('hex')}`;
  if (dtype === null || bytes.length < FLOAT_BYTES[dtype]) return hex;
  return `${decodeFloat(dtype, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0)} (${hex})`;
}
