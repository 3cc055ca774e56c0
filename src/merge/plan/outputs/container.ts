import { sealDataCrc } from '../../record/provenance.ts';
import type { Entries } from '../tensors/shared-text.ts';

/** Bytes of a tensor file that belong to no tensor. */
export interface FramePiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A change of frame bytes, which only the finished data decide. */
export interface Patch {
  readonly offset: number;
  /** What the frame has there until then. */
  readonly before: Uint8Array;
  /** As many bytes. */
  readonly after: Uint8Array;
}

/** How the tensors lie in a file of an output. */
export interface FileFrame {
  /**
   * What the file begins with: of safetensors the 8-byte length, JSON and padding. Put together at each call:
   * outputs share most of it.
   */
  header(): Uint8Array;
  /** Bytes of the header: where the data begins. */
  readonly headerBytes: number;
  /** What lies between tensors and behind the last one, in ascending order; absent where nothing does. */
  rest?(): readonly FramePiece[];
}

/** Bytes of a file that is there. */
export interface FileRange {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** A file that is put together when all tensors are there. */
export interface ComposedFile {
  /** Below the output's folder. */
  readonly name: string;
  readonly bytes: number;
  /** In their order. */
  readonly parts: readonly (Uint8Array | FileRange | Checksums)[];
}

/** What a list of checksums says of a file of the output that is there by then, in hexadecimal digits. */
export interface Checksums {
  /** As Node calls it. */
  readonly algorithm: string;
  /** Below the output's folder. */
  readonly of: string;
}

/** Checksums of a tensor file whose data is written, as its frame was before any patch. */
export interface FileSums {
  /** CRC32C of all behind the header. */
  data(): number;
  /**
   * CRC-32 of the bytes of a tensor: its row in the layout shard. Only where the container asks for it, and
   * not of quantised weights.
   */
  crc32(row: number): number;
  /** The same of several rows that follow one another. */
  crc32Of(rows: readonly number[]): number;
}

/**
 * What a kind of file needs beside the bytes of its tensors. The frame is written with the data; `finish` may
 * then patch it, before the files are made safe on disk and published.
 */
export interface OutputContainer {
  /** Whether `finish` needs the CRC-32 (zlib's) of every tensor: it costs a second checksum. */
  readonly crc32: boolean;
  /**
   * Pure: a resumed merge calls it again over files that may have been patched already.
   * @param shard which of the output's files it is
   */
  finish(frame: FileFrame, sums: FileSums, shard: number): readonly Patch[];
}

/** The files of an output in another form than safetensors. */
export interface OutputForm<E extends Entries = Entries> {
  /** The name of a file of tensors, below the output's folder. */
  nameOf(shard: number): string;
  /** @param dtypes [rows] codes */
  entries(shard: number, dtypes: Uint8Array): E;
  frame(entries: E): FileFrame;
  /** What is written when all tensors are there, in this order. @param all by shard */
  composed(all: readonly E[]): ComposedFile[];
  /** The index of the tensors; null where there is none. @param all by shard */
  index(all: readonly E[]): { readonly name: string; readonly bytes: Uint8Array } | null;
  /** Of the files of tensors. @param all by shard */
  container(all: readonly E[]): OutputContainer;
}

/**
 * What changed in pieces of equal places and sizes: from the first byte that differs to the last, piece by
 * piece.
 */
export function patchesBetween(before: readonly FramePiece[], after: readonly FramePiece[]): Patch[] {
  const patches: Patch[] = [];
  for (const [i, { offset, bytes }] of after.entries()) {
    const was = before[i]!.bytes;
    let [from, to] = [0, bytes.length];
    while (from < to && was[from] === bytes[from]) from++;
    while (to > from && was[to - 1] === bytes[to - 1]) to--;
    if (from < to) patches.push({ offset: offset + from, before: was.subarray(from, to), after: bytes.subarray(from, to) });
  }
  return patches;
}

/** The safetensors files of a folder: complete as they are written. */
export const SAFETENSORS: OutputContainer = { crc32: false, finish: () => [] };

/** A safetensors file on its own: its header holds the checksum of its data. */
export const SEALED_SAFETENSORS: OutputContainer = {
  crc32: false,
  finish({ header }, sums) {
    const before = header();
    const after = Uint8Array.from(before);
    sealDataCrc(after, sums.data());
    return [{ offset: 0, before, after }];
  },
};
