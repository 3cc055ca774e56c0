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

/** Items that hold parts of tensors, by their numbers: objects for each of a million are many. */
export interface ItemPlaces {
  readonly count: number;
  offset(item: number): number;
  length(item: number): number;
  /** The tensor that it is a part of. */
  name(item: number): string;
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
  readonly #unused: Buffer[] = [];

  /**
   * @param items of one file, in the order in which they lie there
   * @param found told of each where its values lie: of items that are alike, the same object
   * @throws MergeError E_DCP where an item is something else than one plain tensor; E_ZIP, E_PICKLE,
   *   E_PICKLE_CLASS, E_TORCH_FILE; E_FILE_TRUNCATED, E_IO; what `found` throws
   */
  async read(file: OpenFile, items: ItemPlaces, found: (item: number, placed: PlacedTensor) => void): Promise<void> {
    let heads: Buffer = Buffer.alloc(0);
    for (let from = 0; from < items.count; from += TOGETHER) {
      const some = Math.min(TOGETHER, items.count - from);
      const length = this.#headBytes;
      if (heads.length < some * length) heads = this.#buffer(some * length);
      const offsets = Array.from({ length: some }, (_, i) => items.offset(from + i));
      const counts = await file.readEach(heads, length, offsets);
      for (let i = 0; i < some; i++) {
        const known = this.#known(items.length(from + i), heads, i * length, i * length + counts[i]!);
        found(from + i, known ?? (await this.#readWhole(file, items, from + i)));
      }
    }
    if (heads.length > 0) this.#unused.push(heads);
  }

  /** Half a megabyte for each of hundreds of files would be collected late. */
  #buffer(bytes: number): Buffer {
    const unused = this.#unused.pop();
    return unused !== undefined && unused.length >= bytes ? unused : Buffer.allocUnsafeSlow(Math.max(bytes, TOGETHER * HEAD));
  }

  /** The form of an item of that length of which the first bytes lie there. */
  #known(length: number, heads: Buffer, from: number, to: number): ItemForm | undefined {
    for (const form of this.#forms.get(length) ?? []) {
      const end = from + form.head.length;
      if (end <= to && heads.compare(form.head, 0, form.head.length, from, end) === 0) return form;
    }
    return undefined;
  }

  async #readWhole(file: OpenFile, items: ItemPlaces, item: number): Promise<PlacedTensor> {
    const [offset, length, name] = [items.offset(item), items.length(item), items.name(item)];
    const region = new Region(file, `the item of ${name}`, offset, length);
    const { root, storages } = await readArchive(region);
    const tensor = tensorOf(root);
    const placed = tensor === null ? { refused: 'is no tensor' } : 'refused' in tensor ? tensor : placeInStorage(tensor, storages);
    if ('refused' in placed) {
      const message = `${file.path}, byte ${offset}: the item of ${name} ${placed.refused}`;
      throw new MergeError('E_DCP', message, { details: { file: file.path, tensor: name, position: offset } });
    }
    if (placed.at > MOST_HEAD) return placed;
    const forms = this.#forms.get(length) ?? [];
    this.#forms.set(length, forms);
    this.#headBytes = Math.max(this.#headBytes, placed.at);
    if (forms.length === MOST_FORMS) return placed;
    const form = { ...placed, head: Buffer.from(await region.bytes(0, placed.at)) };
    forms.push(form);
    return form;
  }
}
