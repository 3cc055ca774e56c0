import { randomFillSync } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { flush } from './flush.ts';

/** What the disk did a moment ago; null where that could not be measured. */
export interface DiskRates {
  readonly readBytesPerSecond: number | null;
  readonly writeBytesPerSecond: number | null;
}

/** A file to be read, and how much of it. */
export interface MeasuredInput {
  readonly path: string;
  readonly bytes: number;
}

/** Most bytes that are read and written for a measurement. */
const SAMPLE_BYTES = 64 * 2 ** 20;
const REQUEST_BYTES = 2 ** 20;
const READS_IN_FLIGHT = 8;
/** No request is begun later than this, seconds after the first. */
const SECONDS = 0.3;
/**
 * Linux's flag for a file without a name, which is gone with its handle; Node names only the half of it that
 * depends on the architecture.
 */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * Measures how fast the inputs can be read and the output's disk written, in about half a second: up to 64
 * MiB each, in requests of 1 MiB. Reads are spread over all inputs, so that those in the page cache count as
 * what they are; the written file never has a name. Leaves nothing behind and never throws.
 *
 * @param output path of an output; what is written goes to the nearest folder above it that exists
 */
export async function measureDisk(inputs: readonly MeasuredInput[], output: string): Promise<DiskRates> {
  return {
    readBytesPerSecond: await readRate(inputs).catch(() => null),
    writeBytesPerSecond: await writeRate(output).catch(() => null),
  };
}

/**
 * Seconds that reading and writing so many bytes take at these rates, one after the other. An estimate:
 * reading and writing overlap, caches fill, and other work shares the disk. Null where a rate is missing.
 */
export function expectedSeconds(work: { readonly bytesRead: number; readonly bytesWritten: number }, rates: DiskRates): number | null {
  const { readBytesPerSecond: read, writeBytesPerSecond: write } = rates;
  return read === null || write === null ? null : work.bytesRead / read + work.bytesWritten / write;
}

async function readRate(inputs: readonly MeasuredInput[]): Promise<number | null> {
  const total = inputs.reduce((sum, input) => sum + input.bytes, 0);
  if (total === 0) return null;
  const handles = new Map<string, Promise<FileHandle>>();
  const count = Math.ceil(Math.min(SAMPLE_BYTES, total) / REQUEST_BYTES);
  const started = performance.now();
  let next = 0;
  let bytes = 0;
  const worker = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(REQUEST_BYTES);
    while (next < count && performance.now() - started < SECONDS * 1000) {
      const { path, offset } = placeOf(inputs, samplePoint(next++) * total);
      if (!handles.has(path)) handles.set(path, open(path));
      const handle = await handles.get(path)!;
      bytes += (await handle.read(buffer, 0, REQUEST_BYTES, offset)).bytesRead;
    }
  };
  try {
    await Promise.all(Array.from({ length: READS_IN_FLIGHT }, worker));
  } finally {
    for (const handle of await Promise.allSettled(handles.values())) if (handle.status === 'fulfilled') await handle.value.close();
  }
  return rate(bytes, started);
}

/** Points in [0, 1) that are spread evenly however few of them are taken: multiples of the golden ratio. */
function samplePoint(i: number): number {
  return (i * 0.6180339887498949) % 1;
}

/** Where a byte of all inputs together lies: in which of them, and at the start of which request. */
function placeOf(inputs: readonly MeasuredInput[], byte: number): { path: string; offset: number } {
  let before = 0;
  for (const { path, bytes } of inputs) {
    if (byte < before + bytes) return { path, offset: Math.floor((byte - before) / REQUEST_BYTES) * REQUEST_BYTES };
    before += bytes;
  }
  return { path: inputs.at(-1)!.path, offset: 0 };
}

async function writeRate(output: string): Promise<number | null> {
  const handle = await open(await existingFolder(resolve(output)), constants.O_WRONLY | O_TMPFILE, 0o600);
  try {
    // Zeros would be written faster than weights where a file system compresses or leaves holes.
    const buffer = randomFillSync(Buffer.allocUnsafe(REQUEST_BYTES));
    const started = performance.now();
    let bytes = 0;
    while (bytes < SAMPLE_BYTES && performance.now() - started < SECONDS * 1000) {
      bytes += (await handle.write(buffer, 0, REQUEST_BYTES, bytes)).bytesWritten;
    }
    await flush(handle, 'datasync');
    return rate(bytes, started);
  } finally {
    await handle.close();
  }
}

async function existingFolder(path: string): Promise<string> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const found = await stat(folder).catch(() => null);
    if (found?.isDirectory() || folder === dirname(folder)) return folder;
  }
}

function rate(bytes: number, started: number): number | null {
  const seconds = (performance.now() - started) / 1000;
  return bytes > 0 && seconds > 0 ? bytes / seconds : null;
}
