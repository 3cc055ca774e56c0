import type { Dtype } from '../../../base/dtype.ts';
import { byteLength, elementCount } from '../../tensors/table.ts';
import { serializationId } from '../torch/serialization-id.ts';
import { tensorPickle } from '../torch/write-tensor.ts';
import { type ArchiveFile, type ArchivePiece, layOutArchive } from '../zip/write-zip.ts';

/** The files of an item but for its tensor, as one version of torch writes them. */
export interface ItemForm {
  /** In their order, `data.pkl` and `data/0` among them, without the archive's root; bytes of the others. */
  readonly files: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly root: string;
  /** Of the bytes of each file. */
  readonly alignment: number;
}

/** Where everything of an item lies. */
export interface ItemLayout {
  /** Bytes of all of it. */
  readonly size: number;
  /** Where the values begin, from the beginning of the item, and how many bytes they are. */
  readonly at: number;
  readonly bytes: number;
  /** All but the values. @param crc32 of the values; 0 where they are not known yet */
  pieces(crc32: number): readonly ArchivePiece[];
}

const ID = '.data/serialization_id';

/**
 * Lays out items of one form: archives of torch.save of one tensor each, byte for byte.
 * @param crc32 zlib's
 */
export class ItemWriter {
  readonly #form: ItemForm;
  readonly #crc32: (bytes: Uint8Array) => number;
  readonly #known = new Map<string, ItemLayout>();

  constructor(form: ItemForm, crc32: (bytes: Uint8Array) => number) {
    this.#form = form;
    this.#crc32 = crc32;
  }

  /** The item of a tensor in row-major order. @param shape sizes of the dimensions */
  layOut(dtype: Dtype, shape: readonly number[]): ItemLayout {
    const key = `${dtype.name} ${shape.join()}`;
    let layout = this.#known.get(key);
    if (layout === undefined) {
      layout = this.#make(dtype, shape);
      this.#known.set(key, layout);
    }
    return layout;
  }

  #make(dtype: Dtype, shape: readonly number[]): ItemLayout {
    const { root, files, alignment } = this.#form;
    const bytes = byteLength(dtype, elementCount(shape));
    const pickle = tensorPickle(dtype, shape);
    const archive: ArchiveFile[] = files.map((file) => {
      const data = file.name === 'data/0' ? bytes : file.name === 'data.pkl' ? pickle : file.bytes;
      return { name: `${root}/${file.name}`, data };
    });
    const layout = layOutArchive(archive, alignment);
    const storage = files.findIndex(({ name }) => name === 'data/0');
    const known = archive.map(({ data }) => (typeof data === 'number' ? 0 : this.#crc32(data)));
    const idAt = files.findIndex(({ name }) => name === ID);
    const withSum = (crc32: number): readonly ArchivePiece[] => {
      const sums = known.with(storage, crc32);
      if (idAt < 0) return layout.pieces(sums);
      const before = sums.slice(0, idAt).filter((_, i) => (i === storage ? bytes : (archive[i]!.data as Uint8Array).length) > 0);
      const data = serializationId(files[idAt]!.bytes, before);
      return layout.pieces(sums.with(idAt, this.#crc32(data)), { file: idAt, data });
    };
    // What an item of this form has before its values are known: asked for of each, and again at the end.
    let blank: readonly ArchivePiece[] | undefined;
    const pieces = (crc32: number): readonly ArchivePiece[] => {
      if (crc32 !== 0) return withSum(crc32);
      blank ??= withSum(0);
      return blank;
    };
    return { size: layout.size, at: layout.offsets[storage]!, bytes, pieces };
  }
}
