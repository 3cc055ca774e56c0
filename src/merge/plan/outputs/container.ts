import { sealDataCrc } from '../../record/provenance.ts';

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
