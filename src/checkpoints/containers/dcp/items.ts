import { MergeError } from '../../../base/errors.ts';
import type { OpenFile } from '../../../base/store/types.ts';
import { type PlacedTensor, placeInStorage, readArchive } from '../torch/archive.ts';
import { tensorOf } from '../torch/tensor.ts';
import { Region } from '../zip/region.ts';

/** Bytes at the beginning of an item that say all of it but its values: the archive up to the storage. */
const HEAD = 1024;

/** Of an item, where its values lie in it. */
interface ItemForm extends PlacedTensor {
  readonly length: number;
}

/**
 * Reads where the values of items lie. An item is an archive of torch.save of one tensor. Items of equal boxes
 * differ in nothing but values and checksums, so those that begin alike are read once.
 */
export class ItemReader {
  readonly #forms = new Map<string, ItemForm>();

  /**
   * @param name of the tensor that it is a part of
   * @throws MergeError E_DCP where the item is something else than one plain tensor; E_ZIP, E_PICKLE,
   *   E_PICKLE_CLASS, E_TORCH_FILE; E_FILE_TRUNCATED
   */
  async read(file: OpenFile, offset: number, length: number, name: string): Promise<ItemForm> {
    const region = new Region(file, `the item of ${name}`, offset, length);
    const head = await region.bytes(0, Math.min(HEAD, length));
    const key = `${length} ${head.toString('latin1', 0, head.length)}`;
    const known = this.#forms.get(key);
    if (known !== undefined) return known;
    const { root, storages } = await readArchive(region);
    const tensor = tensorOf(root);
    const placed = tensor === null ? { refused: 'is no tensor' } : 'refused' in tensor ? tensor : placeInStorage(tensor, storages);
    if ('refused' in placed) {
      const message = `${file.path}, byte ${offset}: the item of ${name} ${placed.refused}`;
      throw new MergeError('E_DCP', message, { details: { file: file.path, tensor: name, position: offset } });
    }
    const form = { ...placed, length };
    // What does not fit into what was compared may differ.
    if (placed.at <= HEAD) this.#forms.set(key, form);
    return form;
  }
}
