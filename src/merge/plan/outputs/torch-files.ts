import { createHash } from 'node:crypto';
import { basename, extname } from 'node:path';
import { crc32 } from 'node:zlib';
import { type DtypeName, dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { encodeIndex } from '../../../checkpoints/containers/safetensors/encode-index.ts';
import { TORCH_DTYPES } from '../../../checkpoints/containers/torch/dtypes.ts';
import { editState } from '../../../checkpoints/containers/torch/edit-state.ts';
import { INDEX, modelFile, SINGLE } from '../../../checkpoints/containers/torch/file-names.ts';
import { recordNamesId } from '../../../checkpoints/containers/torch/record-names.ts';
import { serializationId } from '../../../checkpoints/containers/torch/serialization-id.ts';
import type { TorchTemplate } from '../../../checkpoints/containers/torch/template.ts';
import { type ArchiveFile, type ArchiveLayout, type ArchivePiece, layOutArchive } from '../../../checkpoints/containers/zip/write-zip.ts';
import { elementCount } from '../../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { dtypeChangesOf, type Entries } from '../tensors/shared-text.ts';
import type { FilledStorage, InStorages } from '../tensors/storages.ts';
import { type ComposedFile, type FileFrame, type OutputContainer, type OutputForm, patchesBetween } from './container.ts';

/** A file of the archive as an output holds it. */
interface OutputFile extends ArchiveFile {
  /** Rows that fill it; null of what has no values. */
  readonly rows: readonly number[] | null;
}

/** Tensors of a file, and where everything in it lies. */
export interface TorchEntries extends Entries {
  readonly files: readonly OutputFile[];
  readonly layout: ArchiveLayout;
  /** Whether the state is another than the template's, and storages by their keys whose dtype is. */
  readonly edited: boolean;
  readonly changed: ReadonlyMap<string, DtypeName>;
}

const ID = '.data/serialization_id';
const DIGITS = 40;
/** The root of what torch saves to a stream. */
const OF_STREAM = 'archive';

/**
 * The files of one output as torch.save writes them, in the form of those of another checkpoint: with its
 * version's files beside the values, and byte for byte what it would save under the output's name.
 */
export class TorchFiles implements OutputForm<TorchEntries> {
  readonly #layout: Checkpoint;
  readonly #templates: readonly TorchTemplate[];
  readonly #in: InStorages;
  readonly #names: readonly string[];
  readonly #index: Uint8Array | null;

  /**
   * @param path of the output
   * @param templates by shard
   * @param index of the layout, as it stands; null where it has none
   */
  constructor(
    { path, kind }: { readonly path: string; readonly kind: 'folder' | 'file' },
    layout: Checkpoint,
    templates: readonly TorchTemplate[],
    inStorages: InStorages,
    index: Uint8Array | null,
  ) {
    this.#layout = layout;
    this.#index = kind === 'file' ? null : index;
    this.#templates = templates;
    this.#in = inStorages;
    this.#names = templates.map((_, s) =>
      kind === 'file' ? basename(path) : layout.kind === 'file' ? nameInFolder(layout.path, templates[s]!) : layout.files[s]!.name,
    );
  }

  nameOf(shard: number): string {
    return this.#names[shard]!;
  }

  entries(shard: number, dtypes: Uint8Array): TorchEntries {
    const { table } = this.#in.planned.targets[shard]!;
    const template = this.#templates[shard]!;
    const storages = this.#in.storages[shard]!;
    const changed = new Map<string, DtypeName>();
    for (const { storage, rows } of storages) {
      const row = rows.find((one) => dtypes[one] !== table.dtypes[one]);
      if (row !== undefined) changed.set(storage.key, dtypeByCode(dtypes[row]!).name);
    }
    const edited = editState(template, { kept: this.#in.kept[shard]!, whole: this.#in.whole, dtypes: changed });
    if (edited !== null && 'refused' in edited) {
      const message = `${template.path}: ${edited.name} ${edited.refused}`;
      throw new MergeError('E_TORCH_FILE', message, { details: { file: template.path, tensor: edited.name } });
    }
    const bytesOf = (row: number): number => (table.bytes[row]! / dtypeByCode(table.dtypes[row]!).bits) * dtypeByCode(dtypes[row]!).bits;
    const root = template.root === OF_STREAM ? OF_STREAM : rootOf(this.nameOf(shard));
    const files = filesOf(template, storages, edited, bytesOf).map((file) => ({ ...file, name: `${root}/${file.name}` }));
    const layout = layOutArchive(files, template.alignment);
    const begin = new Float64Array(table.count);
    const digest = createHash('sha256').update('torch');
    for (const [i, { name, rows, data }] of files.entries()) {
      digest.update(`\n${name} ${layout.offsets[i]}\n`).update(typeof data === 'number' ? `${data}` : data);
      let at = layout.offsets[i]!;
      for (const row of rows ?? []) {
        begin[row] = at;
        digest.update(`\n${table.names[row]} ${dtypes[row]}`);
        at += bytesOf(row);
      }
    }
    // What is copied is known by the checksum that its archive has.
    for (const { storage } of storages) digest.update(`\n${storage.entry.crc32}`);
    const dtypeChanges = dtypeChangesOf(table, dtypes);
    return {
      encoded: new Uint8Array(),
      digest: digest.digest(),
      dtypes,
      begin,
      dataBytes: layout.size,
      dtypeChanges,
      files,
      layout,
      edited: edited !== null,
      changed,
    };
  }

  frame(entries: TorchEntries): FileFrame {
    return { headerBytes: 0, header: () => new Uint8Array(), rest: () => piecesOf(entries, () => 0) };
  }

  composed(): ComposedFile[] {
    return [];
  }

  /** As it stands where all that it says is so of the output. */
  index(all: readonly TorchEntries[]): { name: string; bytes: Uint8Array } | null {
    if (this.#index === null) return null;
    if (all.every(({ edited }) => !edited)) return { name: INDEX, bytes: this.#index };
    const weightMap: [string, string][] = [];
    let total = 0;
    for (const [s, { tensors }] of this.#templates.entries()) {
      for (const name of this.#in.kept[s]!) {
        weightMap.push([name, this.nameOf(s)]);
        const { shape, storage, dtype } = tensors.get(name)!;
        const { bits } = dtypeByName(all[s]!.changed.get(storage) ?? TORCH_DTYPES.get(dtype)!)!;
        total += (elementCount(shape) * bits) / 8;
      }
    }
    const metadata = new Map(this.#layout.indexMetadata).set('total_size', total);
    return { name: INDEX, bytes: encodeIndex({ metadata, weightMap }) };
  }

  container(all: readonly TorchEntries[]): OutputContainer {
    return {
      crc32: true,
      finish: (_, sums, shard) =>
        patchesBetween(
          piecesOf(all[shard]!, () => 0),
          piecesOf(all[shard]!, (rows) => sums.crc32Of(rows)),
        ),
    };
  }
}

/**
 * The file of a folder that is made from single ones. A plain dict of tensors is what Hugging Face's libraries load
 * under their own name; what holds more is loaded by its trainer alone, and keeps the name that this gave it.
 */
function nameInFolder(path: string, { isStateDict }: TorchTemplate): string {
  if (isStateDict) return SINGLE;
  const own = basename(path);
  return modelFile([own]) === null ? `model${extname(own)}` : own;
}

/**
 * What torch calls the folder of an archive: the file's name up to its last point; that of a stream where it
 * is not ASCII.
 */
function rootOf(path: string): string {
  const name = basename(path);
  if (!/^[\0-\x7f]*$/.test(name)) return OF_STREAM;
  const point = name.lastIndexOf('.');
  return point < 0 ? name : name.slice(0, point);
}

/** The files of an archive without its root. */
function filesOf(
  { files, pickle }: TorchTemplate,
  storages: readonly FilledStorage[],
  edited: { readonly pickle: Buffer; readonly keys: readonly string[] } | null,
  bytesOf: (row: number) => number,
): OutputFile[] {
  const numbers = new Map(edited?.keys.map((key, i) => [key, String(i)]));
  const data = storages.map(({ storage, rows }): OutputFile => {
    const key = numbers.get(storage.key) ?? storage.key;
    return { name: `data/${key}`, data: rows.reduce((sum, row) => sum + bytesOf(row), 0), rows };
  });
  const first = files.findIndex((file) => 'key' in file);
  const out: OutputFile[] = [];
  for (const [i, file] of files.entries()) {
    if (i === first) out.push(...data);
    if ('key' in file) continue;
    const own = file.name === 'data.pkl' ? (edited?.pickle ?? pickle) : file.bytes;
    out.push({ name: file.name, data: own, rows: null });
  }
  const id = out.findIndex(({ name }) => name === ID);
  const names = out.slice(0, Math.max(id, 0)).map(({ name }) => name);
  if (edited === null || id < 0 || names.length === files.length - 1) return out;
  // Other names have another number, unless torch was built with another library.
  const before = files
    .slice(
      0,
      files.findIndex((file) => 'name' in file && file.name === ID),
    )
    .map((file) => ('key' in file ? `data/${file.key}` : file.name));
  const said = Buffer.from(out[id]!.data as Uint8Array).toString('latin1');
  if (!said.startsWith(recordNamesId(before))) return out;
  return out.with(id, { ...out[id]!, data: Buffer.from(recordNamesId(names).padEnd(DIGITS, '0'), 'latin1') });
}

/** All but the values. @param crc of the bytes of rows, one behind the other */
function piecesOf({ files, layout }: TorchEntries, crc: (rows: readonly number[]) => number): ArchivePiece[] {
  const sums = files.map(({ data, rows }) => (rows === null ? crc32(data as Uint8Array) : crc(rows)));
  const id = files.findIndex(({ name }) => name.endsWith(`/${ID}`));
  if (id < 0) return layout.pieces(sums);
  const before = sums.slice(0, id).filter((_, i) => sizeOf(files[i]!) > 0);
  const data = serializationId(files[id]!.data as Uint8Array, before);
  return layout.pieces(sums.with(id, crc32(data)), { file: id, data });
}

function sizeOf({ data }: ArchiveFile): number {
  return typeof data === 'number' ? data : data.length;
}
