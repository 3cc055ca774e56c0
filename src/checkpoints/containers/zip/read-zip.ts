import { MergeError } from '../../../base/errors.ts';
import type { Region } from './region.ts';

/** A file in an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Where its data begins, in bytes from the beginning of the archive. */
  readonly offset: number;
  /** Bytes that it takes. */
  readonly size: number;
  /**
   * Where the directory says that it is compressed; null where it is stored as it is, and can be read where
   * it lies.
   */
  readonly compressedAt: number | null;
  /** As the directory has it; torch writes 0 where it was told to skip it, and never looks. */
  readonly crc32: number;
}

/** Records of the format, by signature. */
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;

const END_BYTES = 22;
const LOCATOR64_BYTES = 20;
const END64_BYTES = 56;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;

/** Where a 32-bit field says that the 64-bit one counts. */
const SATURATED = 0xffffffff;
const SATURATED16 = 0xffff;
/** The extra field that holds 64-bit sizes. */
const ZIP64 = 1;
/** Names are paths inside the archive that torch makes of numbers and words. */
const MAX_NAME_BYTES = 4096;
/** Longest directory: that of a million storages. */
const MAX_DIRECTORY_BYTES = 2 ** 28;
const MAX_ENTRIES = 2 ** 21;

interface Listed {
  readonly name: string;
  readonly rawName: Buffer;
  readonly size: number;
  readonly compressedAt: number | null;
  readonly crc32: number;
  /** Of the header before its data. */
  readonly header: number;
}

/**
 * Reads the directory of a zip archive as torch writes it: no encryption, nothing before, between or behind,
 * and each name once. What the directory and the headers before the data say is compared; a checksum is not:
 * torch loads a file whatever its checksums say, and so may have one that it left out. Which files are
 * compressed is told and not refused: it is by them that another kind of archive is known. Source of the
 * format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
 * @returns entries in the order of their data
 * @throws MergeError E_ZIP; and what reading throws
 */
export async function readZip(region: Region): Promise<ZipEntry[]> {
  const { start, size, count } = await directory(region);
  const listed = parseDirectory(region, await region.bytes(start, size), start, count);
  listed.sort((a, b) => a.header - b.header);
  const entries: ZipEntry[] = [];
  let end = 0;
  for (const entry of listed) {
    if (entry.header < end) throw fault(region, entry.header, `${entry.name} begins inside what comes before it`);
    // Junk before the first would be a file of another kind with an archive behind it.
    if (entries.length === 0 && entry.header !== 0) throw fault(region, 0, 'the archive does not begin with a file of it');
    const offset = await dataOf(region, entry);
    end = offset + entry.size;
    if (end > start) throw fault(region, entry.header, `${entry.name} ends behind the beginning of the directory`);
    entries.push({ name: entry.name, offset, size: entry.size, compressedAt: entry.compressedAt, crc32: entry.crc32 });
  }
  return entries;
}

/** @throws MergeError E_ZIP where a file is compressed */
export function refuseCompressed(region: Region, entries: readonly ZipEntry[]): void {
  for (const { name, compressedAt } of entries)
    if (compressedAt !== null) throw fault(region, compressedAt, `${name} is compressed, so that its bytes cannot be read where they lie`);
}

/** Where the directory lies. */
async function directory(region: Region): Promise<{ start: number; size: number; count: number }> {
  const { length } = region;
  if (length < END_BYTES) throw fault(region, 0, `${length} bytes are too few for an archive`);
  const at = length - END_BYTES;
  const end = await region.bytes(at, END_BYTES);
  if (end.readUInt32LE(0) !== END || end.readUInt16LE(20) !== 0) {
    throw fault(region, at, 'the archive has no end: it was cut, or something was appended to it');
  }
  if (end.readUInt16LE(4) !== 0 || end.readUInt16LE(6) !== 0) throw fault(region, at, 'the archive is one of several parts');
  const count32 = end.readUInt16LE(10);
  const size32 = end.readUInt32LE(12);
  const start32 = end.readUInt32LE(16);
  if (end.readUInt16LE(8) !== count32) throw fault(region, at, 'the archive is one of several parts');
  let [start, size, count, limit] = [start32, size32, count32, at];
  const locatorAt = at - LOCATOR64_BYTES;
  const locator = locatorAt < 0 ? null : await region.bytes(locatorAt, LOCATOR64_BYTES);
  if (locator !== null && locator.readUInt32LE(0) === LOCATOR64) {
    limit = uint64(region, locator, 8, locatorAt);
    if (limit !== locatorAt - END64_BYTES) throw fault(region, locatorAt, 'the 64-bit end of the archive is not where it is said to be');
    const end64 = await region.bytes(limit, END64_BYTES);
    if (end64.readUInt32LE(0) !== END64) throw fault(region, limit, 'the archive has no 64-bit end where it is said to be');
    count = uint64(region, end64, 32, limit);
    size = uint64(region, end64, 40, limit);
    start = uint64(region, end64, 48, limit);
    const differs = (wide: number, narrow: number, saturated: number): boolean => narrow !== saturated && narrow !== wide;
    if (differs(count, count32, SATURATED16) || differs(size, size32, SATURATED) || differs(start, start32, SATURATED)) {
      throw fault(region, limit, 'the two ends of the archive differ');
    }
  }
  if (start + size !== limit) throw fault(region, at, 'the directory of the archive does not lie before its end');
  if (size > MAX_DIRECTORY_BYTES || count > MAX_ENTRIES)
    throw fault(region, at, `a directory of ${count} files and ${size} bytes is beyond the limit`);
  return { start, size, count };
}

