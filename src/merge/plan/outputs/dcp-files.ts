import { createHash, getHashes } from 'node:crypto';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { dtypeByCode } from '../../../base/dtype.ts';
import type { DcpTemplate } from '../../../checkpoints/containers/dcp/template.ts';
import { type ItemLayout, ItemWriter } from '../../../checkpoints/containers/dcp/write-item.ts';
import {
  type WrittenBlob,
  type WrittenChunk,
  type WrittenTensor,
  writeMetadata,
} from '../../../checkpoints/containers/dcp/write-metadata.ts';
import type { Chunked } from '../tensors/chunks.ts';
import { dtypeChangesOf, type Entries } from '../tensors/shared-text.ts';
import {
  type Checksums,
  type ComposedFile,
  type FileFrame,
  type FramePiece,
  type OutputContainer,
  type OutputForm,
  patchesBetween,
} from './container.ts';
import type { Companions } from './dcp-companions.ts';

const NOTHING = { objects: [], beside: [] };

/** Tensors of a file, and where its items lie. */
export interface DcpEntries extends Entries {
  readonly items: readonly ItemLayout[];
  /** [rows] Bytes before each item. */
  readonly at: readonly number[];
}

/**
 * The files of a checkpoint of DCP, in the form in which another one was written: items one behind the other,
 * each an archive of torch.save; then what holds no tensor, copied; `.metadata` last, without which no loader
 * takes the folder.
 */
export class DcpFiles implements OutputForm<DcpEntries> {
  readonly #template: DcpTemplate;
  readonly #checksums: string | null;
  readonly #chunked: Chunked;
  readonly #items: ItemWriter;
  readonly #companions: Pick<Companions, 'objects' | 'beside'>;

  /**
   * @param checksums algorithm of those that its writer left of its files; null where it left none
   * @param companions what is written beside the tensors
   */
  constructor(
    template: DcpTemplate,
    checksums: string | null,
    chunked: Chunked,
    companions: Pick<Companions, 'objects' | 'beside'> = NOTHING,
  ) {
    this.#template = template;
    this.#checksums = checksums;
    this.#chunked = chunked;
    this.#companions = companions;
    this.#items = new ItemWriter(template.form, (bytes) => crc32(bytes));
  }

