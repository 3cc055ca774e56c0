import { MergeError } from '../../../base/errors.ts';
import type { OpenFile } from '../../../base/store/types.ts';
import { type PlacedTensor, placeInStorage, readArchive } from '../torch/archive.ts';
import { tensorOf } from '../torch/tensor.ts';
import { Region } from '../zip/region.ts';

/** Bytes at the beginning of an item, up to its values, that are compared at first, and at most. */
const HEAD = 1024;
const MOST_HEAD = 2 ** 14;
/** Items of which the heads are read at once. */
const TOGETHER = 512;
/** Forms of items of one length that are remembered. */
const MOST_FORMS = 64;

/** An item that holds a part of a tensor. */
export interface ItemPlace {
  readonly offset: number;
  readonly length: number;
  /** The tensor that it is a part of. */
  readonly name: string;
}

/** Of an item, what it says up to its values, and where they lie in it. */
interface ItemForm extends PlacedTensor {
  readonly head: Buffer;
}

/**
 * Reads where the values of items lie. An item is an archive of torch.save of one tensor. Items of equal
 * boxes differ in nothing but values and checksums: those that are as long as another one and the same up to
 * their values are read no further, in all checkpoints of a run.
 */
export class ItemReader {
  readonly #forms = new Map<number, ItemForm[]>();
  #headBytes = HEAD;

  /**
   * @param items of one file, in the order in which they lie there
   * @param found told of each where its values lie
   * @throws MergeError E_DCP where an item is something else than one plain tensor; E_ZIP, E_PICKLE,
   *   E_PICKLE_CLASS, E_TORCH_FILE; E_FILE_TRUNCATED, E_IO; what `found` throws
   */
  async read(file: OpenFile, items: readonly ItemPlace[], found: (item: number, placed: PlacedTensor) => void): Promise<void> {
    for (let from = 0; from < items.length; from += TOGETHER) {
      const some = items.slice(from, from + TOGETHER);
      const length = this.#headBytes;
      const heads = Buffer.allocUnsafe(some.length * length);
      const offsets = some.map(({ offset }) => offset);
      const counts = await file.readEach(heads, length, offsets);
      for (const [i, item] of some.entries()) {
        const head = heads.subarray(i * length, i * length + counts[i]!);
        found(from + i, this.#known(item, head) ?? (await this.#readWhole(file, item)));
      }
    }
  }

  #known({ length }: ItemPlace, head: Buffer): ItemForm | undefined {
    return this.#forms.get(length)?.find(({ head: of }) => of.length <= head.length && head.compare(of, 0, of.length, 0, of.length) === 0);
  }

  async #readWhole(file: OpenFile, { offset, length, name }: ItemPlace): Promise<PlacedTensor> {
    const region = new Region(file, `the item of ${name}`, offset, length);
    const { root, storages } = await readArchive(region);
    const tensor = tensorOf(root);
    const placed = tensor === null ? { refused: 'is no tensor' } : 'refused' in tensor ? tensor : placeInStorage(tensor, storages);
    if ('refused' in placed) {
      const message = `${file.path}, byte ${offset}: the item of ${name} ${placed.refused}`;
      throw new MergeError('E_DCP', message, { details: { file: file.path, tensor: name, position: offset } });
    }
    if (placed.at <= MOST_HEAD) {
      const forms = this.#forms.get(length) ?? [];
      if (forms.length < MOST_FORMS) forms.push({ ...placed, head: Buffer.from(await region.bytes(0, placed.at)) });
      this.#forms.set(length, forms);
      this.#headBytes = Math.max(this.#headBytes, placed.at);
    }
    return placed;
  }
}