function parseDirectory(region: Region, bytes: Buffer, start: number, count: number): Listed[] {
  const listed: Listed[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const place = start + at;
    if (bytes.length - at < CENTRAL_BYTES || bytes.readUInt32LE(at) !== CENTRAL)
      throw fault(region, place, 'the directory has fewer files than it says');
    const flags = bytes.readUInt16LE(at + 8);
    const method = bytes.readUInt16LE(at + 10);
    const [nameBytes, extraBytes, commentBytes] = [bytes.readUInt16LE(at + 28), bytes.readUInt16LE(at + 30), bytes.readUInt16LE(at + 32)];
    const nameAt = at + CENTRAL_BYTES;
    const end = nameAt + nameBytes + extraBytes + commentBytes;
    if (end > bytes.length) throw fault(region, place, 'the directory ends inside a file');
    const rawName = bytes.subarray(nameAt, nameAt + nameBytes);
    const name = plainName(region, rawName, place);
    if ((flags & 1) !== 0) throw fault(region, place, `${name} is encrypted`);
    if (names.has(name)) throw fault(region, place, `${name} is there twice`);
    names.add(name);
    const wide = wideSizes(region, bytes.subarray(nameAt + nameBytes, nameAt + nameBytes + extraBytes), place);
    const field = (offset: number): number => {
      const narrow = bytes.readUInt32LE(at + offset);
      if (narrow !== SATURATED) return narrow;
      const value = wide.shift();
      if (value === undefined) throw fault(region, place, `${name} has a size of more than 32 bits and does not say which`);
      return value;
    };
    const size = field(24);
    const packed = field(20);
    const header = field(42);
    const compressed = method !== 0;
    if (packed !== size && !compressed) throw fault(region, place, `${name} has ${size} bytes and takes ${packed}`);
    listed.push({ name, rawName, size: packed, compressedAt: compressed ? place : null, crc32: bytes.readUInt32LE(at + 16), header });
    at = end;
  }
  if (at !== bytes.length) throw fault(region, start + at, 'the directory has more files than it says');
  return listed;
}

/**
 * A path below the archive's own root, and no way out of it: names are never made files of, but are shown.
 */
function plainName(region: Region, raw: Buffer, place: number): string {
  if (raw.length === 0 || raw.length > MAX_NAME_BYTES) throw fault(region, place, `a name of ${raw.length} bytes is none`);
  const name = raw.toString('utf8');
  const odd = name.includes('\0') || name.includes('\\') || name.includes('\ufffd') || name.startsWith('/');
  if (odd || name.split('/').some((part) => part === '..' || part === '.'))
    throw fault(region, place, 'a name in the archive is no plain path');
  return name;
}

function wideSizes(region: Region, extra: Buffer, place: number): number[] {
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (at + 4 + length > extra.length) throw fault(region, place, 'an extra field ends outside of the directory');
    if (extra.readUInt16LE(at) === ZIP64) {
      const values: number[] = [];
      for (let i = 0; i + 8 <= length; i += 8) values.push(uint64(region, extra, at + 4 + i, place));
      return values;
    }
    at += 4 + length;
  }
  return [];
}

/**
 * Where the data of an entry begins: behind its own header, whose extra field is another than the
 * directory's.
 */
async function dataOf(region: Region, { name, rawName, header, compressedAt }: Listed): Promise<number> {
  if (header + LOCAL_BYTES + rawName.length > region.length) throw fault(region, header, `${name} lies beyond the end`);
  const bytes = await region.bytes(header, LOCAL_BYTES + rawName.length);
  if (bytes.readUInt32LE(0) !== LOCAL) throw fault(region, header, `${name} is not where the directory says`);
  const same = bytes.readUInt16LE(26) === rawName.length && bytes.subarray(LOCAL_BYTES).equals(rawName);
  if (!same) throw fault(region, header, `${name} has another name before its data`);
  const plain = (bytes.readUInt16LE(6) & 1) === 0 && (compressedAt !== null || bytes.readUInt16LE(8) === 0);
  if (!plain) throw fault(region, header, `${name} is compressed or encrypted`);
  return header + LOCAL_BYTES + rawName.length + bytes.readUInt16LE(28);
}

function uint64(region: Region, bytes: Buffer, at: number, place: number): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(region.length)) throw fault(region, place, `${value} bytes are more than there are`);
  return Number(value);
}

function fault({ path, what, from }: Region, at: number, text: string): MergeError {
  const position = from + at;
  return new MergeError('E_ZIP', `${path}, byte ${position}: ${what}: ${text}`, { details: { file: path, position } });
}
