/** A file of an archive: its bytes, or how many they are where somebody else writes them. */
export interface ArchiveFile {
  /** With the archive's root, as `archive/data/0`. */
  readonly name: string;
  readonly data: Uint8Array | number;
}

/** Bytes of an archive that are those of no file in it that somebody else writes. */
export interface ArchivePiece {
  /** From the beginning of the archive. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Where everything of an archive lies. */
export interface ArchiveLayout {
  /** Bytes of all of it. */
  readonly size: number;
  /** [files] Where the bytes of each begin, from the beginning of the archive. */
  readonly offsets: readonly number[];
  /**
   * What is to be written besides: headers, padding, descriptors, the files whose bytes are given, the
   * directory; in ascending order, and with the bytes that somebody else writes it is every byte of the
   * archive.
   * @param crc32 [files] checksums, zlib's; of files whose bytes are given, too
   * @param anew other bytes, as many, of one of the files whose bytes are given
   */
  pieces(crc32: readonly number[], anew?: { readonly file: number; readonly data: Uint8Array }): ArchivePiece[];
}

const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
/** Where the checksum stands in a descriptor, and in an entry of the directory. */
const DESCRIPTOR_SUM = 4;
const CENTRAL_SUM = 16;
/**
 * What a 32-bit field says where a 64-bit one counts, and from where torch writes such: one lower than the
 * format asks.
 */
const WIDE = 0xffffffff;
/** Data follow, and names are UTF-8; of a file without bytes the latter alone. */
const FLAGS = 0x0808;
const FLAGS_EMPTY = 0x0800;

/**
 * Lays out an archive as torch does: every file is stored as it is, its bytes aligned by a padded extra
 * field, its checksum behind them and in the directory. Source: PyTorch's
 * caffe2/serialize/inline_container.cc (`getPadding`, `writeRecord`) with miniz 3.0; the format is PKWARE's
 * APPNOTE.TXT 6.3.10.
 * @param alignment of the bytes of each file, from the beginning of the archive
 */
export function layOutArchive(files: readonly ArchiveFile[], alignment: number): ArchiveLayout {
  const headers: { readonly at: number; readonly extra: Buffer }[] = [];
  const offsets: number[] = [];
  let at = 0;
  for (const { name, data } of files) {
    const size = sizeOf(data);
    const wide = wideField(size, at);
    const start = at + LOCAL_BYTES + Buffer.byteLength(name) + wide.length + 4;
    const padding = (alignment - (start % alignment)) % alignment;
    const fill = Buffer.alloc(4 + padding, 'Z');
    fill.write('FB');
    fill.writeUInt16LE(padding, 2);
    headers.push({ at, extra: Buffer.concat([wide, fill]) });
    offsets.push(start + padding);
    at = start + padding + size + descriptorBytes(size, at);
  }
  const directoryAt = at;
  const central = files.map(
    ({ name, data }, i) => CENTRAL_BYTES + Buffer.byteLength(name) + wideField(sizeOf(data), headers[i]!.at).length,
  );
  const directoryBytes = central.reduce((sum, bytes) => sum + bytes, 0);
  const size = directoryAt + directoryBytes + 56 + 20 + 22;

  /** All pieces with checksums of 0. */
  const blank = (): ArchivePiece[] => {
    const pieces: ArchivePiece[] = [];
    const directory: Buffer[] = [];
    for (const [i, { name, data }] of files.entries()) {
      const length = sizeOf(data);
      const { at: header, extra } = headers[i]!;
      pieces.push({ offset: header, bytes: Buffer.concat([localHeader(name, length, extra), Buffer.from(name), extra]) });
      if (typeof data !== 'number' && length > 0) pieces.push({ offset: offsets[i]!, bytes: data });
      if (length > 0) pieces.push({ offset: offsets[i]! + length, bytes: descriptor(length, header) });
      directory.push(centralHeader(name, length, header));
    }
    pieces.push({ offset: directoryAt, bytes: Buffer.concat([...directory, end(files.length, directoryBytes, directoryAt)]) });
    return joined(pieces);
  };
  let known: readonly ArchivePiece[] | undefined;
  return {
    size,
    offsets,
    pieces(crc32, anew) {
      known ??= blank();
      const pieces = known.map(({ offset, bytes }) => ({ offset, bytes: Buffer.from(bytes) }));
      const last = pieces.at(-1)!;
      let directory = directoryAt - last.offset;
      let at = 0;
      for (const [i, { data }] of files.entries()) {
        const length = sizeOf(data);
        if (length > 0) {
          const behind = offsets[i]! + length;
          while (at + 1 < pieces.length && pieces[at + 1]!.offset <= behind) at++;
          const { offset, bytes } = pieces[at]!;
          if (anew?.file === i) bytes.set(anew.data, offsets[i]! - offset);
          bytes.writeUInt32LE(crc32[i]!, behind + DESCRIPTOR_SUM - offset);
          last.bytes.writeUInt32LE(crc32[i]!, directory + CENTRAL_SUM);
        }
        directory += central[i]!;
      }
      return pieces;
    },
  };
}

/** Pieces that follow one another as one: there are six files in the archive of one tensor. */
function joined(pieces: readonly ArchivePiece[]): ArchivePiece[] {
  const out: { offset: number; parts: Uint8Array[]; end: number }[] = [];
  for (const { offset, bytes } of pieces) {
    const last = out.at(-1);
    if (last?.end === offset) {
      last.parts.push(bytes);
      last.end += bytes.length;
    } else out.push({ offset, parts: [bytes], end: offset + bytes.length });
  }
  return out.map(({ offset, parts }) => ({ offset, bytes: Buffer.concat(parts) }));
}

function sizeOf(data: ArchiveFile['data']): number {
  return typeof data === 'number' ? data : data.length;
}

/** The extra field for what 32 bits do not hold, of both headers: sizes, then the place of the local one. */
function wideField(size: number, at: number): Buffer {
  const values = [...(size >= WIDE ? [size, size] : []), ...(at >= WIDE ? [at] : [])];
  if (values.length === 0) return Buffer.alloc(0);
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(1);
  field.writeUInt16LE(8 * values.length, 2);
  for (const [i, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  return field;
}

/** Checksum and sizes stand behind the data, and are 0 here. */
function localHeader(name: string, size: number, extra: Buffer): Buffer {
  const header = Buffer.alloc(LOCAL_BYTES);
  header.writeUInt32LE(0x04034b50);
  header.writeUInt16LE(size === 0 ? FLAGS_EMPTY : FLAGS, 6);
  header.writeUInt16LE(Buffer.byteLength(name), 26);
  header.writeUInt16LE(extra.length, 28);
  return header;
}

function isWide(size: number, at: number): boolean {
  return size >= WIDE || at >= WIDE;
}

function descriptorBytes(size: number, at: number): number {
  if (size === 0) return 0;
  return isWide(size, at) ? 24 : 16;
}

/** Without its checksum. */
function descriptor(size: number, at: number): Buffer {
  const bytes = Buffer.alloc(descriptorBytes(size, at));
  bytes.writeUInt32LE(0x08074b50);
  if (isWide(size, at)) {
    bytes.writeBigUInt64LE(BigInt(size), 8);
    bytes.writeBigUInt64LE(BigInt(size), 16);
  } else {
    bytes.writeUInt32LE(size, 8);
    bytes.writeUInt32LE(size, 12);
  }
  return bytes;
}

/** Without its checksum. */
function centralHeader(name: string, size: number, at: number): Buffer {
  const wide = wideField(size, at);
  const header = Buffer.alloc(CENTRAL_BYTES);
  header.writeUInt32LE(0x02014b50);
  header.writeUInt16LE(size === 0 ? FLAGS_EMPTY : FLAGS, 8);
  header.writeUInt32LE(size >= WIDE ? WIDE : size, 20);
  header.writeUInt32LE(size >= WIDE ? WIDE : size, 24);
  header.writeUInt16LE(Buffer.byteLength(name), 28);
  header.writeUInt16LE(wide.length, 30);
  header.writeUInt32LE(at >= WIDE ? WIDE : at, 42);
  return Buffer.concat([header, Buffer.from(name), wide]);
}

/** The 64-bit end, which torch always writes, where it is, and the end. */
function end(count: number, size: number, at: number): Buffer {
  const bytes = Buffer.alloc(56 + 20 + 22);
  bytes.writeUInt32LE(0x06064b50);
  bytes.writeBigUInt64LE(44n, 4);
  bytes.writeUInt16LE(0x031e, 12);
  bytes.writeUInt16LE(0x2d, 14);
  bytes.writeBigUInt64LE(BigInt(count), 24);
  bytes.writeBigUInt64LE(BigInt(count), 32);
  bytes.writeBigUInt64LE(BigInt(size), 40);
  bytes.writeBigUInt64LE(BigInt(at), 48);
  bytes.writeUInt32LE(0x07064b50, 56);
  bytes.writeBigUInt64LE(BigInt(at + size), 64);
  bytes.writeUInt32LE(1, 72);
  bytes.writeUInt32LE(0x06054b50, 76);
  bytes.writeUInt16LE(Math.min(count, 0xffff), 84);
  bytes.writeUInt16LE(Math.min(count, 0xffff), 86);
  bytes.writeUInt32LE(Math.min(size, WIDE), 88);
  bytes.writeUInt32LE(Math.min(at, WIDE), 92);
  return bytes;
}
