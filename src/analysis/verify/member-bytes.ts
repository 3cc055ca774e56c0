import { type AveragedDtypeName, dtypeByCode } from '../../base/dtype.ts';
import { MergeError } from '../../base/errors.ts';
import type { ByteReader } from '../../base/store/byte-reader.ts';
import { readTensor } from '../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { arrange } from '../../model/layout/arrange.ts';
import type { Arrangement } from '../../model/layout/types.ts';
import { checkpointRoles } from '../../model/roles/checkpoint-roles.ts';

/** The tensors of a merge in one of its members, wherever and in whatever layout the member holds them. */
export class MemberBytes {
  readonly #output: Checkpoint;
  readonly #member: Checkpoint;
  readonly #reader: ByteReader;
  #arrangement: Arrangement | undefined;

  constructor(output: Checkpoint, member: Checkpoint, reader: ByteReader) {
    this.#output = output;
    this.#member = member;
    this.#reader = reader;
  }

  /**
   * Elements `from` to `to` of a tensor of the output (bytes, where it is no float tensor).
   * @param tensor of the member, where it is made from another one
   * @throws MergeError E_TENSOR_MISSING when the member lacks them
   */
  async read(
    shard: number,
    row: number,
    from: number,
    to: number,
    tensor = this.#output.shards[shard]!.tensors.names[row]!,
  ): Promise<{ bytes: Uint8Array; dtype: AveragedDtypeName }> {
    const { name: file } = this.#output.shards[shard]!;
    const place = this.#member.locate(tensor, file);
    if (place !== undefined) return this.#run(place.shard, place.row, from, to);
    const arranged = (await this.#arranged()).of(shard, row);
    if (arranged === undefined || !('pieces' in arranged)) {
      throw new MergeError('E_TENSOR_MISSING', `tensor ${tensor} is missing from ${this.#member.path}`, {
        details: { file: this.#member.path, tensor },
      });
    }
    const runs = [];
    for (const piece of arranged.pieces) {
      const [start, end] = [Math.max(from, piece.from), Math.min(to, piece.from + piece.elements)];
      const shift = piece.sourceFrom - piece.from;
      if (start < end) runs.push(await this.#run(piece.shard, piece.row, start + shift, end + shift));
    }
    return { bytes: Buffer.concat(runs.map((r) => r.bytes)), dtype: runs[0]!.dtype };
  }

  async #run(shard: number, row: number, from: number, to: number): Promise<{ bytes: Uint8Array; dtype: AveragedDtypeName }> {
    const dtype = dtypeByCode(this.#member.shards[shard]!.tensors.dtypes[row]!);
    const size = dtype.kind === 'float' ? dtype.bits / 8 : 1;
    const bytes = await readTensor(this.#reader, this.#member, { shard, row }, from * size, (to - from) * size);
    return { bytes, dtype: dtype.name as AveragedDtypeName };
  }

  async #arranged(): Promise<Arrangement> {
    this.#arrangement ??= arrange(this.#output, await checkpointRoles(this.#output), this.#member, await checkpointRoles(this.#member));
    return this.#arrangement;
  }
}
