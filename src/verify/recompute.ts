import { ByteReader } from '../checkpoint/byte-reader.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { dtypeByCode, type AveragedDtypeName } from '../dtype.ts';
import { MergeError } from '../errors.ts';
import { combineReference } from '../reference/combine.ts';
import { decodeFloat, FLOAT_BYTES } from '../reference/float.ts';
import type { Block } from './blocks.ts';

export interface WeightedMember {
  readonly checkpoint: Checkpoint;
  readonly weight: number;
}

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
  readonly #members: readonly WeightedMember[];
  readonly #reader = new ByteReader();

  constructor(output: Checkpoint, members: readonly WeightedMember[]) {
    this.#output = output;
    this.#members = members.filter((m) => m.weight !== 0);
  }

  /** @throws MergeError E_TENSOR_MISSING when a member lacks the tensor. */
  async check(block: Block): Promise<Mismatch | null> {
    const { header, path, name: file } = this.#output.shards[block.shard]!;
    const table = header.tensors;
    const tensor = table.names[block.row]!;
    const dtype = dtypeByCode(table.dtypes[block.row]!);
    const averaged = dtype.kind === 'float';
    const size = averaged ? dtype.bits / 8 : 1;
    const count = block.to - block.from;
    const found = await this.#reader.read(path, header.dataStart + table.begin[block.row]! + block.from * size, count * size);
    let expected: Uint8Array;
    if (averaged) {
      const inputs = [];
      for (const member of this.#members) inputs.push({ ...(await this.#piece(member, tensor, file, block)), weight: member.weight });
      expected = combineReference({ inputs, count, outDtype: dtype.name as AveragedDtypeName }).bytes;
    } else {
      expected = (await this.#piece(this.#members.at(-1)!, tensor, file, block)).bytes;
    }
    if (found.equals(expected)) return null;
    const byte = found.findIndex((b, i) => b !== expected[i]);
    const at = Math.floor(byte / size);
    const show = (bytes: Uint8Array): string =>
      describe(bytes.subarray(at * size, (at + 1) * size), averaged ? (dtype.name as AveragedDtypeName) : null);
    return { tensor, file, element: block.from + at, expected: show(expected), found: show(found) };
  }

  async #piece(
    { checkpoint }: WeightedMember,
    tensor: string,
    file: string,
    block: Block,
  ): Promise<{ bytes: Uint8Array; dtype: AveragedDtypeName }> {
    const place = checkpoint.locate(tensor, file);
    if (place === undefined) {
      throw new MergeError('E_TENSOR_MISSING', `tensor ${tensor} is missing from ${checkpoint.path}`, {
        details: { file: checkpoint.path, tensor },
      });
    }
    const { header, path } = checkpoint.shards[place.shard]!;
    const dtype = dtypeByCode(header.tensors.dtypes[place.row]!);
    const size = dtype.kind === 'float' ? dtype.bits / 8 : 1;
    const at = header.dataStart + header.tensors.begin[place.row]! + block.from * size;
    return { bytes: await this.#reader.read(path, at, (block.to - block.from) * size), dtype: dtype.name as AveragedDtypeName };
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