  /** The same files with what an output has beside its tensors. */
  beside(companions: Pick<Companions, 'objects' | 'beside'>): DcpFiles {
    return new DcpFiles(this.#template, this.#checksums, this.#chunked, companions);
  }

  /** The name of a file of items, below the output's folder. */
  nameOf(shard: number): string {
    return join(this.#template.folder, `__0_${shard}.distcp`);
  }

  /** By shard, rows that hold nothing but padding. */
  padding(): ReadonlySet<number>[] {
    const { chunks, tensors, planned } = this.#chunked;
    return chunks.map((own) => {
      const rows = own.flatMap(({ tensor, start, rows: count }, row) => {
        const range = lastFrom(planned.padding.get(tensors[tensor]!.name) ?? [], start);
        return range !== undefined && start + count <= range[1] ? [row] : [];
      });
      return new Set(rows);
    });
  }

  /** @param dtypes [rows] codes */
  entries(shard: number, dtypes: Uint8Array): DcpEntries {
    const { table } = this.#chunked.planned.targets[shard]!;
    const digest = createHash('sha256').update('dcp');
    const at: number[] = [];
    let end = 0;
    const items = table.shapes.map((shape, row) => {
      const item = this.#items.layOut(dtypeByCode(dtypes[row]!), shape);
      digest.update(`\n${table.names[row]} ${dtypes[row]} ${shape} ${this.#chunked.chunks[shard]![row]!.start}`);
      at.push(end);
      end += item.size;
      return item;
    });
    const begin = Float64Array.from(items, (item, row) => at[row]! + item.at);
    const encoded = new Uint8Array();
    return { encoded, digest: digest.digest(), dtypes, begin, dataBytes: end, dtypeChanges: dtypeChangesOf(table, dtypes), items, at };
  }

  frame(entries: DcpEntries): FileFrame {
    return { headerBytes: 0, header: () => new Uint8Array(), rest: () => framePieces(entries, () => 0) };
  }

  /** `.metadata` says where everything is. */
  index(): null {
    return null;
  }

  /** What is written when all tensors are there, in this order. */
  composed(all: readonly DcpEntries[]): ComposedFile[] {
    const companions = this.#companions;
    const { folder, root } = this.#template;
    const dtypes: number[] = [];
    const chunks: WrittenChunk[][] = this.#chunked.tensors.map(() => []);
    for (const [shard, own] of all.entries()) {
      for (const [row, { size: length }] of own.items.entries()) {
        const { tensor, start, rows } = this.#chunked.chunks[shard]![row]!;
        const { shape } = this.#chunked.tensors[tensor]!;
        const rest = shape.slice(1);
        const box = shape.length === 0 ? { start: [], size: [] } : { start: [start, ...rest.map(() => 0)], size: [rows, ...rest] };
        chunks[tensor]!.push({ ...box, file: fileName(shard), offset: own.at[row]!, length });
        dtypes[tensor] = own.dtypes[row]!;
      }
    }
    const written = this.#chunked.tensors.map(({ name, shape }, i): WrittenTensor => {
      return { name, shape, dtype: dtypeByCode(dtypes[i]!), chunks: chunks[i]! };
    });
    const blobs: WrittenBlob[] = [];
    let end = 0;
    for (const { name, bytes: length } of companions.objects) {
      blobs.push({ name, file: fileName(all.length), offset: end, length });
      end += length;
    }
    const bytes = writeMetadata(root, written, blobs);
    const last = { name: join(folder, '.metadata'), bytes: bytes.length, parts: [bytes] };
    const objects = end === 0 ? [] : [{ name: this.nameOf(all.length), bytes: end, parts: companions.objects.map(({ part }) => part) }];
    const besides = companions.beside.map(({ name, bytes: length, part }): ComposedFile => ({ name, bytes: length, parts: [part] }));
    const named = [...all.map((_, shard) => this.nameOf(shard)), ...[...objects, ...besides].map(({ name }) => name)];
    return [...objects, ...besides, ...checksumsOf(this.#checksums, named, { name: last.name, content: bytes }), last];
  }

  /** Of the files of items: checksums stand in each. @param all by shard */
  container(all: readonly DcpEntries[]): OutputContainer {
    return {
      crc32: true,
      finish: (_, sums, shard) =>
        patchesBetween(
          framePieces(all[shard]!, () => 0),
          framePieces(all[shard]!, (row) => sums.crc32(row)),
        ),
    };
  }
}

/**
 * The list of checksums that Megatron-core compares when it is told to, as it writes it; none where Node does
 * not know the algorithm.
 * @param last the file that is written behind it
 */
function checksumsOf(
  algorithm: string | null,
  names: readonly string[],
  last: { readonly name: string; readonly content: Uint8Array },
): ComposedFile[] {
  if (algorithm === null || !getHashes().includes(algorithm)) return [];
  const known = createHash(algorithm).update(last.content).digest('hex');
  const entries = [...names, last.name].toSorted().map((name, i): (string | Checksums)[] => {
    const before = `${i === 0 ? '' : ','}\n    ${JSON.stringify(name)}: "`;
    return name === last.name ? [`${before}${known}"`] : [before, { algorithm, of: name }, '"'];
  });
  const parts = [`{\n  "algorithm": ${JSON.stringify(algorithm)},\n  "files": {`, ...entries.flat(), '\n  }\n}'];
  const bytes = parts.reduce((sum, part) => sum + (typeof part === 'string' ? Buffer.byteLength(part) : known.length), 0);
  return [{ name: 'integrity.json', bytes, parts: parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)) }];
}

/** The last of some ascending ranges that begins no later. */
function lastFrom(ranges: readonly (readonly [number, number])[], start: number): readonly [number, number] | undefined {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]![0] <= start) low = middle + 1;
    else high = middle;
  }
  return ranges[low - 1];
}

function fileName(shard: number): string {
  return `__0_${shard}.distcp`;
}

function framePieces({ items, at }: DcpEntries, crc: (row: number) => number): FramePiece[] {
  return items.flatMap((item, row) => item.pieces(crc(row)).map(({ offset, bytes }) => ({ offset: at[row]! + offset, bytes })));
}
